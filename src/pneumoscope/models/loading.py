"""From a bundle's folder to its classifier."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from pneumoscope.bundles import BundleInfo
from pneumoscope.bundles.info import WEIGHTS_FILE
from pneumoscope.errors import BundleError
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.ensemble import Ensemble


def load_classifier(folder: Path, info: BundleInfo) -> Classifier:
    """The bundle's classifier, on the CPU, in eval mode.

    Raises:
        BundleError: the weights do not fit the architecture.
    """
    path = folder / WEIGHTS_FILE
    classifier = built(info)
    try:
        classifier.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"does not fit the architecture {info.architecture.backbone}",
            path=path,
            remedy="export the bundle again from its run",
        ) from error
    return classifier.eval()


def built(info: BundleInfo) -> Classifier:
    """A classifier of a bundle's shape, with random weights.

    Raises:
        SettingsError: this version cannot build it.
    """
    if not info.members:
        return Classifier(Architecture(**info.architecture.model_dump()))
    return Ensemble(
        [Classifier(Architecture(**each.architecture.model_dump())) for each in info.members],
        [each.temperature for each in info.members],
        [each.bias for each in info.members],
    )
