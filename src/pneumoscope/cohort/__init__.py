"""Cohort: from folders or a CSV to a `Manifest` that can be trained on honestly.

Enters: folders of radiographs, a CSV with `image,label[,patient,...]`, or a table of the field;
annotations in the formats of the field.
Leaves: `Manifest` (patients, labels, splits), an audit (duplicates, leakage, unreadable files),
lesions by radiograph.
May import: imaging, numpy, scipy, pandas, Pillow, pydicom; nibabel and pycocotools lazily. No
torch.
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
