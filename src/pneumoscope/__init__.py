"""Pneumoscope: learns where pneumonia is on a chest radiograph from labels that only say whether.

Research software, not a medical device. `docs/architecture.md` shows the rooms of the house.
"""

__version__ = "0.1.0"
