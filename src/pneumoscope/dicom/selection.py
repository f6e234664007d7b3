"""Which files of a study are frontal chest radiographs, by their tags; and why the others are not.

The first of two checks: the second, the input gate, looks at the pixels. A file whose tags are
missing, in another language or vague passes, because the gate sees it anyway.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pneumoscope.dicom.result import MANUFACTURER
from pneumoscope.dicom.source import read_tags
from pneumoscope.errors import UnsupportedImage
from pneumoscope.imaging.elements import MalformedElement, number

_FILMS = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX for presentation",
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture",
}
_RAW = "1.2.840.10008.5.1.4.1.1.1.1.1"
# Body parts of PS3.16 annex L, and usual short forms, that no frontal chest radiograph shows.
_OTHER_PARTS = {
    "ABDOMEN", "ABDOMENPELVIS", "ACETABULUM", "ACJOINT", "ANKLE", "ANUS", "APPENDIX", "ARM",
    "BLADDER", "BRAIN", "BREAST", "BUTTOCK", "CALCANEUS", "CALF", "CAROTID", "CEREBELLUM",
    "CERVIX", "CLAVICLE", "COCCYX", "COLON", "CRANIUM", "CSPINE", "DUODENUM", "EAR", "ELBOW",
    "EXTREMITY", "EYE", "EYELID", "FACE", "FACIAL", "FEET", "FEMUR", "FIBULA", "FINGER", "FOOT",
    "FOOTANKLE", "FOREARM", "GALLBLADDER", "GROIN", "HAND", "HEAD", "HEADNECK", "HIP",
    "HIPJOINT", "HUMERUS", "ILEUM", "ILIUM", "INTESTINE", "JAW", "JEJUNUM", "KIDNEY", "KNEE",
    "KNEEJOINT", "KUB", "LARYNX", "LEG", "LIVER", "LOWERARM", "LOWERLEG", "LSPINE", "LSSPINE",
    "LUMBAR", "MANDIBLE", "MAXILLA", "METACARPUS", "METATARSUS", "NASAL", "NECK", "NOSE",
    "ORBIT", "OVARY", "PANCREAS", "PAROTID", "PATELLA", "PELVIS", "PENIS", "PHARYNX",
    "PROSTATE", "RADIUS", "RECTUM", "SACRUM", "SCALP", "SCAPULA", "SCROTUM", "SELLA",
    "SHOULDER", "SIJOINT", "SINUS", "SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH",
    "TARSUS", "TEETH", "TESTIS", "THIGH", "THUMB", "THYROID", "TIBIA", "TLSPINE", "TMJ", "TOE",
    "TONGUE", "TOOTH", "TSPINE", "ULNA", "UPPERARM", "URETER", "URETHRA", "UTERUS", "VAGINA",
    "VULVA", "WRIST", "ZYGOMA",
}  # fmt: skip
# Say which one or how it was taken, but not of what.
_QUALIFIERS = {
    "A", "AC", "AND", "AP", "B", "BILAT", "BILATERAL", "BONE", "BOTH", "C", "CERVICAL",
    "FRONTAL", "JOINT", "L", "LAT", "LATERAL", "LEFT", "LOWER", "LT", "LUMBOSACRAL", "OBL",
    "OBLIQUE", "OF", "OR", "PA", "PARANASAL", "PORT", "PORTABLE", "R", "RIGHT", "RT", "SACRAL",
    "SI", "SIDE", "STANDING", "T", "THE", "THORACIC", "UPPER", "VIEW",
}  # fmt: skip
_CHEST_CODES = {"51185008", "43799004", "816094009", "39607008", "T-D3000"}
_LATERAL = {"LL", "RL", "LAT", "LATERAL", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO"}


def refuse_unless_chest_film(path: Path) -> None:
    """Pass a DICOM file that may be a frontal chest radiograph by its tags.

    Raises:
        UnreadableImage: damaged or not a DICOM file.
        UnsupportedImage: its tags say that it is something else, or that Pneumoscope made it.
    """
    reason = why_not(read_tags(path))
    if reason is not None:
        raise UnsupportedImage(
            reason, path=path, remedy="give the frontal chest radiograph (PA or AP) of the study"
        )


def why_not(tags: Any) -> str | None:
    """Why a file is no frontal chest radiograph by its tags (see `source.read_tags`), or None."""
    checks = (_own, _kind, _frames, _body_part, _view)
    return next((reason for check in checks if (reason := check(tags))), None)


def _own(tags: Any) -> str | None:
    # A route that sends all objects of a study would otherwise feed the node its own results.
    return "is a result of Pneumoscope" if tags.get("Manufacturer") == MANUFACTURER else None


def _kind(tags: Any) -> str | None:
    kind = str(tags.get("SOPClassUID") or "")
    if kind == _RAW or _words(tags, "PresentationIntentType") == {"FOR PROCESSING"}:
        return "is raw detector data (for processing)"
    return None if kind in _FILMS or not kind else "is no CR, DX or secondary capture image"


def _frames(tags: Any) -> str | None:
    try:
        frames = number(tags, "NumberOfFrames")
    except MalformedElement:
        return "has a malformed NumberOfFrames"
    return f"holds {frames:.0f} frames" if frames is not None and frames > 1 else None


def _body_part(tags: Any) -> str | None:
    region = tags.get("AnatomicRegionSequence")
    code = str(region[0].get("CodeValue", "")) if region else ""
    if code in _CHEST_CODES:
        return None
    part = _words(tags, "BodyPartExamined")
    if not part or not all(map(_is_other_part, part)):
        return None
    return f"shows body part {_printable(sorted(part)[0])}"


def _is_other_part(text: str) -> bool:
    """Whether a body part is known not to be the chest: every word of it is known, one is a part.

    A radiograph of "TORAX", "UNKNOWN" or "CHEST ABDOMEN" is kept: some of their words are not.
    """
    words = {word for word in re.split(r"[\W\d_]+", text) if word}
    words = {word if word in _OTHER_PARTS else word.removesuffix("S") for word in words}
    return bool(words & _OTHER_PARTS) and words <= _OTHER_PARTS | _QUALIFIERS


def _view(tags: Any) -> str | None:
    view = _words(tags, "ViewPosition")
    if not view:
        sequence = tags.get("ViewCodeSequence")
        meaning = str(sequence[0].get("CodeMeaning", "")) if sequence else ""
        view = {meaning.strip().upper()}
    if any("DECUBITUS" in word for word in view):  # Lying on the side, but seen from the front.
        return None
    if any(_LATERAL & set(re.split(r"[^A-Z]+", word)) or "OBLIQUE" in word for word in view):
        return "is no frontal view"
    return None


def _words(tags: Any, keyword: str) -> set[str]:
    value = tags.get(keyword)
    several = [value] if value is None or isinstance(value, str) else list(value)
    return {text for item in several if (text := str(item or "").strip().upper())}


def _printable(text: str) -> str:
    return re.sub(r"[^\w .,()/\[\]-]", "?", text)[:32]
