"""A running service on a tiny bundle, shared by the room's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pneumoscope.bundles.info import CARD_FILE
from pneumoscope.imaging import Limits
from pneumoscope.serve.app import create_app
from pneumoscope.serve.service import Service
from pneumoscope.serve.settings import EngineSettings, ServeSettings
from tests.dicom.films import film
from tests.export.bundles import exported_small
from tests.serve.processes import chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    """A tiny exported bundle with a card; radiographs of at most 0.5 MB and 100,000 pixels."""
    exported = exported_small("resnet18", "linear", "gradcam").path
    file = tmp_path_factory.mktemp("bundle") / exported.name
    shutil.copy(exported, file)
    (file.parent / CARD_FILE).write_text("# Model card\n\n| n |\n|---:|\n| 3 |\n", encoding="utf-8")
    limits = Limits(max_bytes=500_000, max_pixels=100_000)
    return EngineSettings(
        bundle=file, threads=1, batch_size=4, limits=limits, dicom=True, study=True
    )


@pytest.fixture(scope="session")
def service(engine: EngineSettings) -> Iterator[Service]:
    """Started, with room for 8 radiographs."""
    made = Service(ServeSettings(engine=engine, queue=8, films_per_request=6, timeout=30))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(service: Service) -> TestClient:
    """Speaks with the service; its end does not stop it."""
    return TestClient(create_app(service), base_url=LOCAL)


@pytest.fixture(scope="session")
def dicom_film(films: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of the radiographs as DICOM, which the gate takes for a chest radiograph."""
    with Image.open(films[0]) as image:
        gray = np.asarray(image.convert("L"), dtype=np.uint16)
    return film(tmp_path_factory.mktemp("dicom") / "film.dcm", pixels=16 * gray)


@pytest.fixture(scope="session")
def films(phantoms: Path) -> list[Path]:
    """Films of about 128 px."""
    return sorted((phantoms / "images").glob("*.png"))


@pytest.fixture(scope="session")
def address(engine: EngineSettings) -> Iterator[str]:
    chromium()
    with served(engine.bundle) as (found, _):
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


def _troubles(message: ConsoleMessage) -> list[str]:
    """An error of the page; that a radiograph is forgotten is none."""
    forgotten = "404" in message.text and "/v1/findings/" in message.location["url"]
    return [message.text] if message.type == "error" and not forgotten else []


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page; an error in its scripts or a request to elsewhere fails the test."""
    found = browser.new_page(viewport={"width": 1440, "height": 900})
    troubles: list[str] = []
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on("console", lambda message: troubles.extend(_troubles(message)))
    found.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((address, "blob:", "data:"))
            else troubles.append(asked.url)
        ),
    )
    found.goto(address)
    found.locator("#model:not(:empty)").wait_for()
    yield found
    found.close()
    assert troubles == []
