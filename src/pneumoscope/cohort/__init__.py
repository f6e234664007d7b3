"""Cohort: from folders or a CSV to a `Manifest` that can be trained on honestly.

Enters: folders of radiographs, or a CSV with `image,label[,patient,...]`.
Leaves: `Manifest` (patients, labels, splits), an audit (duplicates, leakage, unreadable files),
and phantom cohorts with exact lesion masks.
May import: imaging, numpy, scipy, pandas, Pillow. No torch.
"""

from pneumoscope.cohort.audit import Audit, Count, DuplicateGroup, Part, Unreadable
from pneumoscope.cohort.labels import infer_labels
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.cohort.scan import ScanResult, ScanSettings, scan
from pneumoscope.cohort.split import EXCLUDED, SPLITS

__all__ = [
    "EXCLUDED",
    "SPLITS",
    "Audit",
    "Count",
    "DuplicateGroup",
    "Manifest",
    "Part",
    "ScanResult",
    "ScanSettings",
    "Unreadable",
    "infer_labels",
    "scan",
]
