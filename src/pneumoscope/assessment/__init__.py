"""Assessment: how good a model, its heatmaps, its lungs and its gate are on a cohort.

Enters: a model or another program's output, a cohort, annotations.
Leaves: `Assessment` (metrics, predictions, figures, a report), audits, model cards.
May import: imaging, cohort, findings, bundles, lungs, gate, evaluate, inference, report; training
and audit where a function needs them; Pillow. No torch when imported.
"""
