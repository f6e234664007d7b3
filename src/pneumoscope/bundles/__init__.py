"""Bundles: a trained model ready to use, as a folder or a file without code.

Enters: a folder with `bundle.json` and the files it names, or one ONNX file of
`pneumoscope export`; or the parts to write one.
Leaves: `BundleInfo`, verified: digests checked, nothing unknown accepted, nothing unpickled.
May import: pydantic. No torch, no other room.
"""

from pneumoscope.bundles.heatmap_spec import HeatmapSpec
from pneumoscope.bundles.info import (
    ArchitectureInfo,
    BundleInfo,
    ExportInfo,
    OnnxBundle,
    Quality,
    TrainingInfo,
    find_bundle,
    read_bundle,
    read_onnx,
    write_bundle,
    write_onnx,
)

__all__ = [
    "ArchitectureInfo",
    "BundleInfo",
    "ExportInfo",
    "HeatmapSpec",
    "OnnxBundle",
    "Quality",
    "TrainingInfo",
    "find_bundle",
    "read_bundle",
    "read_onnx",
    "write_bundle",
    "write_onnx",
]
