"""A node to be killed, its model answers at once: `_node_process.py QUEUE PEER PORT HTTP`."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumoscope.bundles import ArchitectureInfo, BundleInfo, TrainingInfo
from pneumoscope.dicom.node import Node, NodeSettings, parse_destination
from pneumoscope.dicom.node.log import JsonLines
from pneumoscope.inference import EngineOutput, Runtime


class Engine:
    """Calls every radiograph positive and points at one patch of it."""

    streams, methods = 1, ("gradcam",)
    runtime = Runtime("torch", "float32")
    info = BundleInfo(
        version="0",
        architecture=ArchitectureInfo(
            backbone="none", head="linear", size=64, mean=(0.5,) * 3, std=(0.5,) * 3
        ),
        labels=("NORMAL", "PNEUMONIA"),
        threshold=0.5,
        temperature=1.0,
        calibration={},
        training=TrainingInfo(
            data_digest="", splits={}, weights={}, settings={}, selected_epoch=0, versions={}
        ),
        heatmap="gradcam",
        files={"model.safetensors": "0" * 64},
    )

    def run(self, pixels: NDArray[np.uint8], methods: Sequence[str]) -> EngineOutput:
        heat = np.zeros(pixels.shape, dtype=np.float32)
        heat[:, 16:30, 20:34] = 1
        return EngineOutput(np.full(len(pixels), 3.0), dict.fromkeys(methods, heat))


def main() -> None:
    queue, peer, port, http = sys.argv[1:]
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    settings = NodeSettings(
        queue=Path(queue),
        destination=parse_destination(peer),
        port=int(port),
        http_port=int(http),
        kinds=("sc",),
        stow=True,
        commit=True,
        gate=False,
        min_free=1 << 20,
        max_associations=1024,
        first_retry=0.1,
        longest_retry=1.0,
    )
    Node(settings, Engine()).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
