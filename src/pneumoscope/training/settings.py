"""Training settings: one flat, typed block of defaults with their reasons, and two presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from pneumoscope.bundles import HeatmapSpec, finding_folder
from pneumoscope.bundles.architecture import Pooling
from pneumoscope.errors import SettingsError
from pneumoscope.files import write_text
from pneumoscope.training.amounts import Amounts

TrackerName = Literal["mlflow", "wandb"]
"""Where figures go beside TensorBoard; the result does not depend on it."""


class TrainingSettings(BaseModel):
    """Everything that shapes a run; the defaults are the preset `default`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: Literal["default", "paper"] = "default"
    backbone: str = "efficientnet_lite0"
    # `auto`, `none` or a file.
    weights: str = "auto"
    # `regional` looks for the disease in every cell of a fine map, on image labels alone.
    head: Literal["linear", "mlp", "regional"] = "regional"
    # How `regional` makes one log-odds of its cells': the mean of the highest tenth, or of all,
    # weighted by their probability.
    pooling: Pooling = "weighted"
    # Side of the square input in pixels.
    size: Annotated[int, Field(ge=32, le=1024)] = 256
    # Layers up to the stage with 8 pixels per cell keep the weights they start with: edges and
    # textures serve as they are, and a step takes two thirds of the time. Without start weights
    # there is nothing to keep.
    freeze_early: bool = True
    seed: int = 42

    epochs: Annotated[int, Field(ge=1)] = 8
    batch_size: Annotated[int, Field(ge=2)] = 32
    # Batches whose gradients are averaged for one step, where memory holds no larger batch.
    accumulate: Annotated[int, Field(ge=1)] = 1
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 7e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    # The rate of each layer of the backbone is that of the layer above times this: .65 to .8 suits
    # vision transformers, whose first layers should change least. 1 is one rate for all.
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    # `cosine` warms up linearly over `warmup` of all steps, then falls to 1 % of the peak.
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    # The moving average of the weights is what is validated and kept; 0 switches it off.
    # .99 looks back about 100 steps, one epoch of a few thousand radiographs; a short run looks
    # back over a fifth of its steps at most.
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99

    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    # Weights in the loss, balanced draws, or neither: a correction of imbalance shifts the
    # probabilities, and the threshold is fitted on val anyway.
    class_weights: bool = False
    balanced_sampler: bool = False
    # Of several sets together, each label of each set is a group. 0 draws each radiograph once an
    # epoch; the nearer to 1, the more often a small group is drawn, so that the model learns less
    # of how ill a set is and more of the sets of which there is little.
    even_sets: Annotated[float, Field(ge=0, le=1)] = 0.0
    augmentation: Literal["default", "paper", "none"] = "default"
    # Limits of the default augmentation: `--set augmentation.rotate=7`.
    amounts: Amounts = Amounts()
    # Half of the radiographs are mirrored; predictions are the mean over radiograph and mirror
    # image.
    mirror: bool = True
    # Weight of the penalty on disease seen outside the lungs, which the shipped segmenter finds;
    # for the head `regional` without the paper's augmentation. 0 switches it off.
    lung_guidance: Annotated[float, Field(ge=0)] = 0.3
    # On this share of train radiographs what is outside the lungs is hidden, so that the label is
    # not learnt from markers, lines or the body's shape; as `lung_guidance`, for `regional` only.
    hide_outside: Annotated[float, Field(ge=0, le=1)] = 0.0
    # Columns of the manifest, as `scan --findings` writes them, to learn instead of its label: one
    # backbone with a head for each.
    findings: tuple[str, ...] = ()
    # A bundle whose maps, smoothed or times the density factor, teach every cell (self-training):
    # the network learns to be local. Training starts from its weights unless `weights` names
    # others.
    teacher: str | None = None
    # Weight of what the teacher says of the cells.
    cell_guidance: Annotated[float, Field(ge=0)] = 0.5
    # The heatmap is the map's geometric mean with the probability of lung; smoothed, the product.
    lung_prior: bool = True
    # The map is multiplied by the density factor before that; None for with `lung_prior`, unless a
    # teacher has taught the network what density knows.
    density_prior: bool | None = None
    # The map of a regional head is smoothed within the lungs, with `lung_prior`; None for where a
    # teacher has taught the network: its map is narrow.
    smooth: bool | None = None
    # Heat from which a pixel belongs to a region; None for what was chosen on tuning halves
    # (docs/localization.md).
    region_threshold: Annotated[float, Field(gt=0, le=1)] | None = None

    # The epoch kept is the one with the best val figure.
    monitor: Literal["roc_auc", "accuracy"] = "roc_auc"
    # Stop after this many epochs without a better figure; None trains to the end.
    patience: Annotated[int, Field(ge=1)] | None = None
    # bfloat16 autocast where the processor computes in it, float32 elsewhere.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @field_validator("even_sets")
    @classmethod
    def _one_way_to_draw(cls, value: float, others: ValidationInfo) -> float:
        if value > 0 and others.data.get("balanced_sampler"):
            raise ValueError("cannot be used with balanced_sampler, which draws in its own way")
        return value

    @field_validator("findings")
    @classmethod
    def _each_once(cls, value: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if len({finding_folder(Path(), name) for name in value}) < len(value):
            raise ValueError("names two findings alike")
        for name in ("balanced_sampler", "even_sets") if len(value) > 1 else ():
            if others.data.get(name):
                raise ValueError(f"cannot be several with {name}, which draws by one label")
        return value

    @field_validator("teacher")
    @classmethod
    def _of_one_finding(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and len(others.data.get("findings", ())) > 1:
            raise ValueError("tells of one finding; train each finding by itself")
        return value

    @field_validator("amounts")
    @classmethod
    def _of_the_default(cls, value: Amounts, others: ValidationInfo) -> Amounts:
        if value != Amounts() and others.data.get("augmentation") != "default":
            raise ValueError("is of augmentation=default alone")
        return value

    @field_validator("hide_outside")
    @classmethod
    def _where_lungs_are(cls, value: float, others: ValidationInfo) -> float:
        told = others.data.get("head"), others.data.get("augmentation")
        if value > 0 and told != ("regional", "default"):
            raise ValueError("is of head=regional with augmentation=default alone")
        return value

    @field_validator("smooth")
    @classmethod
    def _where_cells_are(cls, value: bool | None, others: ValidationInfo) -> bool | None:
        if value and not (others.data.get("head") == "regional" and others.data.get("lung_prior")):
            raise ValueError("is of head=regional with lung_prior=true alone")
        return value

    @property
    def heads(self) -> int:
        """How many findings the backbone learns, each with a head of its own."""
        return len(self.findings) or 1

    @property
    def several(self) -> bool:
        """Whether the run learns more than one finding."""
        return self.heads > 1

    @property
    def guided(self) -> bool:
        """Whether the lungs take part in this training."""
        wanted = self.lung_guidance > 0 or self.hide_outside > 0 or self.teacher is not None
        return self._by_cells and wanted

    @property
    def taught(self) -> bool:
        """Whether a teacher's maps take part in this training."""
        return self._by_cells and self.teacher is not None and self.cell_guidance > 0

    @property
    def start(self) -> str:
        """The weights that training starts from, as `models.pretrained_classifier` reads them."""
        return self.teacher if self.teacher and self.weights == "auto" else self.weights

    @property
    def _by_cells(self) -> bool:
        return self.head == "regional" and self.augmentation != "paper"

    @property
    def keeps_early(self) -> bool:
        """Whether early layers keep their weights."""
        return self.freeze_early and self.weights != "none"

    @property
    def heatmap(self) -> str:
        """The heatmap of the bundle, as `bundles.HeatmapSpec` reads it."""
        method = "regional" if self.head == "regional" else "gradcam"
        unknown = self.lung_prior and not self.taught
        density = unknown if self.density_prior is None else self.density_prior
        return str(HeatmapSpec(method, self.mirror, self.lung_prior, density, self._smoothed))

    @property
    def region_level(self) -> float:
        """Heat from which a pixel belongs to a region."""
        chosen = 0.2 if self._smoothed else 0.15
        return chosen if self.region_threshold is None else self.region_threshold

    @property
    def _smoothed(self) -> bool:
        wanted = self.taught if self.smooth is None else self.smooth
        return wanted and self.lung_prior


# arXiv 2511.00456, section "Training": the paper's protocol to the letter, including its
# double correction of imbalance (balanced draws and class weights).
PAPER: dict[str, Any] = {
    "preset": "paper",
    "head": "mlp",
    "size": 224,
    "class_weights": True,
    "mirror": False,
    "lung_guidance": 0.0,
    "freeze_early": False,
    "lung_prior": False,
    "density_prior": False,
    "smooth": False,
    "region_threshold": 0.5,
    "epochs": 10,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "weight_decay": 1e-4,
    "schedule": "constant",
    "warmup": 0.0,
    "ema_decay": 0.0,
    "balanced_sampler": True,
    "augmentation": "paper",
    "monitor": "accuracy",
    "patience": 3,
}


def make_settings(preset: str = "default", **overrides: Any) -> TrainingSettings:
    """A preset with some settings replaced; `None` leaves the preset's value.

    Raises:
        SettingsError: unknown preset, unknown setting, or a value out of range.
    """
    if preset not in ("default", "paper"):
        raise SettingsError(f"unknown preset '{preset}'", remedy="choose 'default' or 'paper'")
    base = PAPER if preset == "paper" else {}
    return _validated({**base, **{k: v for k, v in overrides.items() if v is not None}}, None)


def read_settings(path: Path) -> TrainingSettings:
    """Read a run's `config.yaml`.

    Raises:
        SettingsError: the file is missing, is no YAML, or holds an unknown setting.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError("cannot be read", path=path, remedy="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError("is not valid YAML", path=path, remedy="correct it") from error
    if not isinstance(values, dict):
        raise SettingsError("holds no settings", path=path, remedy="give 'name: value' lines")
    return _validated(values, path)


def write_settings(path: Path, settings: TrainingSettings) -> None:
    """Write all settings, defaults included, as YAML."""
    write_text(path, settings_text(settings))


def settings_text(settings: TrainingSettings) -> str:
    """All settings, defaults included, as YAML."""
    return yaml.safe_dump(settings.model_dump(), sort_keys=False)


def parse_settings(pairs: Sequence[str], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings by name, of `NAME=VALUE` pairs; values are read as YAML.

    Args:
        pairs: with a name each.
        given: settings that have options of their own; None for those that were not given.

    Raises:
        SettingsError: a pair has no '=' or no valid value, a setting is given twice, or a pair
            names the preset, which the others build on.
    """
    settings = {name: value for name, value in (given or {}).items() if value is not None}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"'{pair}' is not a setting", remedy="write --set name=value")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingsError(
                f"'{pair}' has a value that is not YAML", remedy="write --set name=value"
            ) from error
        whole, dot, part = name.strip().replace("-", "_").partition(".")
        amount = bool(dot) and whole == "augmentation"
        group = settings.setdefault("amounts", {}) if amount else settings
        key = part if amount else whole + dot + part
        if key in group:
            raise SettingsError(f"'{name.strip()}' is given twice", remedy="give one of them")
        group[key] = read
    if "preset" in settings:
        raise SettingsError("the preset is not a setting", remedy="write --preset NAME")
    return settings


def _validated(values: dict[str, Any], path: Path | None) -> TrainingSettings:
    try:
        return TrainingSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).replace("amounts.", "augmentation.")
        if first["type"] == "extra_forbidden":
            raise _unknown(name, path) from error
        raise SettingsError(
            f"setting '{name}': {first['msg'].removeprefix('Value error, ')}",
            path=path,
            remedy="pneumoscope train --show-config prints all settings with their values",
        ) from error


def _unknown(name: str, path: Path | None) -> SettingsError:
    amounts = [f"augmentation.{each}" for each in Amounts.model_fields]
    known = [each for each in TrainingSettings.model_fields if each != "amounts"]
    known += amounts
    near = get_close_matches(name, known, n=1)
    meant = f"write '{near[0]}', or another" if near else "choose one"
    return SettingsError(
        f"there is no setting '{name}'", path=path, remedy=f"{meant} of {', '.join(known)}"
    )
