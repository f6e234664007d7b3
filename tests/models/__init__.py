"""Tests of models; the room comes first, because it lets torchvision and timm be imported."""

import pneumoscope.models  # noqa: F401
