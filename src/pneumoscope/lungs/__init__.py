"""Lungs: where the lungs are on a radiograph, from the small model this room ships.

Enters: radiographs as the uint8 squares of `imaging.model_input`.
Leaves: `LungSegmenter`: probability of lung, float32, on the model's grid; whether a mask looks
like lungs; Dice and IoU against a drawn mask.
May import: imaging, onnxruntime, numpy, scipy. No torch.

The lungs are both whole lungs as seen from the front, including what lies behind the heart, down to
the domes of the diaphragm. `lungs.onnx` is written by `pneumoscope train-lungs`, `lungs.json` says
what it was trained on and how good it is.
"""

from pneumoscope.lungs.info import LungsInfo
from pneumoscope.lungs.masks import Overlap, overlap, plausible, two_largest
from pneumoscope.lungs.segmenter import SHIPPED, LungSegmenter

__all__ = [
    "SHIPPED",
    "LungSegmenter",
    "LungsInfo",
    "Overlap",
    "overlap",
    "plausible",
    "two_largest",
]
