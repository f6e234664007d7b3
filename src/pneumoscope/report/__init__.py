"""Report: figures and pages that people look at.

Enters: metrics, predictions, heatmaps, findings.
Leaves: PNG figures, overlays, a self-contained `report.html`, a model card.
May import: imaging, findings, evaluate, matplotlib, jinja2. No torch.

Import from its modules: `predict` needs overlays alone, and `figures` loads matplotlib.
"""
