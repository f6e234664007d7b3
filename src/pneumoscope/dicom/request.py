"""The request that a radiograph answers, as a report must refer to it (PS3.3 C.17.2)."""

from __future__ import annotations

from typing import Any

REQUEST = (
    "RequestAttributesSequence",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
)
"""Read from the radiograph's request attributes, or beside them, where some devices put it."""

_TEXTS = {
    "AccessionNumber": 16,
    "PlacerOrderNumberImagingServiceRequest": 64,
    "FillerOrderNumberImagingServiceRequest": 64,
    "RequestedProcedureID": 16,
    "RequestedProcedureDescription": 64,
}
_CODE = {"CodeValue": 16, "CodingSchemeDesignator": 16, "CodeMeaning": 64}


def referenced_request(tags: Any) -> Any | None:
    """An item of a report's Referenced Request Sequence; None if there is no request.

    Args:
        tags: of the radiograph, with its study's UID and accession number.
    """
    from pydicom import Dataset

    attributes = tags.get("RequestAttributesSequence") or [Dataset()]
    texts = {
        keyword: _text(attributes[0], keyword, most) or _text(tags, keyword, most)
        for keyword, most in _TEXTS.items()
    }
    if not any(texts.values()):
        return None
    item = Dataset()
    item.StudyInstanceUID = tags.StudyInstanceUID
    item.ReferencedStudySequence = []
    for keyword, value in texts.items():
        setattr(item, keyword, value or "")
    codes = attributes[0].get("RequestedProcedureCodeSequence") or tags.get(
        "RequestedProcedureCodeSequence"
    )
    item.RequestedProcedureCodeSequence = [
        code for code in map(_coded, codes or []) if code is not None
    ]
    return item


def _text(dataset: Any, keyword: str, most: int) -> str | None:
    """A value that its attribute can hold; None for others."""
    text = str(dataset.get(keyword) or "").strip()
    return text if 0 < len(text) <= most and "\\" not in text else None


def _coded(code: Any) -> Any | None:
    """The three parts of a code; None if one is missing."""
    from pydicom import Dataset

    item = Dataset()
    for keyword, most in _CODE.items():
        text = _text(code, keyword, most)
        if text is None:
            return None
        setattr(item, keyword, text)
    return item
