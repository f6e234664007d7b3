"""Report: figures and pages that people look at.

Enters: metrics, predictions, heatmaps, findings.
Leaves: PNG figures, overlays, a self-contained `report.html`, a model card.
May import: imaging, findings, evaluate, matplotlib, jinja2. No torch.
"""

# Not here: `report.figures`, because it loads matplotlib, and `overlay.overlay`, because it has its
# module's name.
from pneumoscope.report.html import ReportContent, render_report
from pneumoscope.report.model_card import ModelCard, render_model_card
from pneumoscope.report.overlay import load_heatmap, save_heatmap, save_overlay
from pneumoscope.report.sheet import contact_sheet

__all__ = [
    "ModelCard",
    "ReportContent",
    "contact_sheet",
    "load_heatmap",
    "render_model_card",
    "render_report",
    "save_heatmap",
    "save_overlay",
]
