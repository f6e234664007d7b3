"""The weights that backbones start from: where they are on this machine, fetched and checked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pneumoscope.errors import PneumoscopeError, WeightsError
from pneumoscope.files import atomic_path, sha256_file
from pneumoscope.models.backbones import build_backbone
from pneumoscope.models.origins import cached_hub_file, hub_file, start_of
from pneumoscope.models.record import BackboneRecord, WeightSource
from pneumoscope.models.registry import BACKBONES
from pneumoscope.models.state import fitting_state, read_state_dict
from pneumoscope.models.weights import HUB_FILE, file_in, file_name, is_ours, package_file

_SIZE = 224


@dataclass(frozen=True, slots=True)
class Start:
    """A backbone's own weights.

    Attributes:
        backbone: as it was named.
        source: where they come from; `none` where there are none.
        licence: of the weights.
        file: the name of their file in a folder given as `--weights FOLDER`; None where they come
            with an installed package or the backbone was named by its folder.
        place: where they are on this machine; None if they are missing.
    """

    backbone: str
    source: str
    licence: str
    file: str | None
    place: Path | None


def starts(backbones: Sequence[str] = (), folder: Path | None = None) -> list[Start]:
    """The weights of backbones, without any download.

    Args:
        backbones: names as of `models.origins.start_of`; none means every registered one.
        folder: looked in; a bundle or run holds all. None for the hub's cache and packages.

    Raises:
        SettingsError: a name is unknown, or the network cannot be explained.
        WeightsError: a folder named by `local-dir:` is missing or of another kind.
    """
    return [_start(name, *start_of(name), folder) for name in backbones or BACKBONES]


def fetch(backbone: str, folder: Path) -> Path:
    """Copy a backbone's own weights into a folder, from the hub or its cache.

    Returns:
        The file; of weights that come with a package, the package's.

    Raises:
        WeightsError: there are none, the hub cannot be reached, or the file is damaged.
        OutputError: the file cannot be written.
    """
    record, source = start_of(backbone)
    if source.package is not None:
        return package_file(source.package)
    if source.file is None and not source.available:
        raise WeightsError(
            f"there are no known weights of {backbone}", remedy="name a tag of timm that has some"
        )
    found = source.file or hub_file(source.name, HUB_FILE)
    _check_fit(record, source, found)
    out = folder / file_name(source)
    with atomic_path(out) as temporary:
        shutil.copyfile(found, temporary)
    return out


def check(backbone: str, place: Path) -> tuple[Path, str]:
    """See that a file, or the file in a folder, fits a backbone.

    Returns:
        The file and its hex SHA-256.

    Raises:
        WeightsError: it is missing, damaged or of another architecture.
    """
    record, source = start_of(backbone)
    path = file_in(place, source)
    digest = sha256_file(path)
    _check_fit(record, record.known(digest) or source, path)
    return path, digest


def _start(name: str, record: BackboneRecord, source: WeightSource, folder: Path | None) -> Start:
    local = source.package is not None or source.file is not None
    named = None if local or not source.available else file_name(source)
    return Start(name, source.name, source.licence, named, _place(source, folder))


def _place(source: WeightSource, folder: Path | None) -> Path | None:
    if source.file is not None or not source.available:
        return source.file
    if folder is not None and is_ours(folder):
        return folder
    try:
        if folder is not None:
            return file_in(folder, source)
        if source.package is not None:
            return package_file(source.package)
    except PneumoscopeError:
        return None
    return cached_hub_file(source.name, HUB_FILE)


def _check_fit(record: BackboneRecord, source: WeightSource, path: Path) -> None:
    """Compare names and shapes with a network without memory."""
    size = max(round(_SIZE / record.stride), 2) * record.stride
    with torch.device("meta"):
        network = build_backbone(record, size, source.options).network
    fitting_state(network, read_state_dict(path), path, in_order=source.in_order)
