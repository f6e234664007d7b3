"""Comparison: every backbone under one protocol, on one split, and what each costs.

Enters: a `Manifest`, settings, backbones and seeds; functions that measure a run and write its
report (the command line's own).
Leaves: a folder of ordinary runs, each measured on one split; `ModelScores` for
`evaluate.compare_models`; parameters, GMACs, speed and memory; heatmaps of the same radiographs.
May import: imaging, cohort, bundles, lungs, models, evaluate, inference, training, report; torch,
Pillow.

Inside: `plan` says which runs there are and where each stands, `session` carries them out,
`run_progress` tells how far they are, `results` keeps what was measured, `cost` and `peak_memory`
what it costs, `sheet` draws. Nothing is imported here: the process that measures memory needs
little of this room.
"""
