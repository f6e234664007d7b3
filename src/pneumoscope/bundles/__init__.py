"""Bundles: a trained model ready to use, as a folder or a file without code.

Enters: a folder with `bundle.json` and the files it names, or one ONNX file of
`pneumoscope export`; or the parts to write one.
Holds the bundle `default`, which is used where none is given.
Leaves: `BundleInfo`, verified: digests checked, nothing unknown accepted, nothing unpickled.
May import: pydantic. No torch, no other room.
"""

from pneumoscope.bundles.architecture import ENSEMBLE, ArchitectureInfo, MemberInfo
from pneumoscope.bundles.backbones import check_backbone
from pneumoscope.bundles.heatmap_spec import HeatmapSpec
from pneumoscope.bundles.info import (
    DEFAULT,
    DEFAULT_FOLDER,
    BundleInfo,
    ExportInfo,
    OnnxBundle,
    Quality,
    TrainingInfo,
    amend_bundle,
    find_bundle,
    finding_folder,
    finding_folders,
    read_bundle,
    read_onnx,
    write_bundle,
    write_onnx,
)
from pneumoscope.bundles.seen import SeenInfo
from pneumoscope.bundles.site import SiteInfo
from pneumoscope.bundles.weakness import WeaknessInfo, weaknesses_of

__all__ = [
    "DEFAULT",
    "DEFAULT_FOLDER",
    "ENSEMBLE",
    "ArchitectureInfo",
    "BundleInfo",
    "ExportInfo",
    "HeatmapSpec",
    "MemberInfo",
    "OnnxBundle",
    "Quality",
    "SeenInfo",
    "SiteInfo",
    "TrainingInfo",
    "WeaknessInfo",
    "amend_bundle",
    "check_backbone",
    "find_bundle",
    "finding_folder",
    "finding_folders",
    "read_bundle",
    "read_onnx",
    "weaknesses_of",
    "write_bundle",
    "write_onnx",
]
