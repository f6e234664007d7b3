"""A node in a process of its own, to be killed: `python -m tests.dicom.node_process QUEUE PEER`."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path

import numpy as np

from pneumoscope.bundles import BundleInfo
from pneumoscope.dicom.node import Node, NodeSettings, parse_destination, sender, worker
from tests.audit.engines import Films, KnownEngine, heat_on_square

SECONDS = 0.3


def engine(seconds: float = 0.0, described: BundleInfo | None = None) -> KnownEngine:
    """Calls every radiograph positive and points at one patch of it, after a while."""

    def score(films: Films) -> Films:
        time.sleep(seconds)
        return np.full(len(films), 3.0)

    return KnownEngine(score, heat_on_square, described)


def main() -> None:
    """Run until killed; the port is the first line of the output."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    settings = NodeSettings(
        queue=Path(sys.argv[1]),
        port=0,
        destination=parse_destination(sys.argv[2]),
        min_free=0,
        gate=False,
        first_retry=0.2,
        longest_retry=0.5,
    )
    # As in `nodes.running`.
    sender._IDLE_SECONDS = worker._IDLE_SECONDS = 0.2
    node = Node(settings, engine(SECONDS))
    node.start()
    print(node.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
