"""The heatmap methods: one typed record each; a new record is tested by every test over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from pneumoscope.errors import SettingsError
from pneumoscope.localize.attention_rollout import attention_rollout
from pneumoscope.localize.eigencam import eigencam
from pneumoscope.localize.explanation import Explanation
from pneumoscope.localize.gradcam import gradcam
from pneumoscope.localize.gradcam_plus_plus import gradcam_plus_plus
from pneumoscope.localize.gradient_attention import gradient_attention
from pneumoscope.localize.hirescam import hirescam
from pneumoscope.localize.layercam import layercam
from pneumoscope.localize.regional import regional
from pneumoscope.localize.scorecam import scorecam
from pneumoscope.localize.together import mean_map
from pneumoscope.models.classifier import Classifier, positive_logit
from pneumoscope.models.ensemble import Ensemble, both
from pneumoscope.models.record import Family


class MapFunction(Protocol):
    """Explains a class score for every radiograph of a batch; see `gradcam`.

    Works in eval mode and under `no_grad`, `inference_mode` or autocast; leaves no hook, graph or
    gradient behind, even when it fails. A batch gives what its radiographs give one by one.
    """

    def __call__(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1
    ) -> Explanation:
        """Pixels (B, 1, size, size) to logits (B, 2) and raw maps (B, h, w) >= 0."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """What must be known of a heatmap method.

    Attributes:
        name: the name people type.
        title: the name people read.
        source: where it is published.
        families: the backbone families it works for.
        function: the method itself.
        heads: the heads it works for; None for every head.
        class_specific: the map depends on the class asked for.
        comparable: maps of different networks are of one scale.
    """

    name: str
    title: str
    source: str
    families: tuple[Family, ...]
    function: MapFunction
    heads: tuple[str, ...] | None = None
    class_specific: bool = True
    comparable: bool = False

    def works_for(self, classifier: Classifier) -> bool:
        """Whether the method can explain this classifier; of an ensemble, all its members."""
        if isinstance(classifier, Ensemble):
            return all(self.works_for(member) for member in classifier.members)
        head = self.heads is None or classifier.architecture.head in self.heads
        return head and classifier.record.family in self.families

    def explain(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor | int = 1
    ) -> Explanation:
        """As `function`, also for an ensemble: the mean of its members' maps, and its logits."""
        if not isinstance(classifier, Ensemble):
            return self.function(classifier, pixels, targets)
        parts = [self.function(member, pixels, targets) for member in classifier.members]
        log_odds = classifier.combined([positive_logit(part.logits) for part in parts])
        maps = mean_map([part.maps for part in parts], comparable=self.comparable)
        return Explanation(both(log_odds), maps)


_ALL: tuple[Family, ...] = ("conv", "dense", "channels_last", "tokens", "patches")

_RECORDS = (
    Method(
        "gradcam",
        "Grad-CAM",
        "Selvaraju et al., ICCV 2017, arXiv 1610.02391",
        _ALL,
        gradcam,
    ),
    Method(
        "gradcam_plus_plus",
        "Grad-CAM++",
        "Chattopadhay et al., WACV 2018, arXiv 1710.11063",
        _ALL,
        gradcam_plus_plus,
    ),
    Method(
        "hirescam",
        "HiResCAM",
        "Draelos and Carin, 2020, arXiv 2011.08891",
        _ALL,
        hirescam,
    ),
    Method(
        "layercam",
        "LayerCAM",
        "Jiang et al., IEEE Transactions on Image Processing 2021, doi 10.1109/TIP.2021.3089943",
        # It fuses grids of several finenesses; a plain transformer has one.
        ("conv", "dense"),
        layercam,
        heads=("linear", "mlp"),  # A regional head's evidence is itself fused from the stages.
    ),
    Method(
        "scorecam",
        "Score-CAM",
        "Wang et al., CVPR Workshops 2020, arXiv 1910.01279",
        _ALL,
        scorecam,
    ),
    Method(
        "eigencam",
        "Eigen-CAM",
        "Muhammad and Yeasin, IJCNN 2020, arXiv 2008.00299",
        _ALL,
        eigencam,
    ),
    Method(
        "attention_rollout",
        "Attention rollout",
        "Abnar and Zuidema, ACL 2020, arXiv 2005.00928",
        ("tokens",),
        attention_rollout,
        heads=("linear", "mlp"),
        class_specific=False,
    ),
    Method(
        "gradient_attention",
        "Gradient-weighted attention",
        "Chefer, Gur and Wolf, ICCV 2021, arXiv 2103.15679",
        ("tokens",),
        gradient_attention,
        heads=("linear", "mlp"),
    ),
    Method(
        "regional",
        "Regional",
        "Ye et al., 2020, arXiv 2005.14480",
        _ALL,
        regional,
        heads=("regional",),
        comparable=True,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _RECORDS}
DEFAULT_METHOD = "gradcam"


def method_named(name: str) -> Method:
    """The record of a registered method.

    Raises:
        SettingsError: no method has that name.
    """
    try:
        return METHODS[name]
    except KeyError:
        known = ", ".join(METHODS)
        raise SettingsError(
            f"unknown heatmap method '{name}'", remedy=f"choose one of {known}"
        ) from None


def methods_for(classifier: Classifier) -> tuple[Method, ...]:
    """The methods that can explain this classifier, in the registry's order."""
    return tuple(method for method in METHODS.values() if method.works_for(classifier))
