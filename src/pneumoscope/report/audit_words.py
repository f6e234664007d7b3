"""The words of an audit's page and table: what each test does, and what its figures say."""

from __future__ import annotations

WHAT: dict[str, str] = {
    "randomisation": "The network's weights are drawn anew, block by block from the head to the "
    "stem. A heatmap that shows what was learnt must come to look different (Adebayo et al. 2018). "
    "The lungs factor, if the bundle has one, is left out.",
    "deletion": "On the radiographs called positive the hottest pixels are removed and filled from "
    "their surroundings (ROAD, Rong et al. 2022). The score must fall more than when "
    "the same shapes are removed at random places. Removal of the coldest first is reported and "
    "not tested.",
    "marker": "A bright disc or letter is stamped into a corner of every radiograph, negative or "
    "positive. It must neither flip decisions nor draw the heatmap's peak (Zech et al. 2018).",
    "places": "Where heatmaps of the radiographs called positive peak, and how much of their heat "
    "lies in the lungs, before any lungs factor, against points drawn evenly over the radiograph.",
    "shortcuts": "Parts of the radiographs are hidden, and the ROC-AUC is measured again. What is "
    "kept without the lungs, or with the edge alone, was not learned from the disease (Zech et al. "
    "2018). The table tells what view, sex and age predict without a radiograph. Masked "
    "radiographs are out of distribution. A low figure is therefore inconclusive; a high figure "
    "is evidence of a shortcut.",
}

FIGURES: dict[str, tuple[str, str]] = {
    "rank_correlation": (
        "Rank correlation with the original",
        "Spearman, mean over radiographs, with all weights drawn anew; 1 means nothing changed",
    ),
    "ssim": ("SSIM with the original", "Structural similarity, likewise"),
    "morf_advantage": (
        "Hottest first against random places",
        "How much lower the log-odds fall, mean over the parts removed; above 0 is asked for",
    ),
    "road": (
        "ROAD, log-odds",
        "Coldest first less hottest first, mean over the parts removed; higher is better",
    ),
    "road_probability": ("ROAD, probability", "Likewise, of the calibrated probability"),
    "worst_flips": (
        "Decisions flipped, worst marker",
        "Share of radiographs whose decision one marker in one corner changes",
    ),
    "worst_shift_relative": (
        "Shift, worst marker",
        "Mean change of the log-odds, in standard deviations of the sample's log-odds",
    ),
    "worst_peak_gain": (
        "Peaks drawn, worst marker",
        "Share of heatmaps that peak on the marker, less those that peaked there before",
    ),
    "peak_at_border": ("Peaks at the edge", "Share of heatmaps that peak within 5 % of the edge"),
    "border_share": ("Random points at the edge", "The share of the radiograph's area there"),
    "peak_in_lungs": ("Peaks in the lungs", "Share of heatmaps that peak there"),
    "energy_in_lungs": ("Heat in the lungs", "Share of all heat"),
    "lungs_share": (
        "Random points in the lungs",
        "The share of the radiograph's area that is lung",
    ),
    "energy_gain": (
        "Heat in the lungs beyond their area",
        "The difference; 0 is what an even map would score",
    ),
    "auc_whole": ("ROC-AUC, whole radiograph", "Of these radiographs as they are"),
    "auc_lungs_hidden": ("ROC-AUC, lungs hidden", "Widened lungs in one gray; .5 is chance"),
    "auc_edge": ("ROC-AUC, edge alone", "A frame of a tenth of the side is left"),
    "auc_markers_hidden": (
        "ROC-AUC, markers hidden",
        "Small bright things outside the lungs taken out; as with them is ideal",
    ),
}

COLUMNS: dict[str, str] = {
    "rank_correlation": "Rank correlation",
    "ssim": "SSIM",
    "hottest": "Hottest first",
    "coldest": "Coldest first",
    "random": "Random places",
    "flips": "Flips",
    "shift": "Shift",
    "shift_relative": "Shift, in SD",
    "shift_negative": "Shift, negatives",
    "shift_positive": "Shift, positives",
    "peak_on_marker": "Peak on it",
    "peak_there_before": "Before",
    "peak_gain": "Gain",
    "auc": "ROC-AUC",
    "auc_kept": "Kept beyond chance",
}

STEPS: dict[str, str] = {
    "randomisation": "Drawn anew down to",
    "deletion": "Removed",
    "marker": "Marker",
    "places": "",
    "shortcuts": "What is left",
}

LIMITS: dict[str, str] = {
    "randomisation": "Passed if the mean rank correlation is below {rank_correlation:.2f} when all "
    "weights are new.",
    "deletion": "Passed if the 95 % interval of the first figure lies above {morf_advantage:.0f}.",
    "marker": "Not passed if, for any marker, the 95 % interval lies beyond {flips:.0%} of "
    "decisions flipped, a shift of {shift_relative:g} standard deviations, or {peak_gain:.0%} of "
    "peaks drawn.",
    "places": "Passed if fewer heatmaps than random points ({peak_at_border:.0%}) peak at the "
    "edge, and the 95 % interval of heat in the lungs beyond their area lies above "
    "{energy_gain:.0f}.",
    "shortcuts": "Passed if without the lungs at most {lungs_hidden:.0%} of the ROC-AUC beyond "
    "chance is kept, with the edge alone at most {edge:.0%}, and hiding markers costs at most "
    "{markers:.2f}.",
}
