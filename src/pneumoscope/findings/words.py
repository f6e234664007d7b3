"""A finding in plain words. Every message stands in one table, so that one place is translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pneumoscope.findings.finding import Finding

ENGLISH: Mapping[str, str] = {
    # What the labels are called in a sentence; others are used as they are.
    "label.PNEUMONIA": "opacity",
    # The sentences.
    "flagged": "Not to be relied on: {reason}. Please check the film.",
    "positive": "{finding} likely in {places}",
    "positive.nowhere": "{finding} likely, but no place stands out",
    "positive.outside": "{finding} likely by the score, but its regions lie outside the lungs",
    "negative": "No sign of {finding} found",
    "inside": ", {percent} % of the evidence inside the lungs",
    "uncertain": "; uncertain: please review",
    "end": ".",
    "and": " and ",
    "comma": ", ",
    # Zones; the patient's right is on the film's left.
    "zone.right_upper": "the right upper zone",
    "zone.right_middle": "the right middle zone",
    "zone.right_lower": "the right lower zone",
    "zone.left_upper": "the left upper zone",
    "zone.left_middle": "the left middle zone",
    "zone.left_lower": "the left lower zone",
    # Why a picture is not judged.
    "gate.blank": "the picture is blank or nearly so",
    "gate.inverted": "the film seems to be inverted, bone dark and air bright",
    "gate.rotated": "the film seems to be rotated",
    "gate.cropped": "the film does not seem to show both lungs",
    "gate.lateral": "this looks like a lateral chest radiograph",
    "gate.ct": "this looks like a CT or MR slice",
    "gate.not_chest": "this does not look like a frontal chest radiograph",
}


def summary(finding: Finding, positive: str, messages: Mapping[str, str] = ENGLISH) -> str | None:
    """The finding in one plain line; None for a radiograph that could not be used.

    Args:
        finding: complete but for its summary.
        positive: the positive label.
        messages: the table of messages, in the reader's language.
    """
    if finding.error is not None:
        return None
    if finding.gate is not None and finding.gate.reason is not None:
        return messages["flagged"].format(reason=messages[f"gate.{finding.gate.reason}"])
    name = messages.get(f"label.{positive}", positive)
    line = _positive(finding, name, messages) if finding.positive else ""
    line = line or messages["negative"].format(finding=name)
    if finding.positive and finding.in_lungs is not None:
        line += messages["inside"].format(percent=round(100 * finding.in_lungs))
    if finding.uncertain:
        line += messages["uncertain"]
    return line[:1].upper() + line[1:] + messages["end"]


def _positive(finding: Finding, name: str, messages: Mapping[str, str]) -> str:
    zones = [region.zone for region in finding.regions if region.zone is not None]
    inside = list(dict.fromkeys(zone for zone in zones if zone != "outside_lungs"))
    if inside:
        places = _listed([messages[f"zone.{zone}"] for zone in inside], messages)
        return messages["positive"].format(finding=name, places=places)
    key = "positive.outside" if zones else "positive.nowhere"
    return messages[key].format(finding=name)


def _listed(words: Sequence[str], messages: Mapping[str, str]) -> str:
    if len(words) == 1:
        return words[0]
    return messages["comma"].join(words[:-1]) + messages["and"] + words[-1]
