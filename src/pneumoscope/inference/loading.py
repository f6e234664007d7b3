"""From a bundle's path to the engine that runs it."""

from __future__ import annotations

from pathlib import Path

from pneumoscope.bundles import read_bundle
from pneumoscope.errors import BundleError
from pneumoscope.inference.engine import Engine


def load_engine(path: Path) -> Engine:
    """Load a bundle, or the bundle of a run.

    Raises:
        BundleError: it is missing or altered, or torch is not installed.
    """
    folder, info = read_bundle(path)
    try:
        from pneumoscope.inference.torch_engine import TorchEngine, load_classifier
    except ModuleNotFoundError as error:
        raise BundleError(
            f"needs {error.name}, which is not installed",
            path=folder,
            remedy="pip install 'pneumoscope[train]'",
        ) from error
    return TorchEngine(info, load_classifier(folder, info))
