"""The page in headless Chromium: radiographs dropped, read, compared, saved."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pneumoscope.findings import find_regions
from pneumoscope.serve.settings import EngineSettings
from tests.serve.browsing import (
    becomes,
    beside,
    drop,
    loaded,
    order,
    positive,
    saved,
    settle,
    shown,
    violations,
)
from tests.serve.processes import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.slow


def test_dropped_films_are_judged_sorted_and_a_bad_one_is_told(
    page: Page, films: list[Path]
) -> None:
    drop(page, [*((film.name, film.read_bytes()) for film in films[:5]), ("notes.txt", b"no film")])
    states = loaded(page, 6)
    assert states[-1] == "unusable"
    row = page.locator("#rows tr.failed").inner_text()
    assert "notes.txt" in row and "not an image" in row
    order(page, "probability")
    values = [float(text.split()[0]) for text in loaded(page, 6)[:-1]]
    assert values == sorted(values, reverse=True)
    order(page, "probability")
    values = [float(text.split()[0]) for text in loaded(page, 6)[:-1]]
    assert values == sorted(values)
    order(page, "name")
    names = page.locator("#rows button").all_inner_texts()
    assert names == sorted(names)
    assert page.locator("#notice").is_visible()
    assert "Probability" in str(page.locator("#meter").get_attribute("aria-label"))


def test_until_a_film_is_there_everything_is_of_the_one_shown(
    page: Page, films: list[Path]
) -> None:
    page.set_input_files("#files", films[:2])
    loaded(page, 2)
    rows = page.locator("#rows tr")
    becomes(rows.nth(0)).to_have_attribute("aria-current", "true")
    before = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    held: list[Route] = []
    # Playwright takes no bound method of a list.
    page.route("**/film.png", lambda route: held.append(route))  # noqa: PLW0108
    rows.nth(1).locator("button").click()
    settle(page)
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert films[0].name in (page.locator("#report").text_content() or "")
    page.emulate_media(media="screen")
    after = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    assert after == before
    assert len(held) == 1
    held[0].continue_()
    becomes(rows.nth(1)).to_have_attribute("aria-current", "true")
    other = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    assert other["id"] != before["id"]


def test_regions_of_the_slider_are_those_of_python(
    page: Page, films: list[Path], address: str
) -> None:
    positive(page, films, 12)
    first = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    if first["finding"]["probability"] < first["finding"]["threshold"]:
        pytest.fail("the tiny model calls none of these films positive")
    assert first["shown"]["regions"] == first["finding"]["regions"]
    content = page.request.get(f"{address}/{first['heatmap']}").body()
    heat = np.asarray(Image.open(io.BytesIO(content)), dtype=np.float64) / 65535
    for threshold in (0.05, 0.3, 0.77):
        page.locator("#threshold").fill(str(round(100 * threshold)))
        told = json.loads(saved(page, lambda: page.click("[data-download=json]")))["shown"]
        expected = find_regions(heat, threshold=threshold)
        assert told["regions_from_heat"] == pytest.approx(threshold)
        boxes = [[r["x"], r["y"], r["width"], r["height"]] for r in told["regions"]]
        assert boxes == [[r.x, r.y, r.width, r.height] for r in expected]
        scores = [r["score"] for r in told["regions"]]
        assert scores == pytest.approx([r.score for r in expected])
        assert page.locator("#regions li").count() == len(expected)


def test_the_picture_saved_has_the_films_own_pixels(page: Page, films: list[Path]) -> None:
    positive(page, films[:1], 1)
    page.locator("#opacity").fill("0")
    page.uncheck("#boxes")
    picture = saved(page, lambda: page.keyboard.press("s"))
    got = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=int)
    film = np.asarray(Image.open(films[0]), dtype=int)
    above = film.shape[0]
    # Words stand below the radiograph, and cover nothing of it.
    assert got.shape[1] == film.shape[1] and got.shape[0] > above
    assert np.abs(got[:above] - film[:above]).max() <= 1
    page.keyboard.press("i")
    picture = saved(page, lambda: page.keyboard.press("s"))
    got = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=int)
    assert np.abs(got[:above] - (255 - film[:above])).max() <= 1


def test_keys_mouse_and_sliders_change_what_is_shown(page: Page, films: list[Path]) -> None:
    positive(page, films)
    page.locator("#stage canvas").first.focus()
    before = shown(page)
    for act in ("i", "i", "1", "+", "ArrowLeft", "0", "h", "h"):
        page.keyboard.press(act)
        now = shown(page)
        assert now != before, act
        before = now
    box = page.locator("#stage canvas").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    zoomed = shown(page)
    assert zoomed != before
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=3)
    page.mouse.up()
    assert shown(page) != zoomed
    page.mouse.down(button="right")
    page.mouse.move(x - 200, y + 40, steps=3)
    page.mouse.up(button="right")
    assert page.locator("#width-value").inner_text() != "255"
    page.keyboard.press("r")
    assert page.locator("#width-value").inner_text() == "255"
    current = page.locator("tr[aria-current=true] button")
    first = current.inner_text()
    page.keyboard.press("j")
    becomes(current).not_to_have_text(first)
    page.keyboard.press("k")
    becomes(current).to_have_text(first)
    page.keyboard.press("?")
    assert page.locator("#help-dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    becomes(page.locator("#rows tr")).to_have_count(5)


def test_two_films_stand_side_by_side(page: Page, films: list[Path]) -> None:
    positive(page, films)
    beside(page)
    left = shown(page, 0)
    page.locator(".view canvas").nth(1).click()
    current = page.locator("tr[aria-current=true] button")
    first = current.inner_text()
    page.keyboard.press("j")
    becomes(current).not_to_have_text(first)
    page.keyboard.press("i")
    captions = page.locator("figcaption").all_inner_texts()
    assert captions[0].split(" · ")[0] != captions[1].split(" · ")[0]
    page.locator(".view canvas").nth(0).click()
    assert shown(page, 0) == left
    page.keyboard.press("c")
    assert page.locator(".view:visible").count() == 1


def test_compared_films_move_together_until_told_otherwise(page: Page, films: list[Path]) -> None:
    positive(page, films)
    beside(page)
    page.locator(".view canvas").first.hover()
    captions = page.locator("figcaption")

    def zooms() -> list[str]:
        settle(page)
        return [text.split(" · ")[2] for text in captions.all_inner_texts()]

    def turned(key: str) -> bytes:
        page.keyboard.press(key)
        return shown(page, 1)

    assert zooms()[0] == zooms()[1]
    fitted, before = zooms(), shown(page, 1)
    page.locator(".view canvas").first.click()
    assert (zoomed := turned("+")) != before
    assert zooms()[0] == zooms()[1] != fitted[0]
    assert turned("ArrowLeft") != zoomed
    page.keyboard.press("l")
    alone = shown(page, 1)
    assert turned("-") == alone
    assert zooms()[0] != zooms()[1]
    assert turned("l") != alone
    assert zooms()[0] == zooms()[1]
    together = zooms()
    page.locator(".view canvas").nth(1).hover()
    told = captions.nth(1).inner_text()
    page.mouse.wheel(0, -300)
    becomes(captions.nth(1)).not_to_have_text(told)
    assert zooms()[0] == zooms()[1] != together[1]


def test_a_dicom_film_is_saved_as_objects(page: Page, films: list[Path], dicom_film: Path) -> None:
    page.set_input_files("#files", [dicom_film, films[1]])
    loaded(page, 2)
    button = page.locator("[data-download=dicom]")
    page.locator("#rows button", has_text="film.dcm").click()
    with zipfile.ZipFile(io.BytesIO(saved(page, button.click))) as archive:
        assert archive.namelist() == ["sc.dcm", "sr.dcm"]
    page.locator("#rows button", has_text=films[1].name).click()
    becomes(button).to_be_disabled()


def test_the_page_works_on_a_phone(browser: Browser, address: str, films: list[Path]) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    positive(page, films, 2)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert page.locator("#notice").is_visible()
    page.locator("#panel").scroll_into_view_if_needed()
    page.tap("#boxes")
    assert not page.is_checked("#boxes")
    context.close()


def test_a_token_is_asked_for_once(
    browser: Browser, engine: EngineSettings, films: list[Path], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-some-length")
    with served(engine.bundle, "--token-file", str(token)) as (address, _):
        page = browser.new_page()
        page.goto(address)
        page.locator("#token-dialog").wait_for()
        assert not page.locator("#token-wrong").is_visible()
        page.fill("#token", "wrong")
        page.click("#token-use")
        page.locator("#token-wrong").wait_for()
        page.fill("#token", token.read_text())
        page.keyboard.press("Enter")
        page.locator("#model:not(:empty)").wait_for()
        page.set_input_files("#files", films[:1])
        assert loaded(page, 1) != ["unusable"]
        page.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing(browser: Browser, address: str, films: list[Path], width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    # Its script is put into the page, which the page's own policy forbids.
    context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto(address)
    empty = violations(axe, page)
    positive(page, films)
    full = violations(axe, page)
    page.keyboard.press("?")
    asked = violations(axe, page)
    context.close()
    assert (empty, full, asked) == ([], [], [])


def test_a_picture_that_was_not_assessed_has_no_number(page: Page, tmp_path: Path) -> None:
    noise = tmp_path / "knee.png"
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    Image.fromarray(pixels).save(noise)
    page.set_input_files("#files", [noise])
    assert loaded(page, 1) == ["not assessed"]
    page.locator("#finding").wait_for()
    assert page.locator("#label").inner_text() == "Not assessed"
    assert page.locator("#gate").inner_text().startswith("Not assessed: ")
    assert not page.locator("#meter").is_visible()
    assert not page.locator("#scale").is_visible()
    assert not re.search(r"0\.\d\d", page.locator("#finding").inner_text())
    told = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    assert (told["finding"]["probability"], told["heatmap"]) == (None, None)
    assert told["shown"]["regions"] == []
