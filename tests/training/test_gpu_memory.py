"""A batch that is too large for the GPU is known before anything is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pneumoscope.cohort.manifest import Manifest
from pneumoscope.errors import RunError
from pneumoscope.models.classifier import Architecture, Classifier
from pneumoscope.models.registry import HALF
from pneumoscope.training import gpu_memory
from pneumoscope.training.devices import Processes
from pneumoscope.training.gpu_memory import check_memory, largest_batch
from pneumoscope.training.module import ClassifierModule
from pneumoscope.training.runner import start_run
from pneumoscope.training.settings import make_settings

CPU = torch.device("cpu")


def classifier(head: str) -> Classifier:
    torch.manual_seed(0)
    return Classifier(Architecture("resnet18", head, 64, HALF, HALF))


def limit(monkeypatch: pytest.MonkeyPatch, rows: int) -> list[int]:
    """Let memory hold so many radiographs; which batches were tried."""
    tried: list[int] = []
    step = gpu_memory._step

    def limited(own: Any, settings: Any, device: torch.device, count: int) -> None:
        tried.append(count)
        if count > rows:
            raise torch.OutOfMemoryError("out of memory")
        step(own, settings, CPU, count)

    monkeypatch.setattr(gpu_memory, "_step", limited)
    return tried


@pytest.mark.parametrize(
    ("head", "chosen"),
    [
        ("regional", {}),
        ("regional", {"teacher": "default"}),
        ("mlp", {"preset": "paper"}),
        ("linear", {"findings": ["a", "b"], "lung_guidance": 0}),
    ],
)
def test_the_trial_is_a_whole_step_and_leaves_no_trace(
    head: str, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = classifier(head)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    drawn, shapes = torch.random.get_rng_state(), []
    loss = ClassifierModule.batch_loss

    def seen(self: ClassifierModule, batch: Any, seed: int) -> torch.Tensor:
        shapes.append((batch.targets.shape, None if batch.guides is None else batch.guides.shape))
        return loss(self, batch, seed)

    monkeypatch.setattr(ClassifierModule, "batch_loss", seen)
    settings = make_settings(**{"head": head, "size": 64, "batch_size": 4, **chosen})
    assert largest_batch(own, settings, CPU) == 4
    channels = 2 if settings.taught else 1
    guides = (4, channels, 64, 64) if settings.guided else None
    assert shapes == [((4, 2) if settings.findings else (4,), guides)]
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


def test_smaller_batches_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    own, settings = classifier("linear"), make_settings(head="linear", size=64, batch_size=36)
    tried = limit(monkeypatch, rows=10)
    assert largest_batch(own, settings, CPU) == 9 and tried == [36, 18, 9]
    tried.clear()
    # Batches are shared equally by the processes.
    assert largest_batch(own, settings, CPU, processes=2) == 8 and tried == [36, 18, 8]
    limit(monkeypatch, rows=0)
    assert largest_batch(own, settings, CPU) == 0


def test_a_training_stops_before_it_decodes(
    manifest_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(
        backbone="resnet18", weights="none", size=64, batch_size=32, accumulate=2
    )
    start_of_all = Manifest.read(manifest_file)
    check_memory(classifier("linear"), settings, Processes())  # Without a GPU nothing happens.
    tried = limit(monkeypatch, rows=12)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3 << 29, 2 << 30))
    problem = r"batch of 32 radiographs of 64 px.*GPU 0 \(1\.5 of 2\.0 GiB are free\).*"
    with pytest.raises(RunError, match=problem + "--set batch_size=8 --set accumulate=8"):
        start_run(start_of_all, settings, tmp_path / "run")
    assert tried == [32, 16, 8] and not (tmp_path / "run").exists()
    limit(monkeypatch, rows=0)
    with pytest.raises(RunError, match="Choose a smaller --set size"):
        start_run(start_of_all, settings, tmp_path / "run")
