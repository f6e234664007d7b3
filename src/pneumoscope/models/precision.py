"""What the machine computes in."""

from __future__ import annotations

import torch


def has_bfloat16() -> bool:
    """Whether the machine multiplies in bfloat16; elsewhere torch imitates it, and takes longer."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def computes_in_bfloat16(precision: str) -> bool:
    """Whether to use bfloat16 autocast: as told, or where the hardware multiplies in it."""
    if precision != "auto":
        return precision == "bfloat16"
    return has_bfloat16()
