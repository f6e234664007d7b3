"""From a bundle to its ONNX file: traced, written, checked, and only then kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pneumoscope.bundles import (
    BundleInfo,
    ExportInfo,
    OnnxBundle,
    Quality,
    read_bundle,
    read_onnx,
    write_onnx,
)
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.export.agreement import Agreement, require_agreement
from pneumoscope.export.network import ExportedNetwork
from pneumoscope.export.quality import Answers, answers, quality, require_quality
from pneumoscope.export.sample import Films, Progress, Sampling, read_films
from pneumoscope.export.tracing import Traced, trace
from pneumoscope.extras import require
from pneumoscope.files import atomic_path
from pneumoscope.inference import openvino_engine
from pneumoscope.inference.engine import Engine, Precision
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from pneumoscope.inference.torch_engine import TorchEngine
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.loading import load_classifier

Stored = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Attributes:
        path: the file.
        info: what it says of itself: the bundle's own description, and how the file was made.
        size: in bytes.
        agreement: how its form in float32 differs from torch.
    """

    path: Path
    info: BundleInfo
    size: int
    agreement: Agreement


def export_onnx(
    bundle: Path,
    out: Path,
    *,
    precision: Stored = "float32",
    cohort: Manifest | None = None,
    sampling: Sampling | None = None,
    progress: Progress = lambda *_: None,
) -> Exported:
    """Write a bundle as one ONNX file, after it has been seen to answer as torch does.

    Args:
        bundle: a bundle, or a run whose training has finished.
        out: the file, ending in `.onnx`; replaced if it exists, left alone if anything fails.
        precision: how weights are stored; see `ExportInfo`.
        cohort: val measures what the precision costs, train calibrates int8. Without it float32
            is written unmeasured.
        sampling: how many radiographs are looked at.
        progress: called with what is done, how much of it is done, and how much there is.

    Raises:
        BundleError: the bundle is missing or altered; it has no ONNX form that answers as torch; or
            float16 or int8 failed the quality gate (`Quality.good`).
        CohortError: the cohort cannot be used; see `read_films`.
        SettingsError: `out` ends otherwise, or the precision needs a cohort.
        OutputError: the file cannot be written.
    """
    out = Path(out)
    _check(out, precision, cohort)
    folder, info = read_bundle(bundle, weights=True)
    if folder.is_file():
        raise BundleError("is an ONNX file already", path=folder, remedy="give a bundle or a run")
    classifier = load_classifier(folder, info)
    films = None
    if cohort is not None:
        drawn = sampling or Sampling()
        films = read_films(cohort, info, drawn, progress, calibrate=precision == "int8")
    try:
        with atomic_path(out) as temporary:
            progress(_WRITING, 0, 1)
            traced = trace(ExportedNetwork(classifier, info), info)
            described = _described(info, ExportInfo(precision="float32"))
            write_onnx(temporary, traced.model, described)
            plain = OnnxEngine(read_onnx(temporary))
            found = require_agreement(plain, classifier)
            progress(_WRITING, 1, 1)
            if films is not None:
                made = ExportInfo(precision=precision, data_digest=films.digest)
                form = _in_precision(precision, traced, plain, films, progress)
                write_onnx(temporary, form, _described(info, made))
                figures = _measured(read_onnx(temporary), precision, classifier, films, progress)
                described = _described(info, made.model_copy(update={"quality": figures}))
                write_onnx(temporary, form, described)
    except BundleError as error:
        raise BundleError(error.problem, path=folder, remedy=error.remedy) from error
    return Exported(out, described, out.stat().st_size, found)


_WRITING = "Writing and checking the file"


def _check(out: Path, precision: Stored, cohort: Manifest | None) -> None:
    if out.suffix.lower() != ".onnx":
        raise SettingsError(
            f"'{out.name}' is not a name for an ONNX file", remedy="end it in .onnx"
        )
    if cohort is None and precision != "float32":
        raise SettingsError(
            f"{precision} is written only if it is seen to keep the answers, which takes a cohort",
            remedy="give the manifest of one with --cohort",
        )
    require("train", "export")


def _described(info: BundleInfo, export: ExportInfo) -> BundleInfo:
    return info.model_copy(update={"export": export})


def _in_precision(
    precision: Stored, traced: Traced, plain: OnnxEngine, films: Films, progress: Progress
) -> bytes:
    """The network with weights in that precision.

    Args:
        precision: of the weights.
        traced: the network in float32.
        plain: runs it.
        films: those that calibrate.
        progress: hears how far it is.
    """
    if precision == "float16":
        from pneumoscope.export.half import half_weights

        return half_weights(traced.model)
    if precision == "float32":
        return traced.model
    from pneumoscope.export.integers import int8_model

    def ask(model: bytes) -> Answers:
        engine = OnnxEngine(OnnxBundle(Path("int8.onnx"), model, plain.info))
        return answers(engine, films.calibration, "Trying int8", progress)

    reference = answers(plain, films.calibration, "Trying float32", progress)
    return int8_model(traced, films.calibration, ask, reference, progress)


def _measured(
    file: OnnxBundle, stored: Stored, classifier: Classifier, films: Films, progress: Progress
) -> dict[Precision, Quality]:
    """The figures of every precision that the file can be computed in on this machine.

    Raises:
        BundleError: float16 or int8 fails the gate.
    """
    ask = partial(answers, pixels=films.val, progress=progress)
    reference = ask(TorchEngine(file.info, classifier), doing="Measuring torch")
    engines: list[Engine] = [OnnxEngine(file)]
    if file.precision == "float32" and _computes_in_bfloat16():
        engines.append(OpenVinoEngine(file, precision="bfloat16"))
    figures = {}
    for engine in engines:
        precision = engine.runtime.precision
        found = quality(ask(engine, doing=f"Measuring {precision}"), reference, films.targets)
        figures[precision] = found
        if precision == file.precision and stored != "float32":
            require_quality(found, stored)
    return figures


def _computes_in_bfloat16() -> bool:
    return openvino_engine.installed() and openvino_engine.has_bfloat16()
