"""What readers expect of a workstation: values, sides, measures, readings, lists, a report."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pneumoscope.cohort.formats.marks import Box
from pneumoscope.cohort.formats.reading import read_drawings
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.imaging import Orientation
from tests.dicom.films import film
from tests.serve.browsing import becomes, drop, loaded, positive, saved, settle, swipe, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
HANGINGS = [(row, column) for row in "RL" for column in "HF"]
HANGINGS += [(column, row) for row, column in HANGINGS]


def gray(picture: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=np.int64)


def plain(page: Page, path: Path) -> None:
    """The radiograph without heat and regions."""
    page.set_input_files("#files", [path])
    page.locator("#finding").wait_for()
    page.locator("#opacity").fill("0")
    page.uncheck("#boxes")
    settle(page)


def unsided(path: Path, **elements: Any) -> Path:
    """A DICOM radiograph without R and L, which would cover some of its pixels when saved."""
    return film(path, PatientOrientation=None, **elements)


def picture(page: Page, height: int) -> NDArray[np.int64]:
    """The saved radiograph without the words below it."""
    return gray(saved(page, lambda: page.keyboard.press("s")))[:height]


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def test_an_example_is_a_click_away(page: Page) -> None:
    assert page.locator("#welcome li").count() == 3
    page.click("#example")
    assert loaded(page, 1) != ["unusable"]
    page.locator("#finding").wait_for()
    assert not page.locator("#welcome").is_visible()


def test_a_zip_is_unpacked_within_bounds(page: Page, films: list[Path]) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in films[:2]:
            archive.write(path, f"study/{path.name}")
        archive.writestr("study/bomb.png", b"\x89PNG\r\n\x1a\n" + bytes(70 << 20))
        archive.writestr("study/notes.txt", "no film")
        archive.writestr("study/.hidden.png", films[0].read_bytes())
        archive.writestr("study/DICOMDIR", bytes(128) + b"DICM")
    drop(page, [("study.zip", stream.getvalue())])
    states = loaded(page, 3)
    assert [state == "unusable" for state in states] == [False, False, True]
    names = page.locator("#rows button").all_inner_texts()
    assert names == [f"study/{path.name}" for path in films[:2]] + ["study/bomb.png"]
    assert "larger than 64 MB" in page.locator("#rows .reason").last.inner_text()
    assert "3 files were left out" in page.locator("#toasts").inner_text()


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 and nothing more", b"PK\x03\x04" + bytes(100_000)]
)
def test_a_damaged_zip_is_told(page: Page, content: bytes) -> None:
    drop(page, [("broken.zip", content)])
    page.locator("#toasts div").first.wait_for()
    assert "broken.zip is a damaged ZIP file" in page.locator("#toasts").inner_text()


def test_a_folder_is_walked(page: Page, films: list[Path], tmp_path: Path) -> None:
    inner = tmp_path / "films" / "series"
    inner.mkdir(parents=True)
    (inner / "a.png").write_bytes(films[0].read_bytes())
    film(inner / "IM0001", pixels=16 * np.asarray(Image.open(films[1]), dtype=np.uint16))
    (inner / "letter.txt").write_text("no film")
    page.set_input_files("#folder", tmp_path / "films")
    assert "unusable" not in loaded(page, 2)
    names = page.locator("#rows button").all_inner_texts()
    assert sorted(names) == ["films/series/IM0001", "films/series/a.png"]


def test_windows_are_in_stored_values(page: Page, films: list[Path], tmp_path: Path) -> None:
    stored = 16 * np.asarray(Image.open(films[0]), dtype=np.uint16)
    plain(page, unsided(tmp_path / "f.dcm", pixels=stored, PixelSpacing=[0.1, 0.1]))
    values = stored.astype(float)
    page.select_option("#preset", "full")
    expected = 255 * (values - values.min()) / (values.max() - values.min())
    assert np.abs(picture(page, values.shape[0]) - expected).max() <= 1
    page.keyboard.press("a")
    low, high = np.percentile(values, [1, 99], method="inverted_cdf")
    assert page.locator("#level-value").inner_text() == f"{(low + high) / 2:.0f}"
    assert page.locator("#width-value").inner_text() == f"{high - low:.0f}"
    expected = 255 * np.clip((values - low) / (high - low), 0, 1)
    assert np.abs(picture(page, values.shape[0]) - expected).max() <= 1
    page.keyboard.press("v")
    assert page.locator("#preset").input_value() == "lungs"


def test_a_film_that_its_window_leaves_dull_starts_with_auto(
    page: Page, films: list[Path], tmp_path: Path
) -> None:
    stored = 4 * np.asarray(Image.open(films[0]), dtype=np.uint16) + 300
    window: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096, "PixelSpacing": None}
    page.set_input_files("#files", [film(tmp_path / "f.dcm", pixels=stored, **window)])
    page.locator("#finding").wait_for()
    assert page.locator("#preset").input_value() == "auto"
    assert "little contrast" in page.locator("#preset-note").inner_text()
    low, high = np.percentile(stored, [1, 99], method="inverted_cdf")
    assert page.locator("#width-value").inner_text() == f"{high - low:.0f}"
    page.select_option("#preset", "file")
    assert page.locator("#preset-note").inner_text() == ""
    assert page.locator("#level-value").inner_text() != f"{(low + high) / 2:.0f}"


def test_an_inverted_film_with_padding_is_shown_the_right_way(page: Page, tmp_path: Path) -> None:
    stored = np.add.outer(np.arange(0, 160), np.arange(0, 140)).astype(np.uint16) * 10 + 100
    stored[:20] = 0
    path = unsided(
        tmp_path / "f.dcm", pixels=stored, PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=0, WindowCenter=1500, WindowWidth=1200, PixelSpacing=None,
    )  # fmt: skip
    page.set_input_files("#files", [path])
    page.locator("#finding").wait_for()
    got = picture(page, 160)
    expected = 255 * (1 - np.clip((stored - 1499.5) / 1199 + 0.5, 0, 1))
    expected[:20] = 0
    assert np.abs(got - expected).max() <= 1
    page.select_option("#preset", "full")
    low, high = stored[20:].min(), stored.max()
    expected = 255 * (1 - np.clip((stored - float(low)) / (high - low), 0, 1))
    expected[:20] = 0
    assert np.abs(picture(page, 160) - expected).max() <= 1


def test_films_turn_as_asked(page: Page, films: list[Path]) -> None:
    plain(page, films[0])
    known = np.asarray(Image.open(films[0]), dtype=np.int64)
    page.keyboard.press("t")
    turned = np.rot90(known, -1)
    assert np.abs(picture(page, turned.shape[0]) - turned).max() <= 1
    page.keyboard.press("f")
    assert np.abs(picture(page, turned.shape[0]) - np.fliplr(turned)).max() <= 1
    page.keyboard.press("r")
    page.keyboard.press("h")
    page.keyboard.press("b")
    assert np.abs(picture(page, known.shape[0]) - known).max() <= 1


def test_hanging_and_sides_are_those_of_the_tags(page: Page) -> None:
    found = page.evaluate(
        """async (hangings) => {
          const { hung, edges, placed } = await import("./geometry.js");
          const film = { width: 3, height: 2, aspect: 1 };
          return hangings.map((directions) => {
            const turn = hung(directions);
            return { sides: edges(turn, directions), place: placed(turn, film, 1, 0, 0) };
          });
        }""",
        [list(directions) for directions in HANGINGS],
    )
    stored = np.arange(6).reshape(2, 3)
    for directions, told in zip(HANGINGS, found, strict=True):
        assert told["sides"] == {"left": "R", "right": "L", "top": "H", "bottom": "F"}
        upright = Orientation.of(directions).upright(stored)
        a, b, c, d, e, f = told["place"]
        for (row, column), value in np.ndenumerate(stored):
            x, y = column + 0.5, row + 0.5
            assert upright[int(b * x + d * y + f), int(a * x + c * y + e)] == value


def test_tags_are_shown_and_lengths_are_in_millimetres(page: Page, dicom_film: Path) -> None:
    page.set_input_files("#files", [dicom_film])
    page.locator("#finding").wait_for()
    assert page.locator(".about").first.inner_text() == "F · PA · 2026-01-02"
    width = Image.open(io.BytesIO(page.locator(".view canvas").first.screenshot())).width
    for key in "ddeexx":
        page.keyboard.press(key)
    settle(page)
    zoom = float(page.locator("figcaption").first.inner_text().split(" · ")[2].split()[0]) / 100
    marks = page.locator("#marks li button:first-child").all_inner_texts()
    kinds = [text.split(":")[0] for text in marks]
    assert kinds == ["Ruler", "Area", "Box"]
    # Pixels are .1 mm wide; the ruler crosses a fifth of the canvas.
    length = float(marks[0].split()[1])
    assert length == pytest.approx(0.1 * 0.2 * width / zoom, rel=0.01)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Delete")
    assert page.locator("#marks li").count() == 2


def test_an_area_has_the_mean_of_its_pixels(page: Page) -> None:
    found = page.evaluate(
        """async () => {
          const { measured } = await import("./marks.js");
          const levels = new Uint16Array(1200).map((_, at) => (at % 40) * 8);
          const scale = { low: 0, high: 65535 }, spacing = [0.5, 0.25];
          const film = { width: 40, height: 30, levels, aspect: 1, spacing, scale };
          return measured({ kind: "area", x0: 4, y0: 6, x1: 20, y1: 26 }, film);
        }"""
    )
    rows, columns = np.mgrid[0:30, 0:40] + 0.5
    inside = ((columns - 12) / 8) ** 2 + ((rows - 16) / 10) ** 2 <= 1
    values = (np.arange(40) * 8)[None, :].repeat(30, 0)[inside]
    area = np.pi / 4 * (16 * 0.25) * (20 * 0.5)
    assert found == f"{area:.0f} mm², mean {values.mean():.0f}, SD {values.std():.0f}"


def test_a_reading_is_kept_and_leaves_as_files_that_pneumoscope_reads(
    page: Page, films: list[Path], address: str, tmp_path: Path
) -> None:
    positive(page, films[:4], 4)
    names = page.locator("#rows button").all_inner_texts()
    assert page.locator("[data-list=readings]").is_disabled()
    assert "agreed or disagreed" in page.locator("#list-note").inner_text()
    page.keyboard.press("y")
    page.click("[data-tool=box]")
    box = page.locator(".view canvas").first.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 40, steps=3)
    page.mouse.up()
    page.fill("#note", '=right, "lower"')
    page.locator("#reading-state:not(:empty)").wait_for()
    page.locator(".view canvas").first.focus()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    becomes(page.locator("tr[aria-current=true] button")).to_have_text(names[1])
    page.keyboard.press("u")
    page.locator("#reading-state:not(:empty)").wait_for()
    assert page.locator("#rows .read").all_inner_texts()[:2] == ["agreed", "disagreed"]

    content = saved(page, lambda: page.click("[data-list=readings]"))
    rows = table(content)
    assert [row["image"] for row in rows] == names[:2] or {row["image"] for row in rows} == set(
        names[:2]
    )
    by_name = {row["image"]: row for row in rows}
    first, second = by_name[names[0]], by_name[names[1]]
    assert first["label"] == first["model_label"] == "PNEUMONIA"
    assert second["label"] != second["model_label"]
    assert first["note"] == '\'=right, "lower"'
    (tmp_path / "readings.csv").write_bytes(content)
    for name in names:
        (tmp_path / name).write_bytes(next(f for f in films if f.name == name).read_bytes())
    manifest = Manifest.read(tmp_path / "readings.csv")
    assert set(manifest.table["label"]) <= {"NORMAL", "PNEUMONIA"}

    (tmp_path / "boxes.csv").write_bytes(saved(page, lambda: page.click("[data-list=boxes]")))
    (lesion,) = read_drawings(tmp_path / "boxes.csv").by_name[names[0]].shapes[""]
    told = json.loads(saved(page, lambda: page.click("[data-list=coco]")))
    (annotation,) = told["annotations"]
    assert isinstance(lesion, Box)
    assert annotation["bbox"] == [lesion.x, lesion.y, lesion.width, lesion.height]
    assert told["images"][annotation["image_id"] - 1]["file_name"] == names[0]

    page.locator("#rows button").first.click()
    page.locator("#rows tr:first-child[aria-current=true]").wait_for()
    found = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    kept = page.request.get(f"{address}/v1/findings/{found['id']}").json()["reading"]
    assert kept == found["reading"] and kept["boxes"][0]["width"] == annotation["bbox"][2]
    everything = table(saved(page, lambda: page.click("[data-list=worklist]")))
    assert [row["image"] for row in everything] == [f.name for f in films[:4]]


def test_the_worklist_survives_a_reload(page: Page, films: list[Path], address: str) -> None:
    drop(page, [*((f.name, f.read_bytes()) for f in films[:3]), ("notes.txt", b"no film")])
    before = loaded(page, 4)
    page.keyboard.press("u")
    becomes(page.locator("#reading-state")).to_have_text("Kept on the server.")
    page.reload()
    assert loaded(page, 4) == before
    page.locator("#finding").wait_for()
    assert page.locator("#disagree").get_attribute("aria-pressed") == "true"
    assert "not an image" in page.locator("#rows .reason").last.inner_text()
    found = json.loads(saved(page, lambda: page.click("[data-download=json]")))
    # A radiograph that the server has forgotten says so in its row, and keeps its reading.
    page.request.delete(f"{address}/v1/findings/{found['id']}")
    page.reload()
    page.locator("#rows .reason", has_text="forgotten").wait_for()
    assert "disagreed" in page.locator("#rows").inner_text()


def test_a_report_is_one_page_and_says_who_found_what(page: Page, films: list[Path]) -> None:
    positive(page, films)
    name = page.locator("tr[aria-current=true] button").inner_text()
    content = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1
    text = page.locator("#report").text_content() or ""
    for words in (name, "Probability", "threshold", "resnet18@", "Not a medical device"):
        assert words in text
    assert page.locator("#report img").evaluate("(picture) => picture.naturalWidth") > 100


def test_a_finding_is_copied_as_text(page: Page, films: list[Path]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    positive(page, films[:2], 2)
    page.click("[data-download=text]")
    page.locator("#toasts", has_text="Copied").wait_for()
    text = page.evaluate("() => navigator.clipboard.readText()")
    assert page.locator("#summary").inner_text() in text
    assert "threshold" in text and text.endswith("not for diagnosis.")


def test_the_card_is_a_page(page: Page) -> None:
    page.click("#card")
    page.locator("#card-text h1", has_text="Model card").wait_for()
    number = page.locator("#card-text td")
    assert number.inner_text() == "3"
    # Styles in the card's HTML would be refused by the page's policy.
    assert number.evaluate("(cell) => getComputedStyle(cell).textAlign") == "right"


def test_what_is_greyed_says_why(page: Page, films: list[Path], tmp_path: Path) -> None:
    assert page.locator("#download-note").inner_text() == "Open a radiograph to save it."
    noise = tmp_path / "knee.png"
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128)).astype(np.uint8)
    Image.fromarray(pixels).save(noise)
    page.set_input_files("#files", [noise])
    page.locator("#finding").wait_for()
    assert page.locator("#opacity").is_disabled()
    assert "not assessed has no heatmap" in page.locator("#heat-note").inner_text()
    assert "Save DICOM: " in page.locator("#download-note").inner_text()


def test_a_finger_goes_to_the_next_film(page: Page, films: list[Path]) -> None:
    page.set_input_files("#files", films[:2])
    loaded(page, 2)
    current = page.locator("tr[aria-current=true] button")
    current.wait_for()
    assert current.inner_text() == films[0].name
    settle(page)
    swipe(page)
    page.locator("tr[aria-current=true] button", has_text=films[1].name).wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_theme_is_readable_and_kept(
    browser: Browser, address: str, films: list[Path], theme: str
) -> None:
    axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto(address)
    while page.locator("#theme").inner_text() != f"Theme: {theme}":
        page.click("#theme")
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) == (theme == "light")
    positive(page, films)
    page.keyboard.press("y")
    for key in "xx":
        page.keyboard.press(key)
    assert violations(axe, page) == []
    page.reload()
    assert page.locator("#theme").inner_text() == f"Theme: {theme}"
    context.close()


def test_nothing_covers_the_finding_on_a_phone(
    browser: Browser, address: str, films: list[Path]
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    positive(page, films, 2)
    drop(page, [("broken.zip", b"PK\x03\x04 and nothing more")])
    page.locator("#toasts div").first.wait_for()
    for name in ("#label", "#summary", "#agree"):
        page.locator(name).scroll_into_view_if_needed()
        on_top = page.locator(name).evaluate(
            """(element) => {
              const { x, y, width, height } = element.getBoundingClientRect();
              return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            }"""
        )
        assert on_top, name
    context.close()
