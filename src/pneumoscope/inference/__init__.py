"""Inference: from a bundle and files to findings.

Enters: a bundle or run folder; paths of radiographs.
Leaves: `Engine` (logits and raw maps for a batch), explained radiographs with their `Finding`, the
folder that `predict` writes.
May import: imaging, lungs, density, gate, findings, bundles; report where a result is shown or
written. Torch only inside `torch_engine`, which is imported when a bundle needs it.
"""

from pneumoscope.inference.engine import RANDOMISED, Engine, EngineOutput, Runtime
from pneumoscope.inference.explain import explain_in, find_in, process_in
from pneumoscope.inference.explained import Explained, Failed
from pneumoscope.inference.heatmaps import film_heatmap, heatmaps_beside
from pneumoscope.inference.loading import load_engine
from pneumoscope.inference.selection import streams_for

__all__ = [
    "RANDOMISED",
    "Engine",
    "EngineOutput",
    "Explained",
    "Failed",
    "Runtime",
    "explain_in",
    "film_heatmap",
    "find_in",
    "heatmaps_beside",
    "load_engine",
    "process_in",
    "streams_for",
]
