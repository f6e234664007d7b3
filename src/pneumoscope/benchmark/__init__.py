"""Benchmark: how fast heatmaps are made on this machine, beside other packages.

Enters: names of backbones, radiographs. Leaves: rates and ratios with their ranges, as tables and
JSON. Everything is timed by turns in one process, on the same radiographs and the same weights.
May import: imaging, cohort, phantom, bundles, models, localize, inference, export, comparison;
torch, safetensors, Pillow.
"""
