"""From a bundle's path to the engine that runs it."""

from __future__ import annotations

from pathlib import Path

from pneumoscope.bundles import BundleInfo, OnnxBundle, find_bundle, read_bundle, read_onnx
from pneumoscope.bundles.info import ONNX_FILE
from pneumoscope.errors import BundleError
from pneumoscope.inference.engine import Engine
from pneumoscope.inference.onnx_engine import OnnxEngine


def load_engine(path: Path, *, threads: int | None = None) -> Engine:
    """Load a bundle, the bundle of a run, or a file of `pneumoscope export`.

    A file is run by onnxruntime, a folder by torch. Where torch is not installed, a folder is run
    by onnxruntime too if `model.onnx`, exported from this very bundle, stands in it.

    Args:
        path: of the bundle, the run or the file.
        threads: of onnxruntime, for one call; None for one per available CPU. Torch's own setting
            is left alone.

    Raises:
        BundleError: it is missing or altered, or torch is needed and not installed.
    """
    found = find_bundle(Path(path))
    if found.is_file():
        return OnnxEngine(read_onnx(found), threads=threads)
    _, info = read_bundle(found)
    try:
        from pneumoscope.inference.torch_engine import TorchEngine, load_classifier
    except ModuleNotFoundError as error:
        for folder in (found, Path(path)):
            if (folder / ONNX_FILE).is_file():
                return OnnxEngine(_export_of(info, folder / ONNX_FILE), threads=threads)
        raise BundleError(
            f"needs {error.name}, which is not installed",
            path=found,
            remedy="pip install 'pneumoscope[train]', or give a file of pneumoscope export",
        ) from error
    return TorchEngine(info, load_classifier(found, info))


def _export_of(info: BundleInfo, path: Path) -> OnnxBundle:
    """The ONNX file, if it was exported from the bundle that `info` describes."""
    exported = read_onnx(path)
    if exported.info.model_copy(update={"export": None}) != info:
        raise BundleError(
            "was not exported from the bundle beside it",
            path=path,
            remedy="write it again with pneumoscope export",
        )
    return exported
