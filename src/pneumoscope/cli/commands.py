"""The subcommands by name; each is imported when it is called, so that `--help` is quick."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from pneumoscope.cli.quiet import with_quiet

COMMANDS = {
    "Your radiographs": {
        "scan": "Find radiographs, patients and duplicates; split by patient 70/15/15; write a "
        "manifest.",
        "join": "Join cohorts into one manifest to train on; every radiograph keeps its split.",
        "train": "Train a classifier from image-level labels; keep the epoch that is best on val.",
        "average": "Average the weights of runs that started from the same weights.",
        "ensemble": "Put the networks of several runs into one bundle that gives their mean "
        "answer.",
        "evaluate": "Measure classification, calibration and, with annotations, localization; "
        "write a report.",
        "calibrate": "Fit threshold, calibration and review band of a bundle to a site's own "
        "labelled sample.",
        "compare": "Train and measure backbones under one protocol, on one split; say which "
        "differ.",
        "predict": "Find pneumonia on radiographs: probability, decision, heatmap, regions.",
        "serve": "Read radiographs on a page in the browser, or send them to its HTTP API.",
        "export": "Write a bundle as one ONNX file that gives probability and heatmap in one call.",
        "dicom-fetch": "Fetch the CR and DX radiographs of a study from a PACS.",
        "dicom-node": "Receive radiographs from a PACS and send findings back as DICOM objects.",
        "weights": "List, fetch and check the weights that backbones start from.",
    },
    "Can it be trusted?": {
        "explain": "Draw a radiograph and its heatmaps by several methods side by side.",
        "audit": "Test whether heatmaps show what the model learned, and whether it learned a "
        "shortcut.",
        "card": "Write a bundle's MODEL_CARD.md and model_card.json from its measurements.",
    },
    "Without data": {
        "demo": "Draw phantoms, scan, train, evaluate, predict, and write one report to look at.",
        "phantom": "Draw phantoms: chest radiographs of nobody, with exact lesion masks and boxes.",
        "benchmark": "Time Grad-CAM by Pneumoscope's engines and by grad-cam, torchcam and captum.",
    },
    "Lungs and their density": {
        "train-lungs": "Train the lung segmenter and measure it on test, split by patient.",
        "check-lungs": "Compare segmented with drawn lungs: Dice, IoU, 95 % intervals.",
        "train-atlas": "Make the atlas of normal lungs that the density factor compares "
        "radiographs with.",
    },
    "The input gate": {
        "train-gate": "Train the input gate on the train radiographs and on pictures of other "
        "things.",
        "check-gate": "Measure the input gate: false positives on chest radiographs, detection of "
        "other pictures.",
    },
}
"""For each part of the help, its commands and the first line of what each says of itself."""


class Later(TyperCommand):
    """A command that is known by its summary, and imported when it is called.

    Args:
        name: of the command. Its module in this package is named like it; so is its function there,
            unless the module holds a group of subcommands, `app`.
        summary: what the list of commands says of it.
        panel: its part of the help.
    """

    def __init__(self, name: str, summary: str, panel: str) -> None:
        super().__init__(name, help=summary, rich_help_panel=panel)

    @cached_property
    def command(self) -> Any:
        """The command itself, as typer makes it."""
        name = str(self.name)
        function = name.replace("-", "_")
        module = import_module(f"pneumoscope.cli.{function}")
        group = getattr(module, "app", None)
        if group is None:
            group = typer.Typer(add_completion=False, rich_markup_mode="rich")
            group.command(name)(with_quiet(getattr(module, function)))
        return typer.main.get_command(group)

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """As of the command itself, which typer runs from then on."""
        return self.command.make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """The program, with the commands of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, commands in COMMANDS.items():
            for name, summary in commands.items():
                self.add_command(Later(name, summary, panel))
