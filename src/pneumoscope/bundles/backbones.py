"""The backbones by name, known without torch: so that a wrong name is refused at once."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pneumoscope.errors import SettingsError

BACKBONES = (
    "resnet18", "resnet50", "densenet121", "efficientnet_b0", "mobilenet_v2", "mobilenet_v3",
    "vit_b_16", "efficientnet_lite0",
)  # fmt: skip
"""The registered backbones; `models.registry` has a record of each."""

SOURCES = ("hf-hub:", "local-dir:")
"""Prefixes of names that stand for a network with its weights, on the hub or in a folder."""

_MODEL = re.compile(r"^@register_model\s*\ndef (\w+)\(", re.MULTILINE)


@cache
def timm_names() -> frozenset[str]:
    """Names of all architectures of the installed timm; none if it is not installed.

    They are read from its source files, because importing timm takes seconds.
    """
    try:
        spec = find_spec("timm")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return frozenset()
    files = (Path(spec.origin).parent / "models").rglob("*.py")
    return frozenset(name for file in files for name in _MODEL.findall(file.read_text("utf-8")))


def check_backbone(name: str) -> None:
    """Check that a name is a registered backbone, one of timm's, or has a prefix of `SOURCES`.

    A name of timm may have a tag that tells its weights: `resnet18.a1_in1k`.

    Raises:
        SettingsError: the name is unknown.
    """
    if name in BACKBONES or name.startswith(SOURCES):
        return
    known = timm_names()
    if name.partition(".")[0] in known:
        return
    if not known:
        remedy = f"choose one of {', '.join(BACKBONES)}; timm, which has others, is not installed"
    else:
        near = get_close_matches(name.partition(".")[0], sorted({*known, *BACKBONES}), n=3)
        such = f" such as {', '.join(near)}" if near else ""
        remedy = (
            f"choose an architecture of timm{such}; one of {', '.join(BACKBONES)}; "
            "hf-hub:OWNER/NAME; or local-dir:PATH"
        )
    raise SettingsError(f"unknown backbone '{name}'", remedy=remedy)
