"""Export: from a bundle to one ONNX file that gives probability and heatmap in one call.

Enters: a bundle or a run; a cohort whose radiographs calibrate int8 (train) and measure what a
precision costs (val).
Leaves: a file for `inference`, kept only if it answers as torch does.
May import: imaging, cohort, bundles, models, localize, inference; torch (whose exporter needs onnx
and onnxscript), onnxruntime (which quantises), scikit-learn. Importing this room imports torch.
"""

from pneumoscope.export.agreement import Agreement
from pneumoscope.export.sample import Films, Sampling
from pneumoscope.export.writing import Exported, export_onnx

__all__ = [
    "Agreement",
    "Exported",
    "Films",
    "Sampling",
    "export_onnx",
]
