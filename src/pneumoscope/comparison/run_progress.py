"""How far all runs are, and how long they will still take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pneumoscope.training.history import Row

State = Literal["waiting", "training", "measuring", "done", "failed"]


@dataclass(slots=True)
class RunProgress:
    """One run, as the board knows it.

    Attributes:
        name, backbone: of the run.
        epochs: how many it will have at most.
        gmacs: of one radiograph, by which epochs of other backbones are compared.
        state: what it is doing.
        done: finished epochs.
        detail: what it is doing, more closely, or why it failed.
        val_roc_auc: the best so far; None before the first epoch.
        seconds: of each finished epoch.
        share: part of the epoch in progress that is done, in [0, 1].
        since: when measuring began, on the monotonic clock.
    """

    name: str
    backbone: str
    epochs: int
    gmacs: float
    state: State = "waiting"
    done: int = 0
    detail: str = ""
    val_roc_auc: float | None = None
    seconds: list[float] = field(default_factory=list)
    share: float = 0.0
    since: float = 0.0

    @property
    def words(self) -> str:
        """The state as people read it."""
        if self.state == "training":
            return f"epoch {min(self.done + 1, self.epochs)}/{self.epochs}"
        return self.state


class Board:
    """All runs in their order; tells a listener whenever something has changed.

    Args:
        runs: in the order in which they are carried out.
        changed: called with the run that changed, and with whether it is news worth a line of a
            log (a new state, a finished epoch) rather than a step.
    """

    def __init__(
        self,
        runs: Sequence[RunProgress],
        changed: Callable[[RunProgress, bool], None] | None = None,
    ) -> None:
        self.runs = list(runs)
        self._named: Mapping[str, RunProgress] = {run.name: run for run in runs}
        self._changed = changed
        self._measured: list[float] = []

    def move(self, name: str, state: State, detail: str = "") -> None:
        """A run is in another state."""
        run = self._named[name]
        if run.state == "measuring" and state == "done":
            self._measured.append(time.monotonic() - run.since)
        if state == "measuring":
            run.since = time.monotonic()
        run.state, run.detail, run.share = state, detail, 0.0
        self._tell(run, news=True)

    def epochs(self, name: str, rows: Sequence[Row], *, news: bool = True) -> None:
        """A run has finished these epochs (rows of its history), perhaps again after a kill."""
        run = self._named[name]
        for row in rows:
            # A new list: the one that shows the board reads in a thread of its own.
            run.seconds = [*run.seconds[: int(row["epoch"])], row["seconds"]]
            run.val_roc_auc = max(row["val_roc_auc"], run.val_roc_auc or 0.0)
        run.done, run.share, run.detail = len(run.seconds), 0.0, ""
        if news:
            self._tell(run, news=True)

    def steps(self, name: str, done: int, total: int) -> None:
        """A run has taken `done` of all its epochs' `total` steps."""
        run = self._named[name]
        run.share = min(max(done * run.epochs / max(total, 1) - run.done, 0.0), 1.0)
        run.detail = ""
        self._tell(run, news=False)

    def part(self, name: str, what: str, done: int, total: int) -> None:
        """Something else than training is under way, for instance decoding."""
        run = self._named[name]
        run.detail = f"{what} {done}/{total}"
        self._tell(run, news=False)

    def seconds_left(self) -> float | None:
        """Estimate for all runs together; None before the first epoch is finished.

        An epoch of a run takes what its finished ones took, else what they took for another seed
        of the backbone, else the median of seconds per GMAC over the backbones that have begun,
        times its GMACs: a rough guess that is corrected by its first epoch.
        """
        waiting = [run for run in self.runs if run.state in ("waiting", "training")]
        total = 0.0
        for run in waiting:
            epoch = self._epoch_seconds(run)
            if epoch is None:
                return None
            total += epoch * max(run.epochs - run.done - run.share, 0.0)
        if self._measured:
            unmeasured = [run for run in self.runs if run.state not in ("done", "failed")]
            total += statistics.mean(self._measured) * len(unmeasured)
        return total

    def news(self, run: RunProgress) -> str:
        """A line of a log about a run: what it has done or does, and how long all will take."""
        said = [run.words]
        if run.state == "training" and run.seconds:
            said = [f"epoch {run.done}/{run.epochs} done in {run.seconds[-1]:.0f} s"]
            said.append(f"val ROC-AUC {run.val_roc_auc or 0:.4f}")
        left = self.seconds_left()
        if left is not None and run.state in ("training", "done"):
            said.append(f"about {duration_text(left)} left")
        if run.state == "failed":
            said.append(run.detail)
        return f"{run.name}: {', '.join(said)}"

    def _epoch_seconds(self, run: RunProgress) -> float | None:
        if run.seconds:
            return statistics.median(run.seconds)
        known = [other for other in self.runs if other.seconds]
        same = [s for other in known if other.backbone == run.backbone for s in other.seconds]
        if same:
            return statistics.median(same)
        if not known:
            return None
        rates = [statistics.median(other.seconds) / other.gmacs for other in known]
        return statistics.median(rates) * run.gmacs

    def _tell(self, run: RunProgress, *, news: bool) -> None:
        if self._changed is not None:
            self._changed(run, news)


def duration_text(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`: as exact as an estimate deserves."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
