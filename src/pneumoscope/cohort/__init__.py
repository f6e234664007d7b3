"""Cohort: from folders or a CSV to a `Manifest` that can be trained on honestly.

Enters: folders of radiographs, or a CSV with `image,label[,patient,...]`.
Leaves: `Manifest` (patients, labels, splits), an audit (duplicates, leakage, unreadable files),
and phantom cohorts with exact lesion masks.
May import: imaging, numpy, pandas. No torch.
"""
