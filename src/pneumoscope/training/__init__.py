"""Training: from a manifest and settings to a run folder.

Enters: a `Manifest` with train and val splits, `TrainingSettings`.
Leaves: a run folder: `config.yaml`, `manifest.csv`, `checkpoints/`, `history.csv`, `bundle/`.
May import: imaging, cohort, bundles, models, evaluate, lightning. Importing this room imports
torch.
"""

# The models room makes torchvision importable beside torch's CPU build; augmentation needs that.
import pneumoscope.models  # noqa: F401
