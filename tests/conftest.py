"""What tests share: real data if there is any, a small phantom cohort, a small trained run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Two torch processes on two cores slow each other tenfold; tests compute little anyway.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The terminal's width is read once, by whichever test of a process comes first.
os.environ["COLUMNS"] = "200"
# Examples are the same each time, and a busy machine may take its time over them.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


HERE = Path(__file__).parent
# Their tests wait for other processes: peers on the network, a browser.
WITH_OTHERS = (HERE / "dicom", HERE / "serve")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, and let those fail once that depend on other processes.

    Files with slow tests come first, so that no worker is left alone with one at the end. A test
    that passed only when repeated is listed as RERUN in the summary: it looks too early, or it has
    found a race, and is to be mended either way.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if any(folder in item.path.parents for folder in WITH_OTHERS):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real radiographs; skips without it."""
    named = os.environ.get("PNEUMOSCOPE_DATA")
    if not named:
        pytest.skip("PNEUMOSCOPE_DATA is not set")
    return Path(named)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests never touch the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PNEUMOSCOPE_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a phantom cohort: 60 radiographs of about 128 px."""
    from pneumoscope.phantom import PhantomSettings, write_cohort

    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(folder, PhantomSettings(n=60, seed=3, size=128))
    return folder


@pytest.fixture(scope="session")
def manifest_file(phantoms: Path) -> Path:
    """Manifest of the phantom cohort."""
    from pneumoscope.cohort.scan import ScanSettings, scan

    result = scan(phantoms / "cohort.csv", ScanSettings(fractions=(0.5, 0.25, 0.25)))
    path = phantoms.parent / "manifest.csv"
    result.manifest.write(path)
    return path


@pytest.fixture(scope="session")
def run_folder(manifest_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: a small ResNet-18, one epoch from scratch at 64 px."""
    from pneumoscope.cohort.manifest import Manifest
    from pneumoscope.training.runner import start_run
    from pneumoscope.training.settings import make_settings

    settings = make_settings(
        backbone="resnet18", weights="none", size=64, epochs=1, batch_size=8, seed=1
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    start_run(Manifest.read(manifest_file), settings, folder)
    return folder
