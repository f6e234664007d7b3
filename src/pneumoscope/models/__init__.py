"""Models: from a backbone's name, weights or a bundle to a `Classifier`.

Enters: a registered backbone name, a head name, a weights file; or a bundle.
Leaves: `Classifier` with `features(images)` then `classify(features)`, and its weights on disk.
May import: bundles, torch, timm, safetensors. Importing this room imports torch.
"""

from pneumoscope.models._torchvision import prepare_torchvision

prepare_torchvision()
