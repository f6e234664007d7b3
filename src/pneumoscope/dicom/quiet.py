"""Silence about patients: what libraries say of a dataset can quote its values."""

from __future__ import annotations

import logging
import warnings


def hush() -> None:
    """Let pydicom, highdicom and pynetdicom neither warn nor log, in this process."""
    warnings.simplefilter("ignore", UserWarning)
    for name in ("pydicom", "pynetdicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
