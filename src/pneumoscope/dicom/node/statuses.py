"""DICOM status codes that the node answers with, or is answered (PS3.7 annex C, PS3.4 B.2.3)."""

from __future__ import annotations

SUCCESS, OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
PROCESSING_FAILURE, UNKNOWN_CLASS = 0x0110, 0x0122


def status_words(status: int) -> str:
    """A status of C-STORE in words: `A700, Refused: Out of Resources`."""
    from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

    _, words = STORAGE_SERVICE_CLASS_STATUS.get(status, ("", ""))
    return f"{status:04X}, {words}" if words else f"{status:04X}"
