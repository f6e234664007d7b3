"""Which runs a comparison consists of, and where each of them stands on disk.

A run is recognised by the digest of its settings and of its data, computed anew from its own
`config.yaml` and `manifest.csv`: a run made by `pneumoscope train` with the same settings counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from pneumoscope.bundles import read_bundle
from pneumoscope.bundles.info import INFO_FILE
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.sidecar import sidecar_path
from pneumoscope.errors import BundleError, OutputError, RunError, SettingsError
from pneumoscope.files import sha256_file, write_json
from pneumoscope.models.origins import start_of
from pneumoscope.models.registry import BACKBONES
from pneumoscope.training.history import read_history
from pneumoscope.training.runner import CONFIG, HISTORY, MANIFEST
from pneumoscope.training.settings import TrainingSettings, make_settings, read_settings
from pneumoscope.training.starts import starts

MARKER = "comparison.json"
"""The file that says that a folder is a comparison."""

RUNS = "runs"
Stage = Literal["new", "unfinished", "trained"]
# The files that a run begins with.
_FIRST = (CONFIG, MANIFEST, sidecar_path(Path(MANIFEST)).name)
# What differs from run to run by design, and so cannot be a setting of the whole comparison.
_OWN = {
    "backbone": "--backbones",
    "seed": "--seeds",
    "weights": "--weights",
    "preset": "--preset",
    "findings": "a cohort of one finding (pneumoscope scan --positive)",
}


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One training: a backbone, a seed, and the settings they resolve to."""

    settings: TrainingSettings
    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, `{backbone}-seed{seed}`."""
        return self.folder.name

    @property
    def backbone(self) -> str:
        """The backbone's registered name."""
        return self.settings.backbone

    @property
    def seed(self) -> int:
        """Of weights, order and augmentation."""
        return self.settings.seed

    def from_scratch(self) -> PlannedRun:
        """The same run with random start weights."""
        return replace(self, settings=self.settings.model_copy(update={"weights": "none"}))


@dataclass(frozen=True, slots=True)
class Standing:
    """A planned run and how far it has come.

    Attributes:
        run: its settings are those on disk, if there are any.
        stage: `new` (nothing, or nothing of use), `unfinished` (may be resumed), `trained`.
        epochs: finished epochs.
    """

    run: PlannedRun
    stage: Stage
    epochs: int = 0


def make_plan(
    out: Path,
    backbones: Sequence[str],
    seeds: Sequence[int] | Mapping[str, Sequence[int]],
    *,
    preset: str = "default",
    weights: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[PlannedRun]:
    """All runs: the first seed of every backbone, then the second of those that have two.

    So the table of the first seeds is complete first.

    Args:
        out: the comparison's folder.
        backbones: names as of `models.origins.start_of`; none means every registered one.
        seeds: at least one; or backbone to its own, where "" is for those not named.
        preset: `default` or `paper`.
        weights: backbone to `auto`, `none`, a file or a folder; "" is for those not named.
        overrides: settings that all runs share.

    Raises:
        SettingsError: an unknown backbone, preset or setting, a backbone or seed named twice, a
            setting that has an option of its own, or weights for a backbone that is not compared.
    """
    names = list(backbones) or list(BACKBONES)
    _once("backbone", names)
    for name in names:
        start_of(name)
    own = _seeds_of(names, seeds if isinstance(seeds, Mapping) else {"": seeds})
    start, shared = dict(weights or {}), dict(overrides or {})
    for name in shared:
        if name in _OWN:
            raise SettingsError(
                f"'{name}' is not a setting of the whole comparison", remedy=f"give {_OWN[name]}"
            )
    for name in start:
        if name and name not in names:
            raise SettingsError(f"weights are given for '{name}', which is not compared")
    shared_start = start.get("", "auto")
    one_file = shared_start not in ("auto", "none") and not Path(shared_start).is_dir()
    if len(names) > 1 and one_file:
        raise SettingsError(
            f"one weights file ({shared_start}) cannot serve {len(names)} backbones",
            remedy="give --weights BACKBONE=FILE for each, or a folder with a file of each",
        )
    return [
        PlannedRun(
            make_settings(
                preset,
                **{
                    **shared,
                    "backbone": name,
                    "seed": seed,
                    "weights": start.get(name, start.get("")),
                },
            ),
            out / RUNS / f"{_folder_name(name)}-seed{seed}",
        )
        for place in range(max(map(len, own.values())))
        for name in names
        for seed in own[name][place : place + 1]
    ]


def _folder_name(backbone: str) -> str:
    """A backbone's name without what leads to other folders, in `hf-hub:` and `local-dir:`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", backbone)


def _seeds_of(names: Sequence[str], given: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """The seeds of each backbone.

    Raises:
        SettingsError: one has none, a seed is below 0 or named twice, or seeds are given for a
            backbone that is not compared.
    """
    for name in given:
        if name and name not in names:
            raise SettingsError(f"seeds are given for '{name}', which is not compared")
    own = {name: given.get(name, given.get("", ())) for name in names}
    for name, seeds in own.items():
        if not seeds or min(seeds) < 0:
            raise SettingsError(
                f"{name} has no seeds: they are whole numbers from 0",
                remedy="give --seeds 1,2,3",
            )
        _once("seed", [str(seed) for seed in seeds])
    return own


def _once(what: str, values: Sequence[str]) -> None:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise SettingsError(f"the {what} {twice[0]} is named twice", remedy="name each once")


def run_digest(settings: TrainingSettings, data_digest: str) -> str:
    """Hex SHA-256 of the settings, as canonical JSON, and of the manifest's digest."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{text}\n{data_digest}".encode()).hexdigest()


def check_folder(out: Path) -> None:
    """Refuse a folder that holds something else than a comparison.

    A folder without the marker passes if it holds runs in a comparison's layout.

    Raises:
        OutputError: it does not, or it is a file.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if (out / MARKER).is_file():
        return
    if any(out.glob(f"{RUNS}/*-seed*/{CONFIG}")):
        return
    raise OutputError(
        "is not empty and not a comparison folder", path=out, remedy="choose another --out"
    )


@contextmanager
def occupied(out: Path, data_digest: str) -> Iterator[None]:
    """Mark the folder as a comparison and keep other processes out; a kill frees it.

    Raises:
        OutputError: another process is at work there, or it cannot be written.
    """
    marker = out / MARKER
    if not marker.is_file():
        write_json(marker, {"format": 1, "data_digest": data_digest})
    with marker.open(encoding="utf-8") as stream:
        if not _locked(stream):
            raise OutputError(
                "another comparison is at work there", path=out, remedy="wait for it or stop it"
            )
        yield


def _locked(stream: IO[str]) -> bool:
    """Lock a file for as long as it is open; where the system cannot, nobody is kept out."""
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def standing(run: PlannedRun, data_digest: str, *, or_from_scratch: bool = False) -> Standing:
    """Where a run stands.

    Args:
        run: as planned.
        data_digest: of the comparison's manifest.
        or_from_scratch: a run on disk that started from random weights is accepted where the plan
            says `auto`.

    Raises:
        RunError: the folder holds a run with other settings or other data, or something else.
        BundleError: its bundle is damaged.
    """
    if not run.folder.exists():
        return Standing(run, "new")
    if not all((run.folder / name).is_file() for name in _FIRST):
        return _barely_begun(run)
    found = read_settings(run.folder / CONFIG)
    digest = run_digest(found, Manifest.read(run.folder / MANIFEST).digest())
    choices = [run]
    if or_from_scratch and run.settings.weights == "auto":
        choices.append(run.from_scratch())
    same = [one for one in choices if run_digest(one.settings, data_digest) == digest]
    if not same:
        raise RunError(
            f"holds a run with {_difference(found, run.settings)}",
            path=run.folder,
            remedy="give the options it was made with, or another folder for --out",
        )
    epochs = len(read_history(run.folder / HISTORY))
    if not (run.folder / "bundle" / INFO_FILE).is_file():
        return Standing(same[0], "unfinished", epochs)
    _check_bundle(run.folder, data_digest)
    return Standing(same[0], "trained", epochs)


def missing_weights(standings: Iterable[Standing]) -> dict[str, str]:
    """Backbones still to be trained whose own weights are not on this machine, and their files."""
    missing: dict[str, str] = {}
    for one in standings:
        settings = one.run.settings
        folder = None if settings.weights == "auto" else Path(settings.weights)
        if one.stage != "new" or not (folder is None or folder.is_dir()):
            continue
        (start,) = starts([settings.backbone], folder)
        if start.place is None:
            missing[settings.backbone] = start.file or "none are known"
    return missing


def clear_remains(folder: Path) -> None:
    """Remove what a run leaves that was killed before its first step; see `standing`.

    Only the files that a run begins with are touched.
    """
    for name in _FIRST:
        (folder / name).unlink(missing_ok=True)
    # What `files.atomic_path` writes to.
    for remains in folder.glob(".*-*"):
        remains.unlink()


def bundle_digest(folder: Path) -> str:
    """Hex SHA-256 of a run's `bundle.json`, which names the digest of every other file."""
    return sha256_file(folder / "bundle" / INFO_FILE)


def _barely_begun(run: PlannedRun) -> Standing:
    """A folder with at most the first files of a run may be begun again."""
    strange = [p for p in run.folder.iterdir() if p.name not in _FIRST and p.name[0] != "."]
    if strange:
        raise RunError(
            f"holds {strange[0].name} and no run",
            path=run.folder,
            remedy="choose another folder for --out",
        )
    return Standing(run, "new")


def _check_bundle(folder: Path, data_digest: str) -> None:
    try:
        _, info = read_bundle(folder / "bundle")
    except BundleError as error:
        raise BundleError(
            error.problem,
            path=error.path,
            remedy="remove the run's folder 'bundle': it is made again from the checkpoints",
        ) from error
    if info.training.data_digest != data_digest:
        raise BundleError(
            "was trained on other data than its run names",
            path=folder / "bundle",
            remedy="choose another folder for --out",
        )


def _difference(found: TrainingSettings, wanted: TrainingSettings) -> str:
    """The first setting that differs, in words."""
    ours, theirs = wanted.model_dump(), found.model_dump()
    names = [name for name in ours if ours[name] != theirs[name]]
    if not names:
        return "other data: the cohort or its split has changed"
    said = (f"{name} {theirs[name]} (asked for: {ours[name]})" for name in names[:3])
    return f"other settings: {', '.join(said)}"
