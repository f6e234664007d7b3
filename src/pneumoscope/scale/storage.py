"""Files wherever they are: local paths, and URIs that pyarrow knows (file, s3, gs, hdfs, ...)."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import MissingExtra, OutputError, PneumoscopeError, UnreadableImage
from pneumoscope.extras import how_to_install
from pneumoscope.files import atomic_path, sha256_file
from pneumoscope.imaging import (
    DEFAULT_LIMITS,
    Radiograph,
    is_dicom_start,
    is_radiograph_file,
    read_radiograph,
)
from pneumoscope.imaging.read import SUFFIXES

# Bytes that tell what a file is.
_HEAD = 140

if TYPE_CHECKING:
    from collections.abc import Iterator

# One letter is a drive of Windows.
_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Seconds to wait before a store that failed is asked again.
_PAUSES = (0.5, 2.0, 8.0)


def is_uri(text: str) -> bool:
    """Whether a text is a URI, not a path."""
    return _URI.match(text) is not None


@dataclass(frozen=True)
class Place:
    """A file or folder in a file system of pyarrow.

    Attributes:
        store: the file system.
        path: in it, `/` separated.
        text: as people know it.
    """

    store: Any
    path: str
    text: str

    @classmethod
    def at(cls, text: str) -> Place:
        """Where a path or URI leads.

        Raises:
            PneumoscopeError: pyarrow is not installed, or does not know such a URI.
        """
        try:
            from pyarrow import fs
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "pyarrow is not installed", remedy=how_to_install("scale")
            ) from error
        if not is_uri(text):
            return cls(fs.LocalFileSystem(), Path(text).absolute().as_posix(), text)
        try:
            store, path = fs.FileSystem.from_uri(text)
        except Exception as error:  # pyarrow's errors derive from ValueError, OSError and others.
            raise PneumoscopeError(
                f"{text} cannot be opened ({_words(error)})",
                remedy="give file://, s3:// or gs:// and the credentials it needs",
            ) from error
        return cls(store, path, text)

    @property
    def is_local(self) -> bool:
        """Whether the file system is this machine's."""
        return bool(self.store.type_name == "local")

    def below(self, *parts: str) -> Place:
        """A file or folder in this folder."""
        inside = "/".join(parts)
        return Place(self.store, f"{self.path.rstrip('/')}/{inside}", f"{self.text}/{inside}")

    def names(self) -> list[str]:
        """Names of the files directly in this folder; none if it does not exist."""
        from pyarrow import fs

        selector = fs.FileSelector(self.path, allow_not_found=True)
        found = self.store.get_file_info(selector)
        return sorted(each.base_name for each in found if each.is_file)

    def read_bytes(self) -> bytes | None:
        """The content; None if there is no such file."""
        from pyarrow import fs

        if self.store.get_file_info(self.path).type != fs.FileType.File:
            return None
        with self.store.open_input_stream(self.path) as stream:
            return bytes(stream.read())

    def write_bytes(self, content: bytes) -> None:
        """Write a whole file or nothing: locally by renaming, in a store as stores do.

        Raises:
            OutputError: it cannot be written.
        """
        if self.is_local:
            with atomic_path(Path(self.path)) as temporary:
                temporary.write_bytes(content)
            return
        try:
            with self.store.open_output_stream(self.path) as stream:
                stream.write(content)
        except OSError as error:
            raise OutputError(
                f"{self.text} cannot be written ({_words(error)})",
                remedy="check the store's permissions",
            ) from error


def list_radiographs(uri: str) -> list[str]:
    """URIs of the radiographs that a URI means: itself, or all below it if it is a folder.

    Files without a suffix, or with a numeric one, are taken as they are: what is no radiograph
    becomes a finding with an error. Others count if they begin as DICOM does. Hidden files are left
    out.

    Raises:
        PneumoscopeError: there is none, or the store cannot be read.
    """
    from pyarrow import fs

    place = Place.at(uri)
    try:
        info = place.store.get_file_info(place.path)
        if info.type == fs.FileType.File:
            return [uri]
        selector = fs.FileSelector(place.path, recursive=True, allow_not_found=True)
        found = place.store.get_file_info(selector)
    except OSError as error:
        raise PneumoscopeError(
            f"{uri} cannot be listed ({_words(error)})", remedy="check it and its permissions"
        ) from error
    inside = sorted(each.path for each in found if each.is_file and _may_be_film(place, each.path))
    if not inside:
        raise PneumoscopeError(
            f"no radiograph at {uri}", remedy="give PNG, JPEG, TIFF or DICOM files"
        )
    folder, start = uri.rstrip("/"), len(place.path.rstrip("/"))
    return [f"{folder}{path[start:]}" for path in inside]


def _may_be_film(folder: Place, path: str) -> bool:
    if folder.is_local:
        return is_radiograph_file(Path(path))
    name = PurePosixPath(path)
    if name.name.startswith(".") or name.name.upper() == "DICOMDIR":
        return False
    suffix = name.suffix.lower()
    if suffix in SUFFIXES or not suffix or suffix[1:].isdigit():
        return True
    try:
        with folder.store.open_input_file(path) as stream:
            return is_dicom_start(bytes(stream.read(_HEAD)))
    except OSError:
        return False


def content_digest(text: str) -> str | None:
    """What identifies the content of a path or URI: SHA-256, or in a store size and time of change.

    None where the file cannot be read, or the store tells no time.
    """
    try:
        place = Place.at(text)
        if place.is_local:
            return sha256_file(Path(place.path))
        info = place.store.get_file_info(place.path)
    except (OSError, PneumoscopeError):
        return None
    if info.mtime_ns is None or info.size is None:
        return None
    return f"{info.size} bytes of {info.mtime_ns}"


def read_anywhere(text: str, /, *, model: int | None = None) -> Radiograph:
    """Read one radiograph from a path or URI; what is remote is fetched first, within the limits.

    Args:
        text: the path or URI.
        model: as of `imaging.read_radiograph`.

    Raises:
        ImageError: as `imaging.read_radiograph`; or it cannot be fetched, asked several times.
    """
    if not is_uri(text):
        return read_radiograph(Path(text), model=model)
    try:
        place = Place.at(text)
    except PneumoscopeError as error:
        raise UnreadableImage(error.problem, path=text, remedy=error.remedy) from error
    if place.is_local:
        return read_radiograph(Path(place.path), model=model)
    handle, name = tempfile.mkstemp(prefix="film-")
    os.close(handle)
    try:
        Path(name).write_bytes(_fetched(place))
        return read_radiograph(Path(name), model=model)
    finally:
        with suppress(OSError):
            Path(name).unlink()


def _fetched(place: Place) -> bytes:
    for pause in _attempts():
        try:
            return _fetch(place)
        except OSError as error:
            if pause is None or isinstance(error, PermissionError | FileNotFoundError):
                raise UnreadableImage(
                    f"cannot be fetched ({_words(error)})",
                    path=place.text,
                    remedy="check it and its permissions",
                ) from error
            time.sleep(pause)
    raise AssertionError("unreachable")


def _attempts() -> Iterator[float | None]:
    yield from _PAUSES
    yield None


def _fetch(place: Place) -> bytes:
    from pyarrow import fs

    info = place.store.get_file_info(place.path)
    if info.type == fs.FileType.NotFound:
        raise UnreadableImage("does not exist", path=place.text, remedy="check the path")
    if info.type != fs.FileType.File:
        raise UnreadableImage("is not a file", path=place.text, remedy="give an image file")
    limit = DEFAULT_LIMITS.max_bytes
    DEFAULT_LIMITS.check_bytes(Path(place.path), info.size)
    with place.store.open_input_stream(place.path) as stream:
        content = bytes(stream.read(limit + 1))
    # A store may say one size and send another.
    DEFAULT_LIMITS.check_bytes(Path(place.path), len(content))
    return content


def _words(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:120]
