"""Gate: whether a picture is an upright frontal chest radiograph at all, by a small model.

Enters: a radiograph as the uint8 square of `imaging.model_input`, and its letterbox.
Leaves: `InputGate`, and for each picture a `Verdict`: flagged or not, a score, the reason.
May import: imaging, onnxruntime, numpy. No torch.

`gate.onnx` is written by `pneumoscope train-gate`; `gate.json` says what it was trained on and at
which score a picture is flagged.
"""

from pneumoscope.gate.info import KINDS, GateInfo
from pneumoscope.gate.input_gate import SHIPPED, InputGate, Verdict

__all__ = ["KINDS", "SHIPPED", "GateInfo", "InputGate", "Verdict"]
