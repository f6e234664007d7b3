"""The backbones by name, known without torch: so that a wrong name is refused at once."""

from __future__ import annotations

from pneumoscope.errors import SettingsError

BACKBONES = (
    "resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v2", "mobilenet_v3",
    "vit_b_16", "efficientnet_lite0",
)  # fmt: skip
"""What can be trained; `models.registry` has a record of each."""


def check_backbone(name: str) -> None:
    """See that a backbone has that name.

    Raises:
        SettingsError: none has.
    """
    if name not in BACKBONES:
        raise SettingsError(
            f"unknown backbone '{name}'", remedy=f"choose one of {', '.join(BACKBONES)}"
        )
