"""Bundles: a trained model ready to use, as a folder without code.

Enters: a folder with `bundle.json` and the files it names; or the parts to write one.
Leaves: `BundleInfo`, verified: digests checked, nothing unknown accepted, nothing unpickled.
May import: pydantic. No torch, no other room.
"""

from pneumoscope.bundles.heatmap_spec import HeatmapSpec
from pneumoscope.bundles.info import (
    ArchitectureInfo,
    BundleInfo,
    TrainingInfo,
    find_bundle,
    read_bundle,
    write_bundle,
)

__all__ = [
    "ArchitectureInfo",
    "BundleInfo",
    "HeatmapSpec",
    "TrainingInfo",
    "find_bundle",
    "read_bundle",
    "write_bundle",
]
