"""Training shared by several processes: what each takes of a batch, and how they meet.

Every process holds each whole batch and draws every random number for the whole batch, but computes
its own rows of it only; gradients are averaged. So the processes together do what one does alone,
and a run may be continued with another number of them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn import functional as F  # noqa: N812

from pneumoscope.errors import RunError
from pneumoscope.training.devices import Processes

T = TypeVar("T")

# How long processes wait for one another to appear, and in an exchange. A process that died is
# noticed at once; this is for one that hangs, or a machine that cannot be reached.
_APPEAR, _EXCHANGE = timedelta(minutes=10), timedelta(minutes=30)
_POLL = 0.2
_joined = itertools.count()


def own_rows(count: int) -> slice:
    """The rows that this process computes of a batch of `count`; all of them if it is alone."""
    rank, size = _rank_and_size()
    return slice(count * rank // size, count * (rank + 1) // size)


def in_whole_batch(own: Tensor, count: int, fill: float) -> Tensor:
    """This process' rows (b, h, w) at their place among `count`; the others are `fill`."""
    rows = own_rows(count)
    if len(own) == count:
        return own
    return F.pad(own, (0, 0, 0, 0, rows.start, count - rows.stop), value=fill)


def gathered(part: T) -> list[T]:
    """What each process has, in their order; known to all of them afterwards."""
    size = process_count()
    if size == 1:
        return [part]
    parts: list[T | None] = [None] * size
    distributed.all_gather_object(parts, part)
    return parts  # type: ignore[return-value]


def process_count() -> int:
    """How many processes share each batch."""
    return _rank_and_size()[1]


class World:
    """The processes of a run once they know each other; of a lone process, too."""

    def __init__(self, processes: Processes, store: Store | None = None) -> None:
        self.processes = processes
        self.leads = processes.rank == 0
        self._store = store
        self._turns = itertools.count()

    @contextmanager
    def turn(self, *, per_node: bool = False) -> Iterator[None]:
        """The first process' turn comes first; the others' when it is done, however long it takes.

        Args:
            per_node: the first of each machine, which may have a disk of its own.
        """
        name = f"turn {next(self._turns)}"
        first = self.leads
        if per_node:
            name += f" of {self.processes.node}"
            first = self.processes.local_rank == 0
        if self._store is None:
            yield
            return
        while not first and not self._store.check([name]):
            if self._store.check(["failed"]):
                raise distributed.DistError("another process failed")
            time.sleep(_POLL)
        yield
        if first:
            self._store.set(name, "done")

    def fails_first(self) -> bool:
        """Whether this process, which failed, is the first to fail: the one that says why."""
        if self._store is None:
            return True
        try:
            return int(self._store.add("failed", 1)) == 1
        except distributed.DistError:
            return True


@contextmanager
def joined(processes: Processes) -> Iterator[World]:
    """Meet the other processes for as long as the context lasts.

    If one of them fails, the others end; only the first to fail raises its error, the others exit
    quietly.

    Raises:
        RunError: the others did not come.
    """
    if processes.size == 1:
        yield World(processes)
        return
    world = World(processes, _meet(processes))
    try:
        yield world
        distributed.barrier()
    except BaseException as error:
        first = world.fails_first()
        if distributed.get_backend() == "gloo":
            distributed.destroy_process_group()
        if first:
            raise
        raise SystemExit(2) from error
    distributed.destroy_process_group()


def lost_another(error: BaseException) -> bool:
    """Whether an error says that another process ended, or did not answer."""
    text = str(error)
    told = any(word in text for word in ("gloo", "Connection closed by peer", "NCCL"))
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and told)


def _meet(processes: Processes) -> Store:
    gpu = None
    if torch.cuda.is_available():
        gpu = torch.device("cuda", processes.local_rank or 0)
        torch.cuda.set_device(gpu)
    try:
        store, rank, size = next(iter(rendezvous("env://", timeout=_APPEAR)))
        # A script may train several times, and torchrun's store outlives each.
        store = PrefixStore(f"training {next(_joined)}", store)
        distributed.init_process_group(
            "nccl" if gpu else "gloo",
            device_id=gpu,
            store=PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=_EXCHANGE,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise RunError(
            f"the {processes.size} processes of the training did not meet ({reason})",
            remedy="start them all, with the same MASTER_ADDR and MASTER_PORT, which must be free",
        ) from error
    return store


def _rank_and_size() -> tuple[int, int]:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
