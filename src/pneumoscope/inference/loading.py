"""From a bundle's path to the engine that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pneumoscope.bundles import BundleInfo, OnnxBundle, find_bundle, read_bundle, read_onnx
from pneumoscope.bundles.info import ONNX_FILE
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.extras import how_to_install
from pneumoscope.inference.engine import Engine, EngineName, Precision
from pneumoscope.inference.selection import EngineChoice, PrecisionChoice, Wanted, file_engine


def load_engine(
    path: Path,
    *,
    engine: EngineChoice = "auto",
    precision: PrecisionChoice = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    expected: int | None = None,
    streams: int = 1,
    every_method: bool = False,
) -> Engine:
    """Load a bundle, the bundle of a run, or a file of `pneumoscope export`.

    A folder is run by torch in float32, unless another engine is named. Where torch is not
    installed, or an engine for files is named, a folder needs its `model.onnx`. A file is run by
    what `selection.file_engine` chooses.

    Args:
        path: of the bundle, the run or the file, or `default`.
        engine: `onnxruntime` and `openvino` run files, `torch` runs folders.
        precision: to compute in. `auto` takes only what passed the quality gate on val.
        threads: of onnxruntime or OpenVINO, for one call; None to share the available CPUs among
            the streams. Torch's own setting is left alone.
        batch_size: radiographs that onnxruntime or OpenVINO computes in one call, at most; None
            for 16.
        expected: how many radiographs are to come. With 64 or more a self-test may choose among
            engines and precisions; with fewer, or None, the one that starts soonest runs.
        streams: calls of onnxruntime or OpenVINO that are to run at the same time; see
            `selection.streams_for`.
        every_method: of `default`, where nothing is named, take the folder, which torch explains
            in every way, instead of the exported file in it.

    Raises:
        BundleError: it is missing or altered, or a library is needed and not installed.
        SettingsError: there is no such engine for it, or no such precision.
    """
    # From Python it may be any text, and would run as if nobody had asked.
    for what, name, known in (
        ("engine", engine, ("auto", *get_args(EngineName))),
        ("precision", precision, ("auto", *get_args(Precision))),
    ):
        if name not in known:
            raise SettingsError(
                f"there is no {what} {name!r}", remedy=f"choose among {', '.join(known)}"
            )
    if threads is not None and threads < 1:
        raise SettingsError(f"{threads} threads", remedy="give 1 or more")
    in_every_way = every_method and (engine, precision) == ("auto", "auto")
    found = find_bundle(Path(path), weights=engine == "torch" or in_every_way)
    wanted = Wanted(engine, precision, threads, batch_size, expected, streams)
    if found.is_file():
        if engine == "torch":
            raise SettingsError(
                "is not for torch", path=found, remedy="give the bundle's folder, or a run"
            )
        return file_engine(read_onnx(found), wanted)
    found, info = read_bundle(found)
    if engine in ("onnxruntime", "openvino"):
        return file_engine(_export_in((found, Path(path)), info), wanted)
    if precision == "int8":
        raise SettingsError(
            "torch does not compute in int8", remedy="give a file of pneumoscope export in int8"
        )
    try:
        from pneumoscope.inference.torch_engine import TorchEngine
        from pneumoscope.models.loading import load_classifier
    except ModuleNotFoundError as error:
        if engine == "auto" and _beside((found, Path(path))) is not None:
            return file_engine(_export_in((found, Path(path)), info), wanted)
        raise BundleError(
            f"needs {error.name}, which is not installed",
            path=found,
            remedy=f"give a file of pneumoscope export, or {how_to_install('train')}",
        ) from error
    chosen = "float32" if precision == "auto" else precision
    return TorchEngine(info, load_classifier(found, info), chosen)


def _beside(folders: tuple[Path, ...]) -> Path | None:
    files = (folder / ONNX_FILE for folder in folders)
    return next((path for path in files if path.is_file()), None)


def _export_in(folders: tuple[Path, ...], info: BundleInfo) -> OnnxBundle:
    """The ONNX file in one of the folders, if it was exported from the bundle `info` describes.

    Raises:
        BundleError: there is none, or it was exported from another bundle.
    """
    path = _beside(folders)
    if path is None:
        raise BundleError(
            f"holds no {ONNX_FILE}",
            path=folders[0],
            remedy="write it with pneumoscope export, or choose the engine torch",
        )
    exported = read_onnx(path)
    if exported.info.model_copy(update={"export": None}) != info:
        raise BundleError(
            "was not exported from the bundle beside it",
            path=path,
            remedy="write it again with pneumoscope export",
        )
    return exported
