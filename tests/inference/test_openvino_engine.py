"""OpenVINO answers as onnxruntime does, and tells nobody; as torch, see `tests/export`."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pneumoscope.bundles import OnnxBundle, read_onnx, write_onnx
from pneumoscope.cpus import available_cpus
from pneumoscope.errors import BundleError, SettingsError
from pneumoscope.inference import load_engine, openvino_engine
from pneumoscope.inference.file_engine import FileEngine
from pneumoscope.inference.onnx_engine import OnnxEngine
from pneumoscope.inference.openvino_engine import OpenVinoEngine
from tests.export.bundles import exported
from tests.inference.test_onnx_engine import identity


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> OnnxBundle:
    return read_onnx(exported(run_folder).path)


@pytest.fixture(scope="module")
def engine(bundle: OnnxBundle) -> OpenVinoEngine:
    return OpenVinoEngine(bundle, threads=1)


def noise(bundle: OnnxBundle, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    size = bundle.info.architecture.size
    return np.random.default_rng(4).integers(0, 255, (count, size, size), dtype=np.uint8)


def test_all_outputs_are_those_of_onnxruntime(bundle: OnnxBundle, engine: FileEngine) -> None:
    pixels, targets = noise(bundle, 4), np.array([1, 0, 0, 1])
    expected = OnnxEngine(bundle, threads=1).explain(pixels, targets)
    found = engine.explain(pixels, targets)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    assert (engine.runtime.engine, engine.runtime.precision) == ("openvino", "float32")
    assert engine.methods == ("regional",)


def test_parts_of_a_batch_and_calls_at_once_do_not_mix(
    bundle: OnnxBundle, engine: FileEngine
) -> None:
    pixels = noise(bundle, 5)
    whole = engine.run(pixels, ["regional"])
    parts = OpenVinoEngine(bundle, threads=1, batch_size=2).run(pixels, ["regional"])
    np.testing.assert_allclose(whole.logits, parts.logits, atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        alone = [pool.submit(engine.run, pixels[i % 5][None], ["regional"]) for i in range(40)]
        for index, answer in enumerate(alone):
            found = answer.result()
            assert found.logits[0] == pytest.approx(whole.logits[index % 5], abs=1e-5)
            np.testing.assert_allclose(
                found.maps["regional"][0], whole.maps["regional"][index % 5], atol=1e-5
            )


def test_asked_for_by_name_it_is_first_compared_with_onnxruntime(
    bundle: OnnxBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load_engine(bundle.path, engine="openvino", threads=1)
    assert str(found.runtime) == "openvino float32"

    def wrong(self: OpenVinoEngine, feed: dict[str, Any]) -> list[Any]:
        answers = dict(zip(self._names, right(self, feed), strict=True))
        return [*{**answers, "heatmap": answers["heatmap"][:, ::-1]}.values()]

    right = OpenVinoEngine._compute
    monkeypatch.setattr(OpenVinoEngine, "_compute", wrong)
    # What was found before is remembered.
    load_engine(bundle.path, engine="openvino", threads=1)
    with pytest.raises(BundleError, match="openvino does not answer as onnxruntime does"):
        load_engine(bundle.path, engine="openvino", threads=3)
    found = load_engine(bundle.path, threads=3, expected=10_000)
    assert str(found.runtime) == "onnxruntime float32"


def test_threads_are_those_asked_for(bundle: OnnxBundle) -> None:
    for threads in (1, 2):
        compiled = OpenVinoEngine(bundle, threads=threads)._compiled
        assert compiled.get_property("INFERENCE_NUM_THREADS") == min(threads, available_cpus())
    # A processor with bfloat16 would use it unasked.
    assert "float32" in str(compiled.get_property("INFERENCE_PRECISION_HINT"))


def test_precisions_that_are_not_to_be_had(
    bundle: OnnxBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="computed in float32, not in int8"):
        OpenVinoEngine(bundle, precision="int8")
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: False)
    with pytest.raises(SettingsError, match="processor does not compute in bfloat16"):
        OpenVinoEngine(bundle, precision="bfloat16")
    # Where the processor has none OpenVINO falls back to float32, so the way there can be tried.
    monkeypatch.setattr(openvino_engine, "has_bfloat16", lambda: True)
    reduced = OpenVinoEngine(bundle, precision="bfloat16", threads=1)
    assert str(reduced.runtime) == "openvino bfloat16"
    whole = OpenVinoEngine(bundle, threads=1).run(noise(bundle, 2), [])
    np.testing.assert_allclose(reduced.run(noise(bundle, 2), []).logits, whole.logits, atol=0.1)


def test_what_cannot_be_loaded_is_one_clear_error(
    bundle: OnnxBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(path, identity(bundle.info), bundle.info)
    with pytest.raises(BundleError, match="other inputs or outputs than its description"):
        OpenVinoEngine(read_onnx(path))
    strange = identity(bundle.info).replace(b"Cast", b"Tsac")
    write_onnx(path, strange, bundle.info)
    with pytest.raises(BundleError, match=r"model\.onnx: openvino cannot load it") as failed:
        OpenVinoEngine(read_onnx(path))
    assert "Exception from" not in str(failed.value)
    engine = OpenVinoEngine(bundle, threads=1)
    with pytest.raises(ValueError, match=r"must be uint8 \(1, 64, 64\), not uint8 \(1, 5, 5\)"):
        engine.explain(np.zeros((1, 5, 5), np.uint8), np.array([1]))
    engine._compiled = None
    with pytest.raises(BundleError, match=r"openvino cannot run it"):
        engine.run(noise(bundle, 1), [])
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    with pytest.raises(BundleError, match="extra 'openvino'"):
        OpenVinoEngine(bundle)


_SILENT = """
import os, sys
seen = []
def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.")):
        seen.append(event)
        raise OSError("no network in this test")
sys.addaudithook(watch)

from pathlib import Path
from typing import Any
import numpy as np
from pneumoscope.bundles import read_onnx
from pneumoscope.inference.openvino_engine import OpenVinoEngine
bundle = read_onnx(Path(sys.argv[1]))
engine = OpenVinoEngine(bundle, threads=1)
size = bundle.info.architecture.size
assert engine.run(np.zeros((2, size, size), np.uint8), []).logits.shape == (2,)
assert "openvino" in sys.modules and not seen, seen
assert not [name for name in sys.modules if "telemetry" in name or name == "openvino.tools.ovc"]

# What is watched for would have been seen.
import socket
try:
    socket.create_connection(("localhost", 9))
except OSError:
    pass
assert seen
"""


def test_nothing_is_sent_and_nothing_left_in_the_home(bundle: OnnxBundle, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # OpenVINO's telemetry is silent in CI by itself.
    silent = ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS")
    environment = {name: value for name, value in os.environ.items() if name not in silent}
    done = subprocess.run(
        [sys.executable, "-c", _SILENT, str(bundle.path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**environment, "HOME": str(home), "USERPROFILE": str(home), "XDG_CONFIG_HOME": ""},
    )
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path != home] == []
