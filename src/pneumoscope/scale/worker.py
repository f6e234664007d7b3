"""What runs in a worker: one engine, one unit of radiographs after the other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pneumoscope
from pneumoscope.errors import SettingsError
from pneumoscope.findings import Finding
from pneumoscope.inference import Runtime, find_in, load_engine
from pneumoscope.names import meant
from pneumoscope.scale.parts import Unit, write_part
from pneumoscope.scale.storage import Place, content_digest, is_uri, read_anywhere


@dataclass(frozen=True)
class Job:
    """What all workers are told.

    Attributes:
        version: of the program that asks.
        runtime: what computes.
        threads: of the engine.
        threshold: to decide at.
        batch_size: radiographs per call of the engine.
        base: folder that paths are relative to.
        out: path or URI of the folder of findings.
        gate: ask the input gate of each radiograph.
    """

    version: str
    runtime: Runtime
    threads: int
    threshold: float
    batch_size: int
    base: str
    out: str
    gate: bool = True


class Finder:
    """An actor's own state: the engine, loaded once.

    Args:
        job: what all workers are told.
        model: content of the exported file; or a list with Ray's reference to it, so that it
            travels once to each machine.

    Raises:
        SettingsError: this machine has another version of the program.
    """

    def __init__(self, job: Job, model: Any) -> None:
        self._job = job
        if job.version != pneumoscope.__version__:
            raise SettingsError(
                f"a worker has pneumoscope {pneumoscope.__version__}, not {job.version}",
                remedy="install the same version on all machines",
            )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            file.write_bytes(_held(model))
            self._engine = load_engine(
                file,
                engine=job.runtime.engine,
                precision=job.runtime.precision,
                threads=job.threads,
            )
        self._out = Place.at(job.out)

    def __call__(self, table: Any) -> Any:
        """Write the parts of an Arrow table of units; return how many radiographs each had."""
        import pyarrow as pa

        counts = [self._do(Unit(row["part"], tuple(row["names"]))) for row in table.to_pylist()]
        return pa.table({"found": [n for n, _ in counts], "failed": [n for _, n in counts]})

    def _do(self, unit: Unit) -> tuple[int, int]:
        findings = list(self._find(unit))
        write_part(self._out, unit, findings)
        return len(findings), sum(finding.error is not None for finding in findings)

    def _find(self, unit: Unit) -> Iterator[Finding]:
        job = self._job
        sources = (
            (name, name if is_uri(name) else os.path.join(job.base, meant(name)))  # noqa: PTH118
            for name in unit.names
        )
        return find_in(
            self._engine,
            sources,
            read=read_anywhere,
            threshold=job.threshold,
            batch_size=job.batch_size,
            workers=job.threads + 1,
            gate=job.gate,
            digest=content_digest,
        )


def _held(model: Any) -> bytes:
    if isinstance(model, bytes):
        return model
    import ray

    content: bytes = ray.get(model[0])
    return content
