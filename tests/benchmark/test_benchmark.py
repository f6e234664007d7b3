"""All ways explain the same, by turns; how fast is not a matter of tests."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pneumoscope.benchmark import measuring
from pneumoscope.benchmark.measuring import Benchmark
from pneumoscope.benchmark.tables import tables
from pneumoscope.benchmark.timing import Pace, take_turns
from pneumoscope.benchmark.way import Answer
from pneumoscope.benchmark.ways import PEER_NAMES, explains
from pneumoscope.cli.app import app
from pneumoscope.errors import SettingsError

TINY = ["--films", "2", "--film-side", "64", "--size", "64", "--repeats", "1", "--seconds", "0"]


@pytest.mark.slow
def test_all_explain_the_same_and_are_timed(tmp_path: Path) -> None:
    out, kept = tmp_path / "speed" / "benchmark.json", tmp_path / "bundles"
    ways = [*PEER_NAMES, "torch float32", "onnxruntime float32", "onnxruntime int8"]
    few = ["--backbone", "resnet18", "--batch", "2", "--threads", "1"]
    named = [word for way in ways for word in ("--way", way)]
    files = ["--bundles", str(kept), "--out", str(out)]
    run = CliRunner().invoke(app, ["benchmark", *TINY, *few, *named, *files])
    assert run.exit_code == 0, run.output
    found = json.loads(out.read_text())["backbones"]["resnet18"]
    assert found["gmacs"] > 0
    for way in ways[:-1]:
        assert found["agreement"][way]["correlation"] > 0.9999
        assert found["agreement"][way]["probability"] < 1e-4
    # Too little for an opinion on how well integers do; that they were used.
    assert found["agreement"][ways[-1]]["probability"] > 0
    measured = found["batches"]["2"]
    assert list(measured["ways"]) == ways
    for peer in PEER_NAMES:
        assert measured["times_as_fast"][peer][peer]["median"] == 1
        assert f"**Times as fast as {peer}, batch 2**" in run.output
    assert all(0 < share < 10 for share in measured["share_of_peak"].values())
    files_made = {path.name for path in (kept / "resnet18").iterdir()}
    assert {"model.onnx", "model.int8.onnx"} < files_made


class Noted:
    """A way that notes what is asked of it."""

    def __init__(self, notes: list[str], name: str) -> None:
        self.notes, self.name = notes, name

    def turn(self) -> AbstractContextManager[object]:
        self.notes.append(f"turn of {self.name}")
        return nullcontext()

    def step(self) -> int:
        self.notes.append(self.name)
        return 2


def test_turns_alternate_and_warm_up_once() -> None:
    notes = list[str]()
    ways = {name: Noted(notes, name) for name in "ab"}
    turns = take_turns(ways, Pace(2, steps=2, warm_up="first turn"))
    first = ["turn of a", "a", "a", "a", "turn of b", "b", "b", "b"]
    assert notes == [*first, "turn of a", "a", "a", "turn of b", "b", "b"]
    assert [turn.radiographs for turn in turns["a"]] == [4, 4]


def test_turns_last_and_end_as_told() -> None:
    ways = {"a": Noted([], "a")}
    (long,) = take_turns(ways, Pace(1, seconds=0.01))["a"]
    assert long.seconds >= 0.01 and long.radiographs > 2
    assert len(take_turns(ways, Pace(9, budget=0))["a"]) == 3


class Painter:
    """A way that gives one answer whatever it sees."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def turn(self) -> AbstractContextManager[object]:
        return nullcontext()

    def explain(self, _pixels: object) -> Answer:
        return self.answer


def test_maps_of_something_else_are_not_timed() -> None:
    draw = np.random.default_rng(0)
    film, other = draw.random((2, 8, 8)), draw.random((2, 8, 8))
    one, wrong = (Answer(np.array([0.5, 0.5]), maps) for maps in (film, other))
    brighter = Answer(np.array([0.5, 0.25]), film / 2 + 0.1)

    def compared(**answers: Any) -> Any:
        painters: Any = {name.replace("_", " "): Painter(each) for name, each in answers.items()}
        return measuring._agreement(painters, np.zeros((2, 8, 8), dtype=np.uint8))

    found = compared(torchcam=one, torch_float32=brighter, openvino_int8=wrong)
    assert found["torch float32"]["correlation"] == pytest.approx(1)
    assert found["torch float32"]["probability"] == 0.25
    assert found["openvino int8"]["correlation"] < 0.9
    assert not any(measuring._differs(name, figures) for name, figures in found.items())
    flat = Answer(one.probability, np.zeros_like(film))
    for bad in (wrong, flat):
        found = compared(torchcam=one, torch_float32=bad)
        assert [measuring._differs(name, each) for name, each in found.items()] == [False, True]


def test_ways_that_a_backbone_lacks_leave_a_gap() -> None:
    full, part = (
        {"agreement": {name: {"correlation": 1.0} for name in names}, "batches": {}}
        for names in (("torchcam", "openvino int8"), ("torchcam",))
    )
    result = {"batches": [], "left_out": {"torch bfloat16": "none"}}
    text = tables({**result, "backbones": {"one": full, "other": part}})
    assert "| one | 1.0000 | 1.0000 |" in text and "| other | 1.0000 |  |" in text
    assert "Left out: torch bfloat16 (none)." in text
    assert text.endswith("Not timed on other: torchcam, its heatmaps differ.")


def test_captum_explains_no_tokens() -> None:
    assert explains("captum", "resnet18") and explains("torchcam", "vit_b_16")
    assert not explains("captum", "vit_b_16")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"backbones": ["alexnett"]}, "alexnett"),
        ({"ways": ["magic"]}, "there is no way 'magic'"),
        ({"films": 4}, "a batch of 32 needs as many radiographs"),
    ],
)
def test_impossible_wishes_are_refused(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Benchmark(**{"backbones": ["resnet18"], **wish})
