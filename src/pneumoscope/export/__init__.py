"""Export: from a bundle to one ONNX file that gives probability and heatmap in one call.

Enters: a bundle or a run.
Leaves: a file for `inference.OnnxEngine`, kept only if it answers as torch does.
May import: bundles, models, localize, inference; torch (whose exporter needs onnx and onnxscript).
Importing this room imports torch.
"""

from pneumoscope.export.agreement import Agreement
from pneumoscope.export.writing import Exported, export_onnx

__all__ = ["Agreement", "Exported", "export_onnx"]
