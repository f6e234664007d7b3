"""The page mixes up no patients, loses nothing without a word, and exports what was read."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.dicom.films import film
from tests.serve.browsing import becomes, beside, drop, loaded, positive, saved, settle, swipe

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page, Route

pytestmark = pytest.mark.slow

_WRITTEN = """() => {
  window.written = [];
  const own = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    if (!this.canvas.isConnected) {
      window.written.push([text, x / this.canvas.width, y / this.canvas.height]);
    }
    own.call(this, text, x, y);
  };
}"""


def notes(page: Page, address: str) -> list[str | None]:
    """The note of each radiograph as the server has it."""
    page.wait_for_timeout(1500)
    found = json.loads(page.evaluate("() => sessionStorage.getItem('pneumoscope-worklist')"))
    places = [f"{address}/v1/findings/{entry['found']['id']}" for entry in found]
    readings = [page.request.get(place).json()["reading"] for place in places]
    return [reading and reading["note"] for reading in readings]


def two(page: Page, films: list[Path]) -> None:
    page.set_input_files("#files", films[:2])
    loaded(page, 2)
    page.locator("#rows button").first.click()
    page.locator("#rows tr:first-child[aria-current=true]").wait_for()
    settle(page)


def test_a_note_stays_with_its_radiograph_when_two_are_compared(
    page: Page, films: list[Path], address: str
) -> None:
    two(page, films)
    beside(page)
    right = page.locator(".view canvas").nth(1)
    right.click()
    page.locator("#rows button").nth(1).click()
    becomes(page.locator("figcaption").nth(1)).to_contain_text(films[1].name)
    page.locator(".view canvas").first.click()
    page.click("#note")
    page.keyboard.type("of the first")
    box = right.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -100)
    becomes(page.locator("#rows tr").nth(1)).to_have_attribute("aria-current", "true")
    assert page.locator("#note").input_value() == ""
    page.keyboard.type("!")
    assert notes(page, address) == ["of the first", "!"]


def test_a_note_stays_with_its_radiograph_when_a_finger_goes_on(
    page: Page, films: list[Path], address: str
) -> None:
    two(page, films)
    page.click("#note")
    page.keyboard.type("of the first")
    swipe(page)
    becomes(page.locator("#rows tr").nth(1)).to_have_attribute("aria-current", "true")
    becomes(page.locator("#note")).to_have_value("")
    page.keyboard.type("!")
    assert notes(page, address) == ["of the first", "!"]
    page.locator("#rows button").first.click()
    becomes(page.locator("#note")).to_have_value("of the first")


def test_control_characters_are_left_out_of_a_note(
    page: Page, films: list[Path], address: str
) -> None:
    two(page, films)
    page.locator("#note").evaluate(
        "(note) => { note.value = 'a\\0\\x07b\\n'; note.dispatchEvent(new Event('input')); }"
    )
    assert notes(page, address)[0] == "ab\n"


def test_a_finding_of_another_bundle_has_no_band_and_takes_no_reading(
    page: Page, films: list[Path]
) -> None:
    positive(page, films[:1], 1)
    page.keyboard.press("y")
    assert not page.locator("#outdated").is_visible()

    def other(route: Route) -> None:
        known = route.fetch().json()
        route.fulfill(json={**known, "bundle": "0" * 64, "review": [0.1, 0.9]})

    page.route("**/v1/model", other)
    page.reload()
    page.locator("#outdated").wait_for()
    assert "Open the radiograph again" in page.locator("#outdated").inner_text()
    assert not page.locator("#band").is_visible()
    assert page.locator("#agree").is_disabled()
    assert "another model" in page.locator("#download-note").inner_text()
    page.keyboard.press("u")
    assert page.locator("#agree").get_attribute("aria-pressed") == "true"


def test_a_reading_keeps_its_label_beside_another_models_finding(page: Page) -> None:
    carried = """async ([reading, before, finding]) =>
      (await import("./reading.js")).carried(reading, before, finding)"""
    agreed = {"agrees": True, "label": "NORMAL", "note": "x"}
    normal: dict[str, Any] = {"label": "NORMAL", "error": None, "gate": None}
    ill, flagged = {**normal, "label": "PNEUMONIA"}, {**normal, "gate": {"flagged": True}}
    assert page.evaluate(carried, [agreed, normal, normal]) == agreed
    assert page.evaluate(carried, [agreed, normal, ill]) == {**agreed, "agrees": False}
    nothing = {**agreed, "agrees": None, "label": None}
    assert page.evaluate(carried, [agreed, normal, {**flagged, "label": None}]) == nothing


def written(page: Page) -> list[tuple[str, float, float]]:
    """The words on the radiograph as it is saved, with their place in the picture."""
    page.evaluate("() => { window.written = []; }")
    saved(page, lambda: page.keyboard.press("s"))
    return [(text, x, y) for text, x, y in page.evaluate("() => window.written")]


def sides(page: Page) -> dict[str, str]:
    """The letters at the edges of the radiograph as it is saved."""
    letters = [part for part in written(page) if part[0] in tuple("RLHF")]
    leftmost, rightmost = (pick(letters, key=lambda part: part[1]) for pick in (min, max))
    return {"left": leftmost[0], "right": rightmost[0]}


def test_a_saved_picture_says_where_right_and_left_are(
    page: Page, films: list[Path], tmp_path: Path
) -> None:
    page.evaluate(_WRITTEN)
    stored = 16 * np.asarray(Image.open(films[0]), dtype=np.uint16)
    page.set_input_files("#files", [film(tmp_path / "f.dcm", pixels=stored)])
    page.locator("#finding").wait_for()
    settle(page)
    assert sides(page) == {"left": "R", "right": "L"}
    assert not any("Mirrored" in text for text, _, _ in written(page))
    page.keyboard.press("f")
    assert sides(page) == {"left": "L", "right": "R"}
    assert any(text.startswith("Mirrored.") for text, _, _ in written(page))
    assert "mirrored" in page.locator("figcaption").first.inner_text()
    page.keyboard.press("f")
    page.keyboard.press("t")
    assert sides(page) == {"left": "F", "right": "H"}
    # What lay on the left lies at the top now.
    assert min((y, text) for text, _, y in written(page) if text in "RLHF")[1] == "R"
    page.evaluate("() => { window.written = []; dispatchEvent(new Event('beforeprint')); }")
    assert {"R", "F", "H"} <= {text for text, _, _ in page.evaluate("() => window.written")}


def test_a_picture_without_sides_says_so(page: Page, films: list[Path]) -> None:
    page.evaluate(_WRITTEN)
    positive(page, films[:1], 1)
    words = " ".join(text for text, _, _ in written(page))
    assert "R and L not in the file." in words
    page.keyboard.press("f")
    assert "Mirrored, R and L not" in " ".join(text for text, _, _ in written(page))


def zipped(named: dict[str, bytes], encrypted: tuple[str, ...] = ()) -> bytes:
    """A ZIP file, some of whose entries say that they are encrypted."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in named.items():
            archive.writestr(name, content)
    data = bytearray(stream.getvalue())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        at = archive.start_dir
        for info in archive.infolist():
            data[at + 8] |= info.filename in encrypted
            at += 46 + len(info.filename)
    return bytes(data)


def test_paths_in_a_zip_are_cleaned_and_what_is_left_out_is_counted(
    page: Page, films: list[Path]
) -> None:
    content = films[0].read_bytes()
    names = ["./a.png", "./sub/b.png", "x/../y.png", "../../up.png", "/root.png"]
    left_out = [".hidden.png", "__MACOSX/._a.png", "./.DS_Store", "notes.txt"]
    drop(page, [("study.zip", zipped(dict.fromkeys(names + left_out, content) | {"t.txt": b"t"}))])
    shown = ["a.png", "sub/b.png", "y.png", "up.png", "root.png", "notes.txt"]
    loaded(page, len(shown))
    assert page.locator("#rows button").all_inner_texts() == shown
    assert "4 files were left out" in page.locator("#toasts").inner_text()


def test_encrypted_files_of_a_zip_have_rows_and_one_toast(page: Page, films: list[Path]) -> None:
    content = films[0].read_bytes()
    names = [f"{index}.png" for index in range(5)]
    drop(page, [("s.zip", zipped(dict.fromkeys(names, content), ("1.png", "2.png", "3.png")))])
    states = loaded(page, 5)
    assert [state == "unusable" for state in states] == [False, True, True, True, False]
    reasons = page.locator("#rows .reason").all_inner_texts()
    assert all("encrypted" in reason for reason in reasons[1:4])
    (toast,) = page.locator("#toasts div span").all_inner_texts()
    assert toast.startswith("3 files of ZIP files cannot be read")


_FOLDER = """async (count) => {
  const { takeIn } = await import("./intake.js");
  const bytes = new Uint8Array([0x89, 0x50, 0x4e, 0x47]);
  const file = (at) => ({ isFile: true, fullPath: `/f/${at}.png`, file: (done) =>
    done(new File([bytes], `${at}.png`)) });
  let at = 0;
  const readEntries = (done) => done(Array.from({ length: Math.min(100, count - at) }, () =>
    file(at++)));
  const folder = { isDirectory: true, name: "f", createReader: () => ({ readEntries }) };
  const taken = [], told = [];
  await takeIn([folder], (source) => taken.push(source.name), (words) => told.push(words));
  return { taken: taken.length, told };
}"""


def test_a_folder_that_is_cut_is_told(page: Page) -> None:
    assert page.evaluate(_FOLDER, 5000) == {"taken": 5000, "told": []}
    found = page.evaluate(_FOLDER, 5001)
    assert found["taken"] == 5000
    (told,) = found["told"]
    assert "Only the first 5000 files" in told


def test_a_box_stays_within_the_radiograph(page: Page, films: list[Path]) -> None:
    positive(page, films[:1], 1)
    page.keyboard.press("y")
    for _ in range(4):
        page.keyboard.press("-")
    settle(page)
    page.click("[data-tool=box]")
    frame = page.locator(".view canvas").first.bounding_box()
    assert frame is not None
    left, top = frame["x"] + 8, frame["y"] + frame["height"] / 2

    def drag(x: float, y: float) -> None:
        page.mouse.move(left, top)
        page.mouse.down()
        page.mouse.move(x, y, steps=4)
        page.mouse.up()
        settle(page)

    # Beside the radiograph, then from beside it to its middle.
    drag(left + 20, top + 60)
    assert page.locator("#marks li").count() == 0
    drag(frame["x"] + frame["width"] / 2, top + 60)
    (words,) = page.locator("#marks li button:first-child").all_inner_texts()
    told = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    (box,) = told["reading"]["boxes"]
    width, height = box["width"], box["height"]
    assert box["x"] == 0
    assert words == f"Box: {width} × {height} px"
    assert width == pytest.approx(Image.open(films[0]).width / 2, abs=2)
    page.locator(".view canvas").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert page.locator("#marks li button:first-child").all_inner_texts() == [words]


def test_boxes_of_a_negative_reading_are_no_lesions(page: Page) -> None:
    exported = """async () => {
      const { boxesTable, coco, readingsTable, worklistTable } = await import("./outputs.js");
      const model = { labels: ["NORMAL", "PNEUMONIA"], model: "m", version: "1", notice: "n" };
      const finding = { label: "PNEUMONIA", summary: "s", regions: [], notes: [] };
      const entry = (name, label) => ({ name, state: "done", reason: null,
        found: { finding, width: 9, height: 9 },
        reading: { agrees: true, label, note: "", reader: "",
          boxes: [{ x: 1, y: 2, width: 3, height: 4 }] } });
      const entries = [entry("=HYPERLINK(1)", "NORMAL"), entry("b.png", "PNEUMONIA")];
      return [boxesTable, coco, readingsTable, worklistTable].map((made) => made(entries, model));
    }"""
    boxes, coco, readings, worklist = page.evaluate(exported)
    lines = list(csv.DictReader(io.StringIO(boxes, newline="")))
    assert [(line["image"], line["width"]) for line in lines] == [
        ("=HYPERLINK(1)", ""),
        ("b.png", "3"),
    ]
    assert [part["image_id"] for part in json.loads(coco)["annotations"]] == [2]
    counts = [line["boxes"] for line in csv.DictReader(io.StringIO(readings, newline=""))]
    assert counts == ["0", "1"]
    # Readings are a cohort and need the exact name; the worklist is for a spreadsheet.
    assert readings.splitlines()[1].startswith("=HYPERLINK(1),")
    assert worklist.splitlines()[1].startswith("'=HYPERLINK(1),")


def test_a_reload_asks_while_radiographs_wait_and_keeps_their_rows(
    page: Page, films: list[Path]
) -> None:
    page.route("**/v1/findings", lambda _: None)
    page.set_input_files("#files", films[:2])
    page.click("#fit")
    becomes(page.locator("#rows tr")).to_have_count(2)
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    page.reload()
    assert asked == ["beforeunload"]
    assert loaded(page, 2) == ["not sent", "not sent"]
    assert "Open it again" in page.locator("#rows .reason").first.inner_text()
    page.reload()
    assert asked == ["beforeunload"]
