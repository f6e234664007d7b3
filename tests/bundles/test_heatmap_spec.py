"""What names a heatmap."""

from __future__ import annotations

import pytest

from pneumoscope.bundles import HeatmapSpec
from pneumoscope.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("gradcam", HeatmapSpec("gradcam")),
        ("regional+mirror", HeatmapSpec("regional", mirror=True)),
        ("layercam+lungs", HeatmapSpec("layercam", lungs=True)),
        ("regional+mirror+lungs", HeatmapSpec("regional", mirror=True, lungs=True)),
        ("regional+density", HeatmapSpec("regional", density=True)),
        ("gradcam+mirror+lungs+density", HeatmapSpec("gradcam", True, True, True)),
        ("regional+lungs+smooth", HeatmapSpec("regional", lungs=True, smooth=True)),
        ("regional+mirror+lungs+density+smooth", HeatmapSpec("regional", True, True, True, True)),
    ],
)
def test_names_are_read_and_written(text: str, spec: HeatmapSpec) -> None:
    assert HeatmapSpec.parse(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize(
    "text", ["", "Grad-CAM", "gradcam+", "gradcam+lungs+mirror", "a b", "gradcam+smooth"]
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not a heatmap"):
        HeatmapSpec.parse(text)


def test_smoothing_without_lungs_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'regional\+smooth' is not a heatmap.*needs \+lungs"):
        HeatmapSpec("regional", smooth=True)
