"""What a run is trained on: how many processes on how many machines, and which one this is.

Processes find each other by the environment that `torchrun` sets: RANK, WORLD_SIZE, LOCAL_RANK,
LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Without torchrun, `training.launch` sets the same.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from pneumoscope.errors import SettingsError

# What torchrun sets in every process it starts.
_PLACE = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True, slots=True)
class Devices:
    """What a run is trained on; no part of its settings, as its result does not depend on it.

    Attributes:
        devices: processes on each machine: one per GPU where there are GPUs, else processes on the
            CPU. `auto` is every GPU, or one process on the CPU. None is what torchrun started;
            without torchrun, one.
        nodes: machines; None is what torchrun started, else one. On each of several machines the
            same training is started, with MASTER_ADDR, MASTER_PORT and NODE_RANK in the
            environment, unless torchrun starts it.
    """

    devices: int | Literal["auto"] | None = None
    nodes: int | None = None

    @classmethod
    def parse(cls, devices: str | None, nodes: int | None) -> Devices:
        """From what a user writes: a number of devices, or `auto`.

        Raises:
            SettingsError: it is neither.
        """
        if devices is None or devices == "auto":
            return cls("auto" if devices else None, nodes)
        if not devices.isdecimal() or int(devices) < 1:
            raise SettingsError(
                f"'{devices}' is not a number of devices",
                remedy="give --devices 2, or --devices auto",
            )
        return cls(int(devices), nodes)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that tells of the run: the first of them all."""
        if _started():
            return _number("RANK", 0) == 0
        return (self.nodes or 1) == 1 or _number("NODE_RANK", 0) == 0


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run.

    Attributes:
        per_node, nodes: processes on each machine, and machines.
        node: this machine's number.
        local_rank: this process' number on its machine; None: it is none of them, they are yet to
            be started.
    """

    per_node: int = 1
    nodes: int = 1
    node: int = 0
    local_rank: int | None = 0

    @property
    def size(self) -> int:
        """Processes in all."""
        return self.per_node * self.nodes

    @property
    def rank(self) -> int:
        """This process' number among all."""
        return self.node * self.per_node + (self.local_rank or 0)


def find_processes(devices: Devices) -> Processes:
    """The processes that torchrun started, or that `devices` asks for.

    Raises:
        SettingsError: more devices than there are, another number than torchrun started, or the
            environment of several machines is incomplete.
    """
    found = _started_processes() if _started() else _wanted_processes(devices)
    gpus = torch.cuda.device_count()
    if found.size > 1 and 0 < gpus < found.per_node:
        raise SettingsError(
            f"{found.per_node} processes need as many GPUs, and there are {gpus}",
            remedy=f"give --devices {gpus}, or hide the GPUs with CUDA_VISIBLE_DEVICES=''",
        )
    for asked, there, option in (
        (devices.devices, found.per_node, "--nproc-per-node"),
        (devices.nodes, found.nodes, "--nnodes"),
    ):
        if _started() and isinstance(asked, int) and asked != there:
            raise SettingsError(
                f"torchrun was started with {option} {there}, the training with {asked}",
                remedy="let torchrun alone say it",
            )
    return found


def check_shares(batch_size: int, radiographs: int, processes: int) -> None:
    """Check that every batch of training can be shared equally.

    Raises:
        SettingsError: it cannot; with the batch size that can.
    """
    batch = min(batch_size, radiographs)
    if batch % processes:
        fits = max(batch - batch % processes, processes)
        raise SettingsError(
            f"batches of {batch} radiographs cannot be shared by {processes} processes",
            remedy=f"give --set batch_size={fits}, or another number of devices",
        )


def _started() -> bool:
    return all(name in os.environ for name in _PLACE)


def _started_processes() -> Processes:
    size = _number("WORLD_SIZE", 1)
    per_node = _number("LOCAL_WORLD_SIZE", size)
    found = Processes(
        per_node=per_node,
        nodes=max(size // max(per_node, 1), 1),
        node=_number("RANK", 0) // max(per_node, 1),
        local_rank=_number("LOCAL_RANK", 0),
    )
    if (found.size, found.rank) != (size, _number("RANK", 0)):
        raise SettingsError(
            f"RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE do not fit together: process "
            f"{os.environ['RANK']} of {size}, with {per_node} on each machine",
            remedy="start as many processes on every machine",
        )
    return found


def _wanted_processes(devices: Devices) -> Processes:
    wanted = devices.devices or 1
    per_node = max(torch.cuda.device_count(), 1) if wanted == "auto" else wanted
    nodes = devices.nodes or 1
    if per_node < 1 or nodes < 1:
        raise SettingsError("devices and nodes are counted from one", remedy="give --devices 1")
    if per_node * nodes == 1:
        return Processes()
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if nodes > 1 and (missing or "NODE_RANK" not in os.environ):
        raise SettingsError(
            "several machines need MASTER_ADDR, MASTER_PORT and NODE_RANK in the environment",
            remedy="set them (the first machine's name, a free port on it, this machine's number "
            "from 0), or start the training with torchrun",
        )
    node = _number("NODE_RANK", 0) if nodes > 1 else 0
    if node >= nodes:
        raise SettingsError(
            f"this machine's NODE_RANK is {node}, of {nodes} machines",
            remedy=f"number them 0 to {nodes - 1}",
        )
    return Processes(per_node, nodes, node, None)


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise SettingsError(f"{name} is '{value}', not a number", remedy="correct the environment")
    return int(value)
