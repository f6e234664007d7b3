"""Several processes: they find each other, do together what one does, and end together."""

from __future__ import annotations

import copy
import csv
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import RunError, SettingsError
from pneumoscope.training import data_parallel, launch
from pneumoscope.training.devices import Devices, Processes, check_shares, find_processes
from pneumoscope.training.runner import RunListener, resume_run, start_run
from pneumoscope.training.settings import TrainingSettings, make_settings
from pneumoscope.training.whole_batch import see_whole_batches

TWO = Processes(2, 1, 0, None)
PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without torchrun's words."""
    for name in PLACE:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def torchrun(environment: pytest.MonkeyPatch, **words: int) -> None:
    for name, value in words.items():
        environment.setenv(name, str(value))


def test_without_torchrun_there_is_one_process(environment: pytest.MonkeyPatch) -> None:
    assert find_processes(Devices()) == find_processes(Devices("auto")) == Processes()
    assert Processes().size == 1 and Devices().leads
    asked = find_processes(Devices(3))
    assert (asked.size, asked.local_rank) == (3, None)


def test_torchrun_says_who_one_is(environment: pytest.MonkeyPatch) -> None:
    torchrun(environment, RANK=5, WORLD_SIZE=6, LOCAL_RANK=1, LOCAL_WORLD_SIZE=2)
    found = find_processes(Devices())
    assert found == Processes(per_node=2, nodes=3, node=2, local_rank=1)
    assert (found.size, found.rank) == (6, 5) and not Devices().leads
    assert find_processes(Devices(2, 3)) == found
    with pytest.raises(SettingsError, match="nproc-per-node 2, the training with 4"):
        find_processes(Devices(4))
    with pytest.raises(SettingsError, match="nnodes 3, the training with 1"):
        find_processes(Devices(2, 1))
    environment.setenv("WORLD_SIZE", "7")
    with pytest.raises(SettingsError, match="do not fit together"):
        find_processes(Devices())
    environment.setenv("WORLD_SIZE", "many")
    with pytest.raises(SettingsError, match="WORLD_SIZE is 'many', not a number"):
        find_processes(Devices())


def test_several_machines_need_an_address(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="need MASTER_ADDR"):
        find_processes(Devices(2, 2))
    for name, value in (("MASTER_ADDR", "first"), ("MASTER_PORT", "1"), ("NODE_RANK", "1")):
        environment.setenv(name, value)
    assert find_processes(Devices(2, 2)) == Processes(2, 2, 1, None)
    assert not Devices(2, 2).leads and Devices(2).leads
    environment.setenv("NODE_RANK", "2")
    with pytest.raises(SettingsError, match="NODE_RANK is 2, of 2 machines"):
        find_processes(Devices(2, 2))


def test_gpus_are_not_shared(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_processes(Devices("auto")).size == 2
    with pytest.raises(SettingsError, match="3 processes need as many GPUs, and there are 2"):
        find_processes(Devices(3))


def test_batches_must_be_shared_equally() -> None:
    check_shares(32, 1000, 4)
    with pytest.raises(SettingsError, match="batch_size=30"):
        check_shares(32, 1000, 3)
    with pytest.raises(SettingsError, match="batches of 31 radiographs"):
        check_shares(32, 31, 2)


@pytest.mark.parametrize("count", [0, 1, 7, 32])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_shares_are_disjoint_and_whole(
    count: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, seen, whole = list(range(count)), [], torch.zeros(count, 2, 3)
    for rank in range(size):
        monkeypatch.setattr(data_parallel, "_rank_and_size", lambda place=(rank, size): place)
        rows = data_parallel.own_rows(count)
        seen += batch[rows]
        own = torch.ones(len(batch[rows]), 2, 3)
        placed = data_parallel.in_whole_batch(own, count, 0.0)
        assert placed.shape == whole.shape and (placed[rows] == 1).all()
        whole += placed
    assert seen == batch and (whole == 1).all()


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d", "BatchNormAct2d"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_alone_whole_batch_layers_are_torchs_own(name: str, precision: torch.dtype) -> None:
    import timm.layers

    kind = getattr(nn, name, None) or getattr(timm.layers, name)
    torch.manual_seed(0)
    plain = nn.Sequential(kind(6), nn.Dropout(0.5) if name == "BatchNorm1d" else nn.Dropout2d(0.5))
    with torch.no_grad():
        plain[0].weight.uniform_()  # type: ignore[operator]
    whole = copy.deepcopy(plain)
    see_whole_batches(whole)
    assert type(whole[0]) is not kind and whole.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn((8, 6) if name == "BatchNorm1d" else (8, 6, 5, 4)) * 3 + 1
    steer = torch.randn_like(images)
    results = []
    for layers in (plain, whole):
        given = images.to(precision).requires_grad_()
        torch.manual_seed(1)
        out = layers.train()(given)
        (out.float() * steer).sum().backward()
        weight = layers[0].weight
        assert out.dtype == precision and isinstance(weight, torch.Tensor)
        results.append(
            {
                "out": out,
                "gradient": given.grad,
                "by_weight": weight.grad,
                "eval": layers.eval()(images),
                **dict(layers[0].named_buffers()),
            }
        )
    loose = {"atol": 5e-2, "rtol": 2e-2} if precision is torch.bfloat16 else {}
    for key, value in results[0].items():
        tolerance: dict[str, Any] = loose or {"atol": 1e-5, "rtol": 1e-4}
        torch.testing.assert_close(results[1][key], value, **tolerance)


# One step in float64, alone and as one of two; prints the largest relative difference.
STEP = """
import sys, torch
from torch import distributed
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from pneumoscope.training.data import Batch
from pneumoscope.training.devices import Devices, find_processes
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.settings import make_settings
from pneumoscope.training.whole_batch import see_whole_batches
from pneumoscope.training.data_parallel import joined, process_count

torch.set_num_threads(1)
torch.manual_seed(5)
pixels = torch.randint(0, 256, (6, 1, 64, 64), dtype=torch.uint8)
lungs = torch.randint(0, 256, (6, 1, 20, 20), dtype=torch.uint8)

both = torch.tensor([[0, 1], [1, -1], [0, 0], [1, 1], [0, -1], [1, 0]])

def step(head, preset, findings, whole):
    torch.manual_seed(0)
    classifier = Classifier(Architecture("mobilenet_v3", head, 64, HALF, HALF)).double()
    normalise = classifier.normalise
    classifier.normalise = lambda images: normalise(images.double())
    # The preset of the paper draws by one label.
    chosen = {"findings": tuple("AB"[:findings]), "balanced_sampler": False}
    settings = make_settings(preset, head=head, weights="none", **chosen)
    alpha = torch.tensor([[1.4, 0.6], [0.5, 1.5]])[:findings]
    if whole:
        see_whole_batches(classifier)
    module = ClassifierModule(classifier, settings, alpha)
    module.log = lambda *_, **__: None
    if whole:
        for each in module.classifiers[1:]:
            see_whole_batches(each.head)
    known = lungs if preset == "default" else None
    targets = both if findings == 2 else torch.arange(6) % 2
    loss = module.train().training_step(Batch(pixels, targets, known), 0)
    loss.backward()
    found = {"loss": loss.detach().double(), **{n: p.grad for n, p in module.named_parameters()}}
    if whole:
        for value in found.values():
            distributed.all_reduce(value)
            value /= process_count()
    buffers = {n: b.double() for n, b in module.named_buffers() if b is not None}
    return {**found, **buffers}

cases = [
    (*kind, findings) for kind in (("regional", "default"), ("mlp", "paper")) for findings in (1, 2)
]
alone = [step(*case, False) for case in cases]
with joined(find_processes(Devices())):
    for case, expected in zip(cases, alone):
        worst = max(
            float((value - expected[name]).abs().max() / (expected[name].abs().max() + 1e-6))
            for name, value in step(*case, True).items()
        )
        print(worst)
"""


@pytest.mark.slow
def test_a_step_of_two_is_the_step_of_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STEP],
            env={**os.environ, **place, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    for process in processes:
        differences = [float(line) for line in process.communicate(timeout=300)[0].split()]
        assert process.returncode == 0
        assert len(differences) == 4 and max(differences) < 1e-4


def settings() -> TrainingSettings:
    return make_settings(
        backbone="resnet18",
        weights="none",
        size=64,
        epochs=2,
        batch_size=8,
        precision="float32",
        class_weights=True,
    )


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open() as stream:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]
    for row in rows:
        del row["seconds"]
    return rows


def same_training(one: Path, two: Path) -> None:
    for row, other in zip(history(one), history(two), strict=True):
        assert row == pytest.approx(other, abs=2e-4)
    (_, first), (_, second) = read_bundle(one), read_bundle(two)
    assert first.training.settings == second.training.settings
    assert first.threshold == pytest.approx(second.threshold, abs=2e-3)
    ours, theirs = (load_file(run / "bundle" / "model.safetensors") for run in (one, two))
    for name, tensor in ours.items():
        # Adam moves weights whose gradient is all rounding by up to a step each way.
        np.testing.assert_allclose(tensor, theirs[name], atol=3e-3, rtol=1e-2, err_msg=name)


def dying_run(manifest: Manifest, out: Path, listener: RunListener) -> None:
    """Train; the second process kills itself in the second epoch, where step 4 is."""
    from pneumoscope.training.module import ClassifierModule

    step = ClassifierModule.training_step

    def training_step(self: ClassifierModule, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == 4 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, batch_idx)

    ClassifierModule.training_step = training_step  # type: ignore[method-assign]
    start_run(manifest, settings(), out, listener)


@pytest.mark.slow
def test_two_processes_train_as_one(manifest_file: Path, tmp_path: Path) -> None:
    manifest, (one, two, killed) = (
        Manifest.read(manifest_file),
        (tmp_path / name for name in ("one", "two", "killed")),
    )
    start_run(manifest, settings(), one)
    steps: list[tuple[int, int]] = []
    epochs: list[dict[str, float]] = []
    listener = RunListener(epoch=epochs.append, step=lambda *done: steps.append(done))
    result = start_run(manifest, settings(), two, listener, Devices(2))
    same_training(one, two)
    # The first process alone tells, and writes.
    assert steps == [(step, len(steps)) for step in range(1, len(steps) + 1)]
    assert [row["epoch"] for row in epochs] == [0, 1] and len(result.history) == 2
    assert {p.name for p in (two / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert len(list((two / "tensorboard").glob("events*"))) == 1
    assert not [p for p in two.iterdir() if p.name.startswith(".")]

    # When one of them is killed, all end; another number of processes goes on.
    task = partial(dying_run, manifest, killed)
    with pytest.raises(RunError, match=r"process 1 of 2 was killed \(SIGKILL.*--resume"):
        launch.launch(task, TWO, RunListener(), killed)
    assert len(history(killed)) == 1 and not (killed / "bundle").exists()
    resume_run(killed)
    same_training(one, killed)


def failing(listener: RunListener) -> None:
    """What a process of a training may do instead of training."""
    if os.environ["RANK"] == "0":
        time.sleep(600)
        Path(os.environ["WOKE"]).touch()
    raise RunError("the cat sat on the keyboard", path="run", remedy="shoo")


@pytest.mark.slow
def test_one_that_fails_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_GRACE", 0.2)
    woke = tmp_path / "woke"
    monkeypatch.setenv("WOKE", str(woke))
    with pytest.raises(RunError, match=r"^run: the cat sat on the keyboard\. Shoo$"):
        launch.launch(failing, TWO, RunListener(), tmp_path)
    # The other one was ended, not waited for.
    assert not woke.exists()


@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        ([(None, None), (1, RunError("the cat"))], RunError, "^the cat$"),
        ([(1, RuntimeError("process 0 failed")), (2, None)], RuntimeError, "process 0 failed"),
        ([(None, None), (3, None)], RunError, "process 1 of 2 ended before the others"),
        # The others notice that one is gone, and say so.
        ([(1, RunError("another ended")), (-9, None)], RunError, "process 1 of 2 was killed"),
        ([(-11, None), (2, None)], RunError, r"process 0 of 2 was killed \(SIGSEGV\)"),
    ],
)
def test_the_cause_is_told_before_its_consequences(
    ends: list[tuple[int | None, Exception | None]], error: type[Exception], message: str
) -> None:
    process = cast("subprocess.Popen[bytes]", None)
    children = [launch._Child(rank, process, *end) for rank, end in enumerate(ends)]
    with pytest.raises(error, match=message):
        launch._tell_of_failure(children, TWO, Path("run"))


def test_processes_that_end_well_raise_nothing() -> None:
    process = cast("subprocess.Popen[bytes]", None)
    launch._tell_of_failure([launch._Child(rank, process, 0) for rank in (0, 1)], TWO, Path("run"))
