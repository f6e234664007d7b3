"""Findings: from a probability and a heatmap to what is said about a radiograph.

Enters: probability, heatmap on the film's grid, the bundle's threshold.
Leaves: `Finding` (decision, regions in the film's pixels) and its JSON schema.
May import: numpy, scipy, pydantic. No torch, no other room.
"""

from pneumoscope.findings.finding import Finding, Region, decide, finding_schema
from pneumoscope.findings.regions import find_regions

__all__ = ["Finding", "Region", "decide", "find_regions", "finding_schema"]
