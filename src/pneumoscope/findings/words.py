"""A finding in plain words. Every message stands in one table, so that one place is translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pneumoscope.findings.finding import Finding

RESEARCH_ONLY = "Research use only. Not a medical device; not for diagnosis."

ENGLISH: Mapping[str, str] = {
    # What the labels are called in a sentence; others are used as they are.
    "label.PNEUMONIA": "opacity",
    # The sentences.
    "flagged": "Not assessed: {reason}. Please check the radiograph.",
    "present": "{finding} likely present",
    "absent": "{finding} likely absent",
    "indeterminate": "Indeterminate for {finding}",
    "indeterminate.below": "Indeterminate for {finding}, below the threshold",
    # Of a model without a review band.
    "above": "Score for {finding} at or above the threshold",
    "below": "Score for {finding} below the threshold",
    "places": " in {places}",
    "places.suspected": ", most suspicious in {places}",
    "nowhere": ", but no place stands out",
    "outside": ", but the regions lie outside the lungs",
    "inside": ", {percent} % of the evidence inside the lungs",
    "review": "; please review",
    "end": ".",
    "weakness": " Known weakness: {weakness}.",
    "and": " and ",
    "comma": ", ",
    # Zones of the patient's lungs.
    "zone.right_upper": "the right upper zone",
    "zone.right_middle": "the right middle zone",
    "zone.right_lower": "the right lower zone",
    "zone.left_upper": "the left upper zone",
    "zone.left_middle": "the left middle zone",
    "zone.left_lower": "the left lower zone",
    # Why a picture is not assessed.
    "gate.blank": "the picture is blank or nearly so",
    "gate.inverted": "the radiograph seems to be inverted, bone dark and air bright",
    "gate.rotated": "the radiograph seems to be rotated",
    "gate.cropped": "the radiograph does not seem to show both lungs",
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
    line = messages[_verdict(finding)].format(finding=name)
    if finding.positive:
        line += _places(finding, messages)
        if finding.in_lungs is not None:
            line += messages["inside"].format(percent=round(100 * finding.in_lungs))
    if finding.uncertain:
        line += messages["review"]
    line = line[:1].upper() + line[1:] + messages["end"]
    weak = (messages["weakness"].format(weakness=text.rstrip(".")) for text in finding.weaknesses)
    return line + "".join(weak)


def _verdict(finding: Finding) -> str:
    """The message that follows from probability, review band and threshold."""
    if finding.uncertain is None:
        return "above" if finding.positive else "below"
    if finding.uncertain:
        return "indeterminate" if finding.positive else "indeterminate.below"
    return "present" if finding.positive else "absent"


def _places(finding: Finding, messages: Mapping[str, str]) -> str:
    """Where a radiograph called positive shows it."""
    zones = [region.zone for region in finding.regions if region.zone is not None]
    inside = list(dict.fromkeys(zone for zone in zones if zone != "outside_lungs"))
    if not inside:
        return messages["outside" if zones else "nowhere"]
    key = "places" if finding.uncertain is False else "places.suspected"
    return messages[key].format(places=_listed([messages[f"zone.{z}"] for z in inside], messages))


def _listed(words: Sequence[str], messages: Mapping[str, str]) -> str:
    if len(words) == 1:
        return words[0]
    return messages["comma"].join(words[:-1]) + messages["and"] + words[-1]
