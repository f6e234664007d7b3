"""Localize: from a classifier and a batch to heatmaps on the model's grid, one module per method.

Enters: `Classifier`, pixels (B, 1, size, size).
Leaves: logits and raw class activation maps (B, h, w); `imaging.Letterbox` puts them on the
radiograph.
May import: models, torch. Importing this room imports torch.
"""

from pneumoscope.localize.explanation import Explanation
from pneumoscope.localize.gradcam import gradcam
from pneumoscope.localize.methods import METHODS, Method, method_named, methods_for

__all__ = ["METHODS", "Explanation", "Method", "gradcam", "method_named", "methods_for"]
