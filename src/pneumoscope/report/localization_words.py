"""The words of localization: heatmap methods, baselines, and what is measured of them."""

from __future__ import annotations

# Heatmap methods, as `localize` registers them, by their plain letters.
METHODS: dict[str, str] = {
    "cam": "CAM",
    "gradcam": "Grad-CAM",
    "gradcamplusplus": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "scorecam": "Score-CAM",
    "eigencam": "Eigen-CAM",
    "attentionrollout": "Attention rollout",
    "gradientattention": "Gradient-weighted attention",
    "regional": "Regional",
}
# What a method has to beat before it says anything.
BASELINES: dict[str, str] = {
    "random": "Random heat",
    "centre": "Centre of the radiograph",
    "usuallocation": "Usual location",
    "lungs": "Lungs alone",
    "randomisedweights": "Randomised weights",
}

HEADLINES = ("peak_in_box", "area_matched", "mean_iou@0.5", "mean_iou", "pxap")
"""The figures shown first, of true positives."""

HEADLINES_ANNOTATED = ("peak_in_box", "area_matched", "mean_iou@0.5", "mean_dice@0.5", "mean_dice")
"""The figures shown first, of all annotated radiographs, as papers on grounding report them."""

HEADLINES_LUNGS = ("energy_in_lungs", "peak_in_lungs", "lungs_share", "peak_at_border")
"""The figures shown first where lungs are known and lesions are not."""

HEADLINES_ALL = (
    "peak_in_box",
    "area_matched",
    "mean_iou@0.5",
    "froc",
    "false_regions_per_negative",
)
"""The figures shown first, of all radiographs."""

# key: (name, what it says in a reader's words)
FIGURES: dict[str, tuple[str, str]] = {
    "peak_in_box": ("Peak in lesion", "The hottest pixel lies in a lesion: the pointing game"),
    "area_matched": (
        "Area matched",
        "Of the hottest pixels, as many as the lesions have, the share that lies in lesions; "
        "no threshold is chosen",
    ),
    "mean_iou@0.5": (
        "IoU at heat ≥ 0.5",
        "Pixels with heat of at least 0.5 (a bundle's hottest pixel has the radiograph's "
        "probability) against the lesions: intersection over union, mean over radiographs",
    ),
    "mean_iou": ("IoU at tuned heat", "The same at the heat threshold chosen on the tuning half"),
    "pxap": (
        "PxAP",
        "Average precision of all radiographs' pixels together, over all heat thresholds",
    ),
    "auprc": ("Pixel AP", "Average precision of a radiograph's pixels, mean over radiographs"),
    "energy_in_boxes": ("Heat in lesions", "Share of all heat that lies in lesions"),
    "energy_in_lungs": ("Heat in lungs", "Share of all heat that lies in the lungs"),
    "peak_in_lungs": ("Peak in lungs", "The hottest pixel lies in the lungs"),
    "lungs_share": (
        "Lungs' share of the radiograph",
        "What heat spread evenly over the radiograph would have in the lungs",
    ),
    "peak_at_border": (
        "Peak at the border",
        "The hottest pixel is within 5 % of the radiograph's edge; lower is better",
    ),
    "box_acc": (
        "Box accuracy",
        "The box around the largest hot part has IoU ≥ 0.5 with a lesion, at the tuned heat",
    ),
    "box_acc_v2": (
        "Box accuracy V2",
        "Some hot part's box overlaps a lesion, mean over IoU 0.3, 0.5, 0.7, at the tuned heat",
    ),
    "max_mean_iou": (
        "IoU at best heat",
        "At the heat threshold that is best on these very radiographs: optimistic",
    ),
    "mean_dice@0.5": (
        "Dice at heat ≥ 0.5",
        "Dice coefficient of pixels with heat of at least 0.5 (a bundle's hottest pixel has the "
        "radiograph's probability) and the lesions",
    ),
    "hit_rate": (
        "Hit rate",
        "The first of the hottest pixels lies in a lesion, as CheXlocalize counts it",
    ),
    "miou": (
        "mIoU",
        "IoU of the heat above Otsu's threshold with the lesions, as CheXlocalize measures it",
    ),
    "mean_dice": ("Dice at tuned heat", "At the heat threshold chosen on the tuning half"),
    "max_mean_dice": (
        "Dice at best heat",
        "At the heat threshold that is best on these very radiographs: optimistic",
    ),
    "max_box_acc": (
        "MaxBoxAcc",
        "Box accuracy at the heat threshold best on these very radiographs: optimistic",
    ),
    "max_box_acc_v2": (
        "MaxBoxAccV2",
        "Box accuracy V2 at the heat thresholds best on these very radiographs: optimistic",
    ),
    "froc": (
        "FROC score",
        "Share of lesions found, mean over 1/8, 1/4, 1/2, 1 and 2 false regions per radiograph",
    ),
    "false_regions_per_negative": (
        "False regions",
        "Regions per radiograph without lesions; lower is better",
    ),
}
# Figures at a level, `name@level`.
_LEVELLED: dict[str, tuple[str, str]] = {
    "iou": (
        "IoU ≥ {}",
        "Share of lesion boxes that some region overlaps at least so, intersection over union",
    ),
    "iobb": (
        "IoBB ≥ {}",
        "The same, intersection over the region's area: how pure regions are",
    ),
    "froc": (
        "Found at {} false",
        "Share of lesions found at no more than so many false regions per radiograph",
    ),
}
_ALIASES = {
    "pointing_game": "peak_in_box",
    "peak_in_lesion": "peak_in_box",
    "energy_in_lesion": "energy_in_boxes",
}


def localization_name(key: str) -> str:
    """The friendly name of a localization figure; a key nobody named is spelt out."""
    known = _described(key)
    return spelt_out(key) if known is None else known[0]


def localization_meaning(key: str) -> str:
    """What a localization figure says, in one line; empty for a key nobody described."""
    known = _described(key)
    return "" if known is None else known[1]


def spelt_out(key: str) -> str:
    """A key as words."""
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _described(key: str) -> tuple[str, str] | None:
    known = FIGURES.get(_ALIASES.get(key, key))
    name, _, level = key.partition("@")
    if known is None and level and name in _LEVELLED:
        title, meaning = _LEVELLED[name]
        return title.format(level), meaning
    return known
