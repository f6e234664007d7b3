"""Calibration: a bundle that decides as a site's own labelled sample says.

Enters: a bundle or an exported file, logits of the site's radiographs and their labels.
Leaves: the same network with another threshold, calibration and review band; what was fitted is in
its description and its card.
May import: cohort, evaluate, bundles, inference; onnx lazily. No torch.
"""

from pneumoscope.calibration.fitting import SiteFit, fit_site
from pneumoscope.calibration.writing import Target, write_calibrated

__all__ = ["SiteFit", "Target", "fit_site", "write_calibrated"]
