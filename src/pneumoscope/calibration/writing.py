"""Writing a calibrated bundle: a folder with its exported files, or one exported file."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pneumoscope.bundles import BundleInfo, find_bundle, read_bundle, read_onnx, write_onnx
from pneumoscope.bundles.info import CARD_FILE, INFO_FILE, ONNX_FILE
from pneumoscope.bundles.onnx_file import unseal
from pneumoscope.calibration.graph import with_calibration
from pneumoscope.errors import BundleError, OutputError, SettingsError
from pneumoscope.files import atomic_path, cannot_write, write_json
from pneumoscope.inference.finishing import calibrated_probability
from pneumoscope.inference.onnx_engine import OnnxEngine

_CARD_DATA = "model_card.json"


@dataclass(frozen=True, slots=True)
class Target:
    """What is calibrated, and where the result goes.

    Attributes:
        source: the bundle's folder, or one exported file.
        exported: the exported files of a folder.
        out: a folder that does not exist, or a file's name that ends in `.onnx`.
        info: of the source.
    """

    source: Path
    exported: tuple[Path, ...]
    out: Path
    info: BundleInfo

    @classmethod
    def of(cls, bundle: Path, out: Path) -> Target:
        """Find what `bundle` means and check it and `out` before any work is begun.

        Args:
            bundle: a bundle, a run, an exported file, or `default`.
            out: ends in `.onnx` to calibrate the exported file alone.

        Raises:
            BundleError: there is no such bundle, it is altered, or holds no exported file.
            OutputError: `out` exists.
            SettingsError: an exported file cannot become a folder.
        """
        bundle, out = Path(bundle), Path(out)
        if out.exists():
            raise OutputError("already exists", path=out, remedy="choose another name in --out")
        found = find_bundle(bundle, weights=True)
        alone = out.suffix.lower() == ".onnx"
        if found.is_file() and not alone:
            raise SettingsError(
                f"{found.name} is one file, and --out names a folder",
                remedy="end --out in .onnx, or give the bundle's folder",
            )
        if alone and found.is_dir():
            found = _exported_file(found, bundle)
        _, info = read_bundle(found)
        exported = () if found.is_file() else _exported(found, bundle, info)
        return cls(found, exported, out, info)


def _places(folder: Path, bundle: Path) -> list[Path]:
    """Where exported files of a bundle may lie: in its own folder, then in its run's."""
    return [folder, bundle] if bundle == folder.parent else [folder]


def _exported_file(folder: Path, bundle: Path) -> Path:
    for place in _places(folder, bundle):
        if (place / ONNX_FILE).is_file():
            return place / ONNX_FILE
    raise BundleError(
        f"holds no {ONNX_FILE}",
        path=folder,
        remedy="write it with pneumoscope export, or name a folder in --out",
    )


def _exported(folder: Path, bundle: Path, info: BundleInfo) -> tuple[Path, ...]:
    """The exported files of a bundle; those of another one are left aside."""
    files: dict[str, Path] = {}
    for place in _places(folder, bundle):
        for path in sorted(place.glob("*.onnx")):
            if read_onnx(path).info.model_copy(update={"export": None}) == info:
                files.setdefault(path.name, path)
    return tuple(files.values())


def write_calibrated(target: Target, info: BundleInfo, card: str) -> None:
    """Write the calibrated bundle; what fails leaves nothing behind.

    Args:
        target: from where to where.
        info: the new description, as `fit_site` gives it.
        card: of the bundle, in Markdown; left out where the result is one file.

    Raises:
        BundleError: an exported file does not answer as it should after the change.
        OutputError: it cannot be written.
    """
    if target.source.is_file():
        with atomic_path(target.out) as temporary:
            _write_file(target.source, temporary, info)
        return
    draft = target.out.with_name(f".{target.out.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        for name in (*info.files, _CARD_DATA):
            if (target.source / name).is_file():
                shutil.copyfile(target.source / name, draft / name)
        write_json(draft / INFO_FILE, info.model_dump(mode="json"))
        (draft / CARD_FILE).write_text(card, encoding="utf-8")
        for path in target.exported:
            _write_file(path, draft / path.name, info)
        draft.rename(target.out)
    except OSError as error:
        raise cannot_write(target.out, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_file(source: Path, out: Path, info: BundleInfo) -> None:
    """Write an exported file with another calibration, and see that it answers so."""
    before = read_onnx(source)
    described = info.model_copy(update={"export": before.info.export})
    graph = with_calibration(unseal(before.model), info.temperature, info.bias)
    write_onnx(out, graph, described)
    after = read_onnx(out)
    size = info.architecture.size
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size), dtype=np.uint8)
    targets = np.ones(2, dtype=np.int64)
    old, new = (OnnxEngine(each, threads=1).explain(pixels, targets) for each in (before, after))
    expected = [
        calibrated_probability(float(logit), info.temperature, info.bias) for logit in old["logit"]
    ]
    same = all(np.array_equal(old[name], new[name]) for name in old if name != "probability")
    if not same or not np.allclose(new["probability"], expected, atol=1e-5):
        raise BundleError(
            "does not give the calibrated probability after the change",
            path=source,
            remedy="write it again with pneumoscope export",
        )
