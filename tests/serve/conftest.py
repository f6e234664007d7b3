"""A running service on a tiny bundle, shared by the room's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pneumoscope.imaging import Limits
from pneumoscope.serve.app import create_app
from pneumoscope.serve.service import Service
from pneumoscope.serve.settings import EngineSettings, ServeSettings
from tests.dicom.films import film
from tests.export.bundles import exported_small

LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="session")
def engine() -> EngineSettings:
    """A tiny exported bundle; films of at most 0.5 MB and 100,000 pixels."""
    file = exported_small("resnet18", "linear", "gradcam").path
    limits = Limits(max_bytes=500_000, max_pixels=100_000)
    return EngineSettings(bundle=file, threads=1, batch_size=4, limits=limits, dicom=True)


@pytest.fixture(scope="session")
def service(engine: EngineSettings) -> Iterator[Service]:
    """Started, with room for 8 films."""
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
    """One of the films as DICOM, which the gate takes for a chest film."""
    with Image.open(films[0]) as image:
        gray = np.asarray(image.convert("L"), dtype=np.uint16)
    return film(tmp_path_factory.mktemp("dicom") / "film.dcm", pixels=16 * gray)


@pytest.fixture(scope="session")
def films(phantoms: Path) -> list[Path]:
    """Films of about 128 px."""
    return sorted((phantoms / "images").glob("*.png"))
