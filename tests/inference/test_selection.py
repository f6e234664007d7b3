"""What runs a file: the rules, on engines whose times are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumoscope.bundles import BundleInfo, ExportInfo, OnnxBundle, Quality, read_onnx, write_onnx
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.inference import EngineOutput, Runtime, load_engine, openvino_engine, self_test
from pneumoscope.inference import selection as selecting
from pneumoscope.inference.selection import MANY, Candidate, streams_for
from tests.audit.engines import info

GOOD = Quality(radiographs=50, roc_auc=0.9, roc_auc_drop=0.001, heatmap_correlation=0.99)
ALL = {"float32": GOOD, "bfloat16": GOOD, "int8": GOOD}


@dataclass
class Fake:
    """A loaded engine."""

    bundle: OnnxBundle
    runtime: Any
    settings: Any

    @property
    def name(self) -> str:
        return f"{self.bundle.path.name} {self.runtime}"


@dataclass
class World:
    """The machine: seconds of each candidate by the file and runtime; what was measured."""

    seconds: dict[str, float | None]
    measured: list[str] = field(default_factory=list)
    compared: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A machine with OpenVINO and bfloat16, and an empty cache."""
    known = World({})
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(openvino_engine, "installed", lambda: True)
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: True)
    monkeypatch.setattr(Candidate, "load", lambda self, to: Fake(self.bundle, self.runtime, to))

    def seconds(engine: Fake) -> float:
        known.measured.append(engine.name)
        taken = known.seconds.get(engine.name, 1.0)
        if taken is None:
            raise BundleError(f"{engine.name} fails")
        return taken

    monkeypatch.setattr(selecting, "seconds_each", seconds)
    monkeypatch.setattr(
        selecting, "require_same", lambda one, other: known.compared.append((one.name, other.name))
    )
    return known


def write(
    path: Path, quality: Mapping[str, Quality] | None = None, precision: str = "float32"
) -> Path:
    """A file that says so of itself; nobody runs it."""
    export = ExportInfo.model_validate({"precision": precision, "quality": quality or {}})
    write_onnx(path, b"", described().model_copy(update={"export": export}))
    return path


def described() -> BundleInfo:
    return info("regional")


def chosen(path: Path, **wanted: Any) -> str:
    engine: Any = load_engine(path, **wanted)
    name: str = engine.name
    return name


def test_few_radiographs_get_the_engine_that_starts_soonest(tmp_path: Path, world: World) -> None:
    file = write(tmp_path / "model.onnx", ALL)
    write(tmp_path / "model.int8.onnx", ALL, "int8")
    for expected in (None, 1, MANY - 1):
        assert chosen(file, expected=expected) == "model.onnx onnxruntime float32"
    assert world.measured == [] and not (tmp_path / "cache").exists()


def test_many_get_the_quickest_and_it_is_remembered(tmp_path: Path, world: World) -> None:
    file = write(tmp_path / "model.onnx", ALL)
    write(tmp_path / "model.int8.onnx", ALL, "int8")
    everything = [
        "model.onnx onnxruntime float32", "model.onnx openvino float32",
        "model.onnx openvino bfloat16", "model.int8.onnx onnxruntime int8",
        "model.int8.onnx openvino int8",
    ]  # fmt: skip
    for quickest in everything:
        world.seconds, world.measured = {quickest: 0.5}, []
        for cached in (tmp_path / "cache").rglob("*.json"):
            cached.unlink()
        assert chosen(file, expected=MANY) == quickest
        assert world.measured == everything
    world.seconds = {everything[0]: 0.1}
    assert chosen(file, expected=10_000) == everything[-1]
    assert world.measured == everything
    # Other threads, another machine.
    assert chosen(file, expected=MANY, threads=97) == everything[0]


def test_many_radiographs_share_the_cpus_among_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selecting, "available_cpus", lambda: 8)
    assert [streams_for(count) for count in (1, MANY - 1, MANY, 10_000)] == [1, 1, 4, 4]
    assert streams_for(10_000, threads=2) == 1
    monkeypatch.setattr(selecting, "available_cpus", lambda: 2)
    assert streams_for(10_000) == 2
    file = write(tmp_path / "model.onnx", ALL)
    for streams, threads, each in ((1, None, 2), (2, None, 1), (4, None, 1), (2, 3, 3)):
        engine = load_engine(file, threads=threads, streams=streams)
        assert isinstance(engine, Fake)
        assert (engine.settings.streams, engine.settings.threads_each) == (streams, each)


@pytest.mark.parametrize(
    "bad",
    [
        Quality(radiographs=50, roc_auc=0.9, roc_auc_drop=0.0031, heatmap_correlation=0.99),
        Quality(radiographs=50, roc_auc=0.9, roc_auc_drop=0.001, heatmap_correlation=0.979),
        Quality(radiographs=50, roc_auc=None, roc_auc_drop=None, heatmap_correlation=None),
        None,
    ],
)
def test_only_what_passed_the_gate_is_tried(
    tmp_path: Path, world: World, bad: Quality | None
) -> None:
    figures = {} if bad is None else {"bfloat16": bad, "int8": bad}
    file = write(tmp_path / "model.onnx", figures)
    small = write(tmp_path / "model.int8.onnx", figures, "int8")
    world.seconds = {"model.int8.onnx openvino int8": 0.1, "model.onnx openvino bfloat16": 0.1}
    assert chosen(file, expected=MANY) == "model.onnx onnxruntime float32"
    assert world.measured == ["model.onnx onnxruntime float32", "model.onnx openvino float32"]
    for expected in (1, MANY):
        with pytest.raises(BundleError, match=r"no figures on val that pass.*int8 by name"):
            load_engine(small, expected=expected)
    # Who names it gets it, if OpenVINO reads it rightly.
    assert chosen(small, precision="int8") == "model.int8.onnx onnxruntime int8"
    assert chosen(file, precision="bfloat16") == "model.onnx openvino bfloat16"
    assert chosen(file, precision="int8", expected=MANY) == "model.int8.onnx openvino int8"


def test_weights_in_float16_are_judged_by_figures_in_float32(tmp_path: Path) -> None:
    file = write(tmp_path / "model.float16.onnx", {"float32": GOOD}, "float16")
    assert chosen(file) == "model.float16.onnx onnxruntime float32"
    with pytest.raises(BundleError, match="no figures on val"):
        load_engine(write(tmp_path / "other.onnx", {}, "float16"))


def test_the_engine_and_the_precision_asked_for(tmp_path: Path, world: World) -> None:
    file = write(tmp_path / "model.onnx", ALL)
    write(tmp_path / "model.int8.onnx", ALL, "int8")
    world.seconds = {"model.onnx openvino bfloat16": 0.5}
    assert chosen(file, engine="openvino") == "model.onnx openvino float32"
    assert chosen(file, engine="openvino", expected=MANY) == "model.onnx openvino bfloat16"
    assert chosen(file, engine="openvino", precision="int8") == "model.int8.onnx openvino int8"
    assert chosen(file, precision="float32", expected=MANY) == "model.onnx onnxruntime float32"
    assert set(world.measured) == {
        "model.onnx openvino float32", "model.onnx openvino bfloat16",
        "model.int8.onnx openvino int8", "model.onnx onnxruntime float32",
    }  # fmt: skip
    assert world.compared == [
        ("model.onnx openvino float32", "model.onnx onnxruntime float32"),
        ("model.onnx openvino float32", "model.onnx onnxruntime float32"),
        ("model.onnx openvino bfloat16", "model.onnx onnxruntime float32"),
        ("model.int8.onnx openvino int8", "model.int8.onnx onnxruntime int8"),
        ("model.int8.onnx openvino int8", "model.int8.onnx onnxruntime int8"),
        ("model.onnx openvino float32", "model.onnx onnxruntime float32"),
    ]
    # One candidate needs no test.
    world.measured = []
    only = {"engine": "onnxruntime", "precision": "float32", "expected": MANY}
    assert chosen(file, **only) == "model.onnx onnxruntime float32"
    assert world.measured == []


def test_what_is_not_to_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "model.onnx", ALL)
    with pytest.raises(SettingsError, match=r"model\.onnx: is not computed in bfloat16 by onnxr"):
        load_engine(file, engine="onnxruntime", precision="bfloat16")
    with pytest.raises(BundleError, match=r"no int8 form beside it \(model\.int8\.onnx\)"):
        load_engine(file, precision="int8")
    with pytest.raises(SettingsError, match=r"model\.onnx: is not for torch"):
        load_engine(file, engine="torch")
    with pytest.raises(SettingsError, match="0 threads"):
        load_engine(file, threads=0)
    small = write(tmp_path / "small.onnx", ALL, "int8")
    with pytest.raises(SettingsError, match=r"is not computed in float32 by any engine.*int8"):
        load_engine(small, precision="float32")
    monkeypatch.undo()
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    for wanted in ({"engine": "openvino"}, {"precision": "bfloat16"}):
        with pytest.raises(BundleError, match=r"openvino.*extra 'openvino'"):
            load_engine(file, **wanted)  # type: ignore[arg-type]


def test_without_openvino_onnxruntime_does_it(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    file = write(tmp_path / "model.onnx", ALL)
    assert chosen(file, expected=MANY) == "model.onnx onnxruntime float32"
    assert world.measured == []


def test_an_int8_file_of_another_bundle_is_left_aside(tmp_path: Path) -> None:
    file = write(tmp_path / "model.onnx", ALL)
    beside = write(tmp_path / "model.int8.onnx", ALL, "int8")
    stranger = read_onnx(beside).info.model_copy(update={"threshold": 0.1})
    for content in (None, stranger):
        if content is None:
            beside.write_bytes(beside.read_bytes()[:-1])
        else:
            write_onnx(beside, b"", content)
        with pytest.warns(UserWarning, match=r"left aside: .*model\.int8\.onnx"):
            assert chosen(file, expected=MANY) == "model.onnx onnxruntime float32"
        with pytest.raises(BundleError, match=r"model\.int8\.onnx"):
            load_engine(file, precision="int8")
    write(beside, ALL, "float32")
    with pytest.raises(BundleError, match=r"is not the int8 form of model\.onnx"):
        load_engine(file, precision="int8")


@pytest.mark.parametrize(
    "content",
    ["", "no JSON", "[]", "{}", '{"a": 1.0}', "OTHER", "[" * 100_000],
)
def test_a_damaged_memory_is_measured_anew(tmp_path: Path, world: World, content: str) -> None:
    file = write(tmp_path / "model.onnx")
    world.seconds = {"model.onnx openvino float32": 0.5}
    load_engine(file, expected=MANY)
    (cached,) = (tmp_path / "cache").rglob("*.json")
    kept = json.loads(cached.read_text())
    assert sorted(kept.values()) == [0.5, 1.0]
    bad: list[object] = [-1.0, 0.0, "1", True, float("nan"), float("inf")]
    texts = [json.dumps({**kept, next(iter(kept)): value}) for value in bad]
    for text in texts if content == "OTHER" else [content]:
        cached.write_text(text)
        world.measured = []
        assert chosen(file, expected=MANY) == "model.onnx openvino float32"
        assert len(world.measured) == 2
        assert json.loads(cached.read_text()).items() >= kept.items()


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("PNEUMOSCOPE_CACHE", str(tmp_path / "taken"))
    file = write(tmp_path / "model.onnx")
    for calls in (2, 4):
        load_engine(file, expected=MANY)
        assert len(world.measured) == calls


def test_what_fails_in_the_test_is_not_chosen(tmp_path: Path, world: World) -> None:
    file = write(tmp_path / "model.onnx")
    world.seconds = {"model.onnx onnxruntime float32": None}
    for _ in range(2):
        assert chosen(file, expected=MANY) == "model.onnx openvino float32"
    assert len(world.measured) == 2
    # If all fail the first one says why, whenever it is asked.
    world.seconds = dict.fromkeys(world.measured)
    for _ in range(2):
        with pytest.raises(BundleError, match="onnxruntime float32 fails"):
            load_engine(file, expected=MANY, threads=97)


def test_new_versions_and_other_machines_have_memories_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [self_test.cache_file(["a"], 1), self_test.cache_file(["b"], 1)]
    places.append(self_test.cache_file(["a"], 2))
    monkeypatch.setattr(self_test, "_cpu_lines", lambda: ["model name: another"])
    places.append(self_test.cache_file(["a"], 1))
    monkeypatch.setattr(self_test, "_version", lambda name: "99")
    places.append(self_test.cache_file(["a"], 1))
    assert len(set(places)) == 5
    assert places[-1] == self_test.cache_file(["a"], 1)


class Timed:
    """An engine on a clock of its own: `each` seconds for a radiograph, ten times that at first."""

    methods = ("regional",)

    def __init__(self, each: list[float]) -> None:
        self.info, self.each, self.now, self.batches = described(), each, 0.0, list[int]()

    def run(self, pixels: np.ndarray[Any, Any], methods: tuple[str, ...]) -> EngineOutput:
        self.now += self.each[min(len(self.batches), len(self.each) - 1)] * len(pixels)
        self.batches.append(len(pixels))
        return EngineOutput(np.zeros(len(pixels)), {})

    def clock(self) -> float:
        return self.now


def test_the_median_of_what_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    quick: Any = Timed([5.0, 0.01, 0.02, 0.04, 0.03])
    monkeypatch.setattr(self_test, "perf_counter", quick.clock)
    assert self_test.seconds_each(quick) == pytest.approx(0.03)
    assert quick.batches == [1, 1, 4, 4, 4]
    slow: Any = Timed([5.0, 2.0])
    monkeypatch.setattr(self_test, "perf_counter", slow.clock)
    assert self_test.seconds_each(slow) == 2.0
    assert slow.batches == [1, 1, 1]


class Answering:
    """An engine that gives one answer; its heat for the negative class may be another."""

    def __init__(
        self, precision: str, probability: float, heat: list[float], negative: list[float]
    ) -> None:
        self.info, self.path = described(), Path("model.onnx")
        self.runtime = Runtime("openvino", precision)  # type: ignore[arg-type]
        self.probability, self.heat = probability, np.array([negative, heat], np.float32)

    def explain(self, pixels: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> Any:
        assert len({film.tobytes() for film in pixels}) == len(targets) == 2
        return {
            "probability": np.full(2, self.probability, np.float32),
            "heatmap": self.heat[targets].reshape(2, 2, 2),
        }


def test_an_engine_that_answers_otherwise_is_refused() -> None:
    heat = [0.1, 0.2, 0.9, 0.0]
    reference: Any = Answering("float32", 0.5, heat, heat)

    def same(*answers: Any) -> None:
        self_test.require_same(Answering(*answers), reference)  # type: ignore[arg-type]

    same("float32", 0.5005, [value * 1.001 for value in heat], heat)
    same("int8", 0.58, [0.1, 0.3, 0.8, 0.1], heat)
    turned = heat[::-1]
    for wrong in (
        ("float32", 0.502, heat, heat),
        ("float32", 0.5, [0.1, 0.3, 0.8, 0.1], heat),
        ("float32", 0.5, heat, turned),
        ("float32", 0.5, heat, [0.0] * 4),
        ("float32", float("nan"), heat, heat),
        ("float32", 0.5, [float("nan")] * 4, heat),
        ("int8", 0.61, heat, heat),
        ("bfloat16", 0.5, turned, heat),
    ):
        with pytest.raises(BundleError, match=r"model\.onnx: openvino does not answer as openvino"):
            same(*wrong)
    dark: Any = Answering("float32", 0.5, [0.0] * 4, [1e-7, 0, 0, 0])
    self_test.require_same(dark, dark)
    same_everywhere: Any = Answering("float32", 0.5, [0.3] * 4, [0.3] * 4)
    self_test.require_same(same_everywhere, same_everywhere)
