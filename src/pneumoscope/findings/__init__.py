"""Findings: from a probability and a heatmap to what is said about a radiograph, in plain words.

Enters: probability, heatmap on the radiograph's grid, lungs, the gate's word, the bundle's
threshold.
Leaves: `Finding` (decision, regions in the radiograph's pixels with their zones, a plain line) and
its JSON schema.
May import: numpy, scipy, pydantic. No torch, no other room.
"""

from pneumoscope.findings.completing import completed
from pneumoscope.findings.finding import (
    Finding,
    Gate,
    GateReason,
    Region,
    Zone,
    decide,
    finding_schema,
    indeterminate,
)
from pneumoscope.findings.regions import find_regions, positive_regions
from pneumoscope.findings.words import ENGLISH, summary

__all__ = [
    "ENGLISH",
    "Finding",
    "Gate",
    "GateReason",
    "Region",
    "Zone",
    "completed",
    "decide",
    "find_regions",
    "finding_schema",
    "indeterminate",
    "positive_regions",
    "summary",
]
