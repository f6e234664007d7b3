"""Training: from a manifest and settings to a run folder.

Enters: a `Manifest` with train and val splits, `TrainingSettings`.
Leaves: a run folder: `config.yaml`, `manifest.csv`, `checkpoints/`, `history.csv`, `bundle/`.
May import: imaging, cohort, phantom, bundles, models, evaluate, lungs, density, gate, inference;
lightning.
All of its modules but `settings` import torch.

The modules beside this file train the classifier. The packages train the small networks that the
rooms of their names use: `gate` and `lungs`; what both share is in `small`.
"""
