"""Processes of a training without torchrun: started, listened to, and ended together.

Each is a fresh interpreter that runs the same function in the environment that torchrun would set.
The one that starts them trains nothing itself; it hosts the store where they meet, and hears from
each through a pipe. When one of them fails, the others are ended; when it is killed itself, they
end by themselves.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import IO, Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from pneumoscope.cpus import available_cpus
from pneumoscope.errors import PneumoscopeError, RunError
from pneumoscope.training.devices import Processes
from pneumoscope.training.listener import RunListener
from pneumoscope.training.trainer import how_to_go_on

# What a new interpreter does. `-P` keeps a file of the working folder from passing for a library,
# and the path is this interpreter's own.
_FIRST_WORDS = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from pneumoscope.training.launch import take_part; take_part()"
)
# How long the others may take to end when one has failed.
_GRACE = 10.0


@dataclass(slots=True)
class _Child:
    """One process, and what became of it: its exit code, the error it told of."""

    rank: int
    process: subprocess.Popen[bytes]
    code: int | None = None
    error: Exception | None = None


# Rank, kind, content; the kinds are the listener's own, `warning`, `failed` and `ended`.
_Message = tuple[int, str, tuple[Any, ...]]


def launch(
    task: Callable[..., object], processes: Processes, listener: RunListener, folder: Path
) -> None:
    """Run `task(listener=...)` in every process on this machine, and wait for them.

    Args:
        task: what can be pickled; the same everywhere.
        processes: those of the run; of them, those of this machine are started.
        listener: hears from the first process.
        folder: the run's, for messages.

    Raises:
        PneumoscopeError: what the first process to fail raised.
        RunError: a process was killed, or the training was interrupted.
    """
    inbox: queue.Queue[_Message] = queue.Queue()
    told = [name for name in _names(listener) if getattr(listener, name) is not None]
    children: list[_Child] = []
    with _meeting_place(processes) as environment:
        try:
            for local_rank in range(processes.per_node):
                place = Processes(processes.per_node, processes.nodes, processes.node, local_rank)
                child = _Child(place.rank, _process(place, environment))
                children.append(child)
                threading.Thread(target=_hear, args=(child, inbox), daemon=True).start()
                _say(child, sys.path, (task, told))
            _attend(children, inbox, listener)
        except KeyboardInterrupt as stop:
            raise RunError(
                "training was interrupted", path=folder, remedy=how_to_go_on(folder)
            ) from stop
        finally:
            _end(children)
    _tell_of_failure(children, processes, folder)


def take_part() -> None:
    """The life of a process that `launch` started."""
    # Whatever prints, prints to the terminal; the pipe is for messages.
    pipe = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task, told = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_one_who_started, daemon=True).start()
    lock = threading.Lock()

    def tell(kind: str, *content: Any) -> None:
        with lock:
            pickle.dump((kind, content), pipe)
            pipe.flush()

    def tell_of_warning(message: Warning | str, *_: object, **__: object) -> None:
        tell("warning", str(message))

    if os.environ["RANK"] == "0":
        warnings.showwarning = tell_of_warning
    else:
        warnings.simplefilter("ignore")

    try:
        task(listener=RunListener(**{name: partial(tell, name) for name in told}))
    except PneumoscopeError as error:
        tell("failed", error)
    except Exception:
        rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
        text = f"process {rank} of {size} failed:\n{traceback.format_exc()}"
        tell("failed", RuntimeError(text))
    else:
        return
    # Libraries that wait for the other processes when the interpreter ends would wait in vain.
    os._exit(1)


def _end_with_the_one_who_started() -> None:
    # Its end of the pipe closes when it dies, however it dies.
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


@contextmanager
def _meeting_place(processes: Processes) -> Iterator[dict[str, str]]:
    """A store where the processes of one machine find each other, as an environment.

    Those of several machines meet where MASTER_ADDR and MASTER_PORT say.
    """
    if processes.nodes > 1:
        yield {}
        return
    # A port that is free; the store holds it until all have ended.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    yield {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }


def _process(place: Processes, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    threads = max(available_cpus() // place.per_node, 1)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        # What torch's own code says of connections that break is said once, in plain words.
        "TORCH_CPP_LOG_LEVEL": "FATAL",
        **os.environ,
        **environment,
        "RANK": str(place.rank),
        "WORLD_SIZE": str(place.size),
        "LOCAL_RANK": str(place.local_rank),
        "LOCAL_WORLD_SIZE": str(place.per_node),
        "GROUP_RANK": str(place.node),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-c", _FIRST_WORDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        # Ctrl-C reaches the one who started them, who ends them.
        start_new_session=True,
    )


def _names(listener: RunListener) -> list[str]:
    return [field.name for field in fields(listener)]


def _say(child: _Child, *words: object) -> None:
    stream = _pipe(child.process.stdin)
    try:
        for word in words:
            pickle.dump(word, stream)
        stream.flush()
    except BrokenPipeError:
        # It has ended already; its exit code will tell.
        return


def _hear(child: _Child, inbox: queue.Queue[_Message]) -> None:
    """Pass on what a process tells, until it ends."""
    stream = _pipe(child.process.stdout)
    try:
        while True:
            kind, content = pickle.load(stream)
            inbox.put((child.rank, kind, content))
    except (EOFError, pickle.UnpicklingError):
        # The end, or a message that was cut off by it.
        inbox.put((child.rank, "ended", ()))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _attend(children: list[_Child], inbox: queue.Queue[_Message], listener: RunListener) -> None:
    """Listen until all processes have ended, or, after a failure, for a while."""
    by_rank = {child.rank: child for child in children}
    deadline = float("inf")
    while any(child.code is None for child in children) and time.monotonic() < deadline:
        try:
            rank, kind, content = inbox.get(timeout=0.5)
        except queue.Empty:
            continue
        child = by_rank[rank]
        if kind == "ended":
            child.code = child.process.wait()
            failed = child.code != 0
        elif kind == "failed":
            child.error = content[0]
            failed = True
        else:
            failed = False
            if kind == "warning":
                warnings.warn(content[0], stacklevel=2)
            else:
                getattr(listener, kind)(*content)
        if failed:
            deadline = min(deadline, time.monotonic() + _GRACE)


def _end(children: list[_Child]) -> None:
    for child in children:
        # Nothing is lost by it: files are written whole, and a run resumes from its last epoch.
        child.process.kill()
        child.process.wait()
        _pipe(child.process.stdin).close()


def _tell_of_failure(children: list[_Child], processes: Processes, folder: Path) -> None:
    """Raise what went wrong, the cause before its consequences."""
    for child in children:
        if child.code is not None and child.code < 0:
            name = signal.Signals(-child.code).name
            perhaps = "; perhaps memory ran out" if name == "SIGKILL" else ""
            raise RunError(
                f"process {child.rank} of {processes.size} was killed ({name}{perhaps})",
                path=folder,
                remedy=how_to_go_on(folder),
            )
    for child in children:
        if child.error is not None:
            raise child.error
    for child in children:
        # Those that had to be ended have no code of their own.
        if child.code:
            raise RunError(
                f"process {child.rank} of {processes.size} ended before the others",
                path=folder,
                remedy=how_to_go_on(folder),
            )
