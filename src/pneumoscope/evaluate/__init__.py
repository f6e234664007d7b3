"""Evaluate: how good are the predictions, and how sure can one be of the figure.

Enters: labels, probabilities, patients; heatmaps and lesion annotations.
Leaves: figures with 95 % patient-level bootstrap intervals, thresholds and calibration fitted on val.
May import: numpy, scipy, scikit-learn. No torch, no other room.
"""
