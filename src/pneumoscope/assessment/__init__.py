"""Assessment: how good a model, its heatmaps and its lungs are on a cohort.

Enters: a model, a cohort, annotations. Leaves: metrics, predictions, figures, report pages.
May import: imaging, cohort, findings, bundles, lungs, evaluate, inference, report; Pillow.
No torch.
"""
