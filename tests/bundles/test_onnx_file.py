"""Bundles in one file: what was written comes back, and what could do harm is refused."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pneumoscope.bundles import BundleInfo, find_bundle, onnx_file, read_bundle, read_onnx
from pneumoscope.bundles.info import write_onnx
from pneumoscope.errors import BundleError

INFO = BundleInfo.model_validate(
    {
        "version": "0",
        "architecture": {
            "backbone": "resnet18",
            "head": "linear",
            "size": 64,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
        },
        "labels": ("NORMAL", "PNEUMONIA"),
        "threshold": 0.4,
        "temperature": 0.7,
        "calibration": {"val_ece_after": None},
        "training": {
            "data_digest": "0" * 64,
            "splits": {"train": {"NORMAL": 3}},
            "weights": {"name": "Gewichte für alle"},
            "settings": {"learning_rate": 1e-3},
            "selected_epoch": 0,
            "versions": {},
        },
        "files": {"model.safetensors": "ab12cd34" * 8},
    }
)


def model(*nodes: onnx.NodeProto, **fields: Any) -> onnx.ModelProto:
    """Adds a constant to its input, after `nodes`."""
    one = numpy_helper.from_array(np.ones(300, np.float32), "one")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [300]) for n in ("x", "y")]
    graph = helper.make_graph(
        [*nodes, helper.make_node("Add", ["x", "one"], ["y"])], "g", values[:1], values[1:], [one]
    )
    fields.setdefault("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, **fields)


def written(path: Path, proto: onnx.ModelProto | bytes) -> Path:
    content = proto if isinstance(proto, bytes) else proto.SerializeToString()
    write_onnx(path, content, INFO)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "any.onnx", model())


def test_what_was_written_comes_back(path: Path) -> None:
    bundle = read_onnx(path)
    assert bundle.info == INFO and bundle.info.model_id == "resnet18@ab12cd34"
    assert bundle.model == path.read_bytes()
    assert read_bundle(path) == (path, INFO)


def test_it_is_an_onnx_file_to_others(path: Path) -> None:
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert set(metadata) == {"pneumoscope", "pneumoscope.sha256"}
    assert BundleInfo.model_validate_json(metadata["pneumoscope"]) == INFO


def test_every_altered_byte_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for place in range(0, len(content), 17):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            read_onnx(path)
    for other in (content[:-1], content + b"\n", content[: len(content) // 2], content * 2):
        path.write_bytes(other)
        with pytest.raises(BundleError, match="pneumoscope export"):
            read_onnx(path)


def test_a_changed_threshold_is_named_as_alteration(path: Path) -> None:
    content = path.read_bytes()
    assert b'"threshold":0.4' in content
    path.write_bytes(content.replace(b'"threshold":0.4', b'"threshold":0.1'))
    with pytest.raises(BundleError, match="was altered since it was exported"):
        read_onnx(path)


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(model().SerializeToString())
    with pytest.raises(BundleError, match="is not a file of pneumoscope export"):
        read_onnx(path)
    for content in (b"", b"no model", b"\x93NUMPY", bytes(100), b"\xff" * 40):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=r"file\.onnx: is not a"):
            read_onnx(path)
    monkeypatch.setattr(onnx_file, "_MAX_BYTES", 10)
    with pytest.raises(BundleError, match="too large"):
        read_onnx(path)
    with pytest.raises(BundleError, match="cannot be read"):
        read_onnx(tmp_path / "absent.onnx")


def outside() -> onnx.ModelProto:
    proto = model()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return proto


def constant_outside() -> onnx.ModelProto:
    tensor = outside().graph.initializer[0]
    return model(helper.make_node("Constant", [], ["c"], value=tensor))


def branching() -> onnx.ModelProto:
    return model(helper.make_node("If", ["x"], ["c"], then_branch=model().graph))


def with_functions() -> onnx.ModelProto:
    node = helper.make_node("Identity", ["x"], ["y"])
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("", "f", ["x"], ["y"], [node], imports)
    return model(functions=[function])


def foreign_import() -> onnx.ModelProto:
    return model(opset_imports=[helper.make_opsetid("com.microsoft", 1)])


def foreign_node() -> onnx.ModelProto:
    return model(helper.make_node("Gelu", ["x"], ["c"], domain="com.microsoft"))


def sparse() -> onnx.ModelProto:
    proto = model()
    proto.graph.sparse_initializer.add(dims=[3])
    return proto


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (outside, "weights in another file"),
        (constant_outside, "weights in another file"),
        (branching, "control flow"),
        (with_functions, "functions"),
        (foreign_import, "operators that are not standard ONNX"),
        (foreign_node, "operators that are not standard ONNX"),
        (sparse, "sparse weights"),
    ],
)
def test_what_reaches_beyond_the_file_is_refused(make: Any, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", make())  # Sealed like a good one.
    with pytest.raises(BundleError, match=f"holds {reason}.*[Ww]rite it again"):
        read_onnx(path)


def test_a_field_that_others_would_read_as_another_one_is_refused(tmp_path: Path) -> None:
    graph = outside().graph.SerializeToString()
    # Field 7 (graph) plus 2^29: whoever keeps 32 bits of the tag reads 7.
    tag, number = bytearray(), ((1 << 29) + 7) << 3 | 2
    while number > 0x7F:
        tag.append(number & 0x7F | 0x80)
        number >>= 7
    tag.append(number)
    length = bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7])
    path = written(tmp_path / "model.onnx", bytes(tag) + length + graph)
    with pytest.raises(BundleError, match="is not an ONNX file"):
        read_onnx(path)


def test_a_description_twice_is_refused(path: Path) -> None:
    written(path, path.read_bytes())
    with pytest.raises(BundleError, match="twice"):
        read_onnx(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_way(content: bytes) -> None:
    # Sealed, so that every check is reached.
    sealed = onnx_file.seal(content, "{}")
    with suppress(onnx_file._Refused, IndexError, UnicodeDecodeError):
        assert onnx_file._text(sealed) == "{}"


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', "[" * 100_000, "NaN"])
def test_a_strange_description_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_file.seal(model().SerializeToString(), text))
    with pytest.raises(BundleError, match=r"model\.onnx: "):
        read_onnx(path)


def test_the_file_is_found(path: Path, tmp_path: Path) -> None:
    assert find_bundle(path) == path
    run = tmp_path / "run"
    (run / "bundle").mkdir(parents=True)
    named = run / "bundle" / "model.onnx"
    path.rename(named)
    assert find_bundle(run) == find_bundle(named.parent) == named
    assert read_bundle(run) == (named, INFO)
    other = tmp_path / "model.safetensors"
    other.touch()
    with pytest.raises(BundleError, match=r"is not a bundle.*\.onnx"):
        find_bundle(other)
    with pytest.raises(BundleError, match="no such bundle"):
        find_bundle(tmp_path / "absent.onnx")
