"""Findings as Parquet: parts that are written whole, each named by its radiographs.

A part belongs to a fixed list of radiographs. Whoever computes it, however often, writes the same
rows under the same name; that is why a worker that dies, or is thought dead, loses and doubles
nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pneumoscope.errors import OutputError
from pneumoscope.findings import Finding
from pneumoscope.scale.storage import Place, content_digest

FOLDER = "findings"
_SUFFIX = ".parquet"
_FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Unit:
    """Films that become one part.

    Attributes:
        part: the file's name.
        names: radiographs to do.
    """

    part: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do.

    Attributes:
        units: parts to write, or to complete.
        kept: radiographs that have a finding already, and have not changed since.
        changed: radiographs that have changed since their finding was made; they are among the
            units.
    """

    units: tuple[Unit, ...]
    kept: tuple[str, ...]
    changed: tuple[str, ...]


def part_name(names: Sequence[str]) -> str:
    """The name of the part of these radiographs."""
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape"))
    return f"part-{digest.hexdigest()[:24]}{_SUFFIX}"


def plan(
    names: Sequence[str],
    out: Place,
    *,
    size: int,
    now: Callable[[str], str | None] = content_digest,
) -> Plan:
    """Divide radiographs into units of `size`, leaving out those that have a finding in `out`.

    Units depend on the list alone, so that a repeated call names the same parts. Radiographs that
    had an error, or have changed since, are done again in the part where they stand.

    Args:
        names: paths or URIs.
        out: folder of the findings.
        size: radiographs per unit.
        now: what identifies a radiograph's content now; None if that is not known.
    """
    wanted = dict.fromkeys(names)
    done: set[str] = set()
    changed: list[str] = []
    again: list[Unit] = []
    for part in _parts(out):
        rows = _content(out, part)
        done.update(rows)
        asked = {name: content for name, content in rows.items() if name in wanted}
        failed = [name for name, content in asked.items() if content == _FAILED]
        other = _other_films({n: c for n, c in asked.items() if c != _FAILED}, now)
        changed += other
        if failed or other:
            again.append(Unit(part, (*failed, *other)))
    ordered = list(wanted)
    blocks = (ordered[start : start + size] for start in range(0, len(ordered), size))
    left = ([name for name in block if name not in done] for block in blocks)
    new = [Unit(part_name(block), tuple(block)) for block in left if block]
    units = (*again, *new)
    todo = {name for unit in units for name in unit.names}
    kept = tuple(name for name in wanted if name not in todo)
    return Plan(units, kept, tuple(sorted(changed)))


def _other_films(known: dict[str, str], now: Callable[[str], str | None]) -> list[str]:
    """The names whose content is not what it was, or is not known."""
    # Hashing releases the interpreter's lock, and stores are slow to answer.
    with ThreadPoolExecutor() as pool:
        contents = pool.map(now, known)
        return [
            name
            for (name, before), after in zip(known.items(), contents, strict=True)
            if after is None or after != before
        ]


def write_part(out: Place, unit: Unit, findings: Iterable[Finding]) -> None:
    """Write a unit's part; of a part that exists, the radiographs outside the unit keep their rows.

    Raises:
        OutputError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [finding.model_dump(mode="json") for finding in findings]
    table = pa.Table.from_pylist(rows, schema=_schema())
    kept = _read(out, unit.part)
    if kept is not None:
        again = {row["image"] for row in rows}
        stays = pa.array([image not in again for image in kept["image"].to_pylist()], pa.bool_())
        earlier = [_finding_row(row) for row in kept.filter(stays).to_pylist()]
        table = pa.Table.from_pylist([*earlier, *rows], schema=table.schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    out.below(FOLDER, unit.part).write_bytes(buffer.getvalue())


def read_findings(out: Place) -> list[Finding]:
    """All findings in a folder; they have to fit into memory."""
    parts = _parts(out)
    tables = [_read(out, part) for part in parts]
    rows = [row for table in tables if table is not None for row in table.to_pylist()]
    return [_finding(row) for row in rows]


def _parts(place: Place) -> list[str]:
    """The parts of a folder; a file that a killed worker was writing is hidden, and none."""
    names = place.below(FOLDER).names()
    return [name for name in names if name.endswith(_SUFFIX) and not name.startswith(".")]


def count_judged(out: str, names: Sequence[str]) -> int:
    """How many of these radiographs have a finding in a folder and were judged.

    Args:
        out: path or URI of the folder that holds `findings/`.
        names: of the radiographs.
    """
    place, wanted = Place.at(out), set(names)
    tables = [_read(place, part, ["image", "error", "gate"]) for part in _parts(place)]
    rows = [row for table in tables if table is not None for row in table.to_pylist()]
    return len(
        {
            row["image"]
            for row in rows
            if row["image"] in wanted
            and row["error"] is None
            and not (row["gate"] or {}).get("flagged")
        }
    )


def _finding_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a part, with the fields that an earlier version did not write."""
    return _finding(row).model_dump(mode="json")


def _finding(row: dict[str, Any]) -> Finding:
    """The finding of a row; an earlier version wrote a probability where the gate flagged."""
    if (row["gate"] or {}).get("flagged"):
        row = row | {"label": None, "probability": None}
    return Finding.model_validate(row)


def _content(out: Place, part: str) -> dict[str, str]:
    """Of all radiographs in a part what identified their content, or `_FAILED`."""
    table = _read(out, part)
    rows = [] if table is None else table.to_pylist()
    return {
        row["image"]: _FAILED if row["error"] is not None else row.get("digest") or ""
        for row in rows
    }


def _read(out: Place, part: str, columns: list[str] | None = None) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = out.below(FOLDER, part)
    content = place.read_bytes()
    if content is None:
        return None
    try:
        return pq.read_table(pa.BufferReader(content), columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise OutputError(
            f"{place.text} is not a part of findings, or is damaged",
            remedy="remove it and run again",
        ) from error


def _schema() -> Any:
    """One row per radiograph, with the fields of a `Finding`."""
    import pyarrow as pa

    box = [(side, pa.int32()) for side in ("x", "y", "width", "height")]
    region = pa.struct([*box, ("score", pa.float64()), ("zone", pa.string())])
    gate = pa.struct([("flagged", pa.bool_()), ("reason", pa.string())])
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            ("digest", pa.string()),
            ("label", pa.string()),
            ("probability", pa.float64()),
            ("threshold", pa.float64()),
            ("uncertain", pa.bool_()),
            ("gate", gate),
            ("regions", pa.list_(region)),
            ("in_lungs", pa.float64()),
            ("heatmap", pa.string()),
            ("summary", pa.string()),
            ("weaknesses", pa.list_(pa.string())),
            ("notes", pa.list_(pa.string())),
            pa.field("model", pa.string(), nullable=False),
            ("error", pa.string()),
        ]
    )
