"""What tests of the page share: radiographs dropped, what is shown, what is saved."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_DROP = """([files, type]) => {
  const data = new DataTransfer();
  for (const [name, text] of files) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name));
  }
  document.body.dispatchEvent(
    new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""

_SWIPE = """(canvas) => {
  canvas.setPointerCapture = () => undefined;
  const act = (type, clientX) => canvas.dispatchEvent(new PointerEvent(type, {
    pointerId: 7, pointerType: "touch", clientX, clientY: 400, bubbles: true }));
  act("pointerdown", 900);
  for (const x of [850, 780, 700]) act("pointermove", x);
  act("pointerup", 700);
}"""


def swipe(page: Page) -> None:
    """Swipe with a finger to the next radiograph."""
    page.locator(".view canvas").first.evaluate(_SWIPE)


def drop(page: Page, named: list[tuple[str, bytes]]) -> None:
    """Drop files on the page."""
    coded = [(name, base64.b64encode(content).decode()) for name, content in named]
    page.evaluate(_DROP, [coded, "drop"])


def loaded(page: Page, count: int) -> list[str]:
    """The state of each radiograph once all are judged."""
    for _ in range(200):
        states = page.locator("#rows .state").all_inner_texts()
        done = not any(re.match("waiting|reading|queued", state) for state in states)
        if len(states) == count and done:
            return states
        page.wait_for_timeout(100)
    raise AssertionError(page.locator("#rows").inner_text())


def order(page: Page, by: str) -> None:
    """Click the head of a column; the rows stand in their new order at the next frame."""
    page.click(f"[data-sort={by}]")
    settle(page)


def positive(page: Page, films: list[Path], count: int = 6) -> None:
    """Films are loaded, and the most probable one is shown; the tiny model calls it positive."""
    page.set_input_files("#files", films[:count])
    loaded(page, count)
    order(page, "probability")
    page.locator("#rows button").first.click()
    page.locator("#rows tr:first-child[aria-current=true]").wait_for()
    settle(page)


def becomes(locator: Locator) -> Any:
    """What is to hold of a part of the page, sooner or later."""
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    return expect(locator)


def beside(page: Page) -> None:
    """The radiograph is shown twice, side by side."""
    page.keyboard.press("c")
    becomes(page.locator(".view:visible")).to_have_count(2)
    becomes(page.locator("figcaption").nth(1)).not_to_be_empty()
    settle(page)


def settle(page: Page) -> None:
    """Two frames have been drawn since."""
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def shown(page: Page, which: int = 0) -> bytes:
    settle(page)
    return page.locator(".view canvas").nth(which).screenshot()


def saved(page: Page, act: Callable[[], object]) -> bytes:
    with page.expect_download() as waiting:
        act()
    return Path(waiting.value.path()).read_bytes()


def violations(axe: Any, page: Page) -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [f"{part['id']}: {part['nodes'][0]['html']}" for part in found]
