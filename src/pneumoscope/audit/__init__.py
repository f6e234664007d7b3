"""Audit: are a bundle's explanations worth anything?

Enters: a loaded bundle, and a sample of radiographs (`AuditFilm`) of a cohort or drawn as phantoms.
Leaves: `Audit`: five tests, each with figures, 95 % patient-level intervals, a verdict by a limit
stated beforehand, and warnings in plain words.
May import: imaging, lungs, cohort, phantom, findings, bundles, models, localize, evaluate,
inference; torch, scikit-image.

Inside: `randomisation` draws the network's weights anew, `deletion` removes the hottest pixels
(`imputation` fills them), `marker` stamps a token into a corner, `places` looks where heat lies,
`shortcuts` hides parts of radiographs and asks what the decision keeps (`attributes`: what the
cohort's table tells).
"""

from pneumoscope.audit.attributes import table_scores
from pneumoscope.audit.battery import TESTS, Settings, run_audit
from pneumoscope.audit.sample import AuditFilm, cohort_films, phantom_films

__all__ = [
    "TESTS",
    "AuditFilm",
    "Settings",
    "cohort_films",
    "phantom_films",
    "run_audit",
    "table_scores",
]
