"""Carrying out a comparison: what is there is kept, what is missing is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from pneumoscope.assessment.annotations import Annotations
from pneumoscope.assessment.measuring import assess
from pneumoscope.assessment.own_model import OwnModel
from pneumoscope.assessment.runs import document_run
from pneumoscope.bundles import read_bundle
from pneumoscope.cohort.manifest import Manifest
from pneumoscope.comparison import results
from pneumoscope.comparison.cost import measure_cost, planned_size, read_cost
from pneumoscope.comparison.plan import PlannedRun, Standing, clear_remains, standing
from pneumoscope.comparison.run_progress import Board, RunProgress
from pneumoscope.errors import (
    BundleError,
    EvaluationError,
    RunError,
    SettingsError,
    WeightsError,
)
from pneumoscope.inference import load_engine
from pneumoscope.training.cache import Progress
from pneumoscope.training.history import Row, read_history
from pneumoscope.training.runner import (
    HISTORY,
    RunListener,
    resume_run,
    start_run,
)

# Of one run; anything else, such as a full disk, would end the next run as well.
_ONE_RUN = (BundleError, EvaluationError, RunError, SettingsError, WeightsError)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be compared, and how runs are measured.

    Attributes:
        manifest: the cohort, with its split.
        data_digest: of the manifest.
        split: what is measured on.
        annotations: what localization is measured by; None if it is not.
        from_scratch: a backbone whose weights cannot be had starts from random ones.
        truth: what tells the annotations apart from others, `Annotations.identity`; empty without
            any.
    """

    manifest: Manifest
    data_digest: str
    split: str
    annotations: Annotations | None = None
    from_scratch: bool = False
    truth: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What came of it: the runs that are finished and measured, and why the others are not.

    Attributes:
        finished: in the order of the plan, with the settings they were trained with.
        failures: run's name to the problem and its remedy.
    """

    finished: list[PlannedRun] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def check_cohort(manifest: Manifest, split: str) -> None:
    """Refuse a cohort that no backbone can be trained or measured on.

    Raises:
        CohortError: a split is empty.
        RunError: a split holds one class only.
    """
    for name in dict.fromkeys(("train", "val", split)):
        if len(set(manifest.subset(name).targets().tolist())) < 2:
            raise RunError(
                f"split '{name}' holds one class only",
                path=manifest.root,
                remedy="give more radiographs, or other splits",
            )


def survey(runs: Sequence[PlannedRun], task: Task) -> list[Standing]:
    """Where every run stands, before anything is done.

    If one run of a backbone started from random weights, for want of others, all its runs do:
    seeds are to differ in nothing else.

    Raises:
        RunError: a folder holds another run. See `standing`.
    """
    found = [standing(run, task.data_digest, or_from_scratch=task.from_scratch) for run in runs]
    scratch = {one.run.backbone for one in found if _on_disk(one) and _is_scratch(one.run)}
    pretrained = {one.run.backbone for one in found if _on_disk(one) and not _is_scratch(one.run)}
    if task.from_scratch and scratch & pretrained:
        raise RunError(
            f"some runs of {sorted(scratch & pretrained)[0]} started from its own weights and "
            "some from random ones",
            path=runs[0].folder.parent,
            remedy="give --weights none or leave --from-scratch-if-missing, with another --out",
        )
    return [
        Standing(one.run.from_scratch(), one.stage, one.epochs)
        if one.stage == "new" and one.run.backbone in scratch
        else one
        for one in found
    ]


def make_board(
    standings: Sequence[Standing], changed: Callable[[RunProgress, bool], None] | None = None
) -> Board:
    """The board of all runs, with what is finished already."""
    sizes: dict[str, float] = {}
    for one in standings:
        settings = one.run.settings
        if settings.backbone not in sizes:
            try:
                size = planned_size(settings.backbone, settings.head, settings.size)
                sizes[settings.backbone] = size[1]
            except SettingsError:
                # It will be said when the run is begun; until then it has no size.
                sizes[settings.backbone] = 1.0
    rows = [
        RunProgress(
            one.run.name, one.run.backbone, one.run.settings.epochs, sizes[one.run.backbone]
        )
        for one in standings
    ]
    board = Board(rows, changed)
    for one in standings:
        if one.stage != "new":
            board.epochs(one.run.name, read_history(one.run.folder / HISTORY), news=False)
    return board


def carry_out(standings: Sequence[Standing], task: Task, board: Board) -> Outcome:
    """Train, document, measure and weigh what is missing, run by run.

    Raises:
        RunError: training was interrupted.
        OutputError, CohortError: nothing more can be written or read.
    """
    outcome = Outcome()
    unavailable: dict[str, str] = {}
    scratch: set[str] = set()
    # One run of a backbone is weighed: another seed has the same shapes.
    weighed = {one.run.backbone for one in standings if read_cost(one.run.folder) is not None}
    for one in standings:
        run = one.run.from_scratch() if one.run.backbone in scratch else one.run
        try:
            if one.stage != "trained" and run.backbone in unavailable:
                raise WeightsError(unavailable[run.backbone])
            if one.stage != "trained":
                run = _trained(Standing(run, one.stage), task, board)
            _measured(run, task, board, weigh=run.backbone not in weighed)
            weighed.add(run.backbone)
        except _ONE_RUN as error:
            if isinstance(error.__cause__, SystemExit):
                raise RunError(
                    "was interrupted",
                    path=run.folder,
                    remedy="run the same command again; it goes on after the last finished epoch",
                ) from error
            if isinstance(error, WeightsError):
                unavailable[run.backbone] = str(error)
            _fail(run, str(error), outcome, board)
        except torch.OutOfMemoryError:
            problem = "the GPU has too little memory. Give --set batch_size=16, or less"
            _fail(run, problem, outcome, board)
        else:
            outcome.finished.append(run)
            if _is_scratch(run):
                scratch.add(run.backbone)
            board.move(run.name, "done")
    return outcome


def _trained(one: Standing, task: Task, board: Board) -> PlannedRun:
    """Train a run, or go on with it; the run as it was trained."""
    run = one.run
    board.move(run.name, "training")
    listener = _listener(run.name, board)
    if one.stage == "unfinished":
        resume_run(run.folder, listener)
        return run
    if run.folder.exists():
        clear_remains(run.folder)
    try:
        start_run(task.manifest, run.settings, run.folder, listener)
    except WeightsError:
        if not task.from_scratch or run.settings.weights != "auto":
            raise
        run = run.from_scratch()
        start_run(task.manifest, run.settings, run.folder, listener)
    return run


def _measured(run: PlannedRun, task: Task, board: Board, *, weigh: bool) -> None:
    """Write what a trained run lacks: figures on val, figures on the split, perhaps its cost."""

    def said(what: str) -> Progress:
        return lambda done, total: board.part(run.name, what, done, total)

    _, info = read_bundle(run.folder)
    documented = results.is_documented(run.folder, info.model_id)
    measured = results.is_measured(run.folder, task.split, task.truth)
    if documented and measured and not weigh:
        return
    board.move(run.name, "measuring")
    if not documented:
        document_run(run.folder, read_history(run.folder / HISTORY), said("val"))
    if not measured:
        found = assess(
            OwnModel(load_engine(run.folder)),
            task.manifest,
            task.annotations,
            split=task.split,
            progress=said(task.split),
        )
        results.keep(run.folder, task.split, task.truth, found.metrics, found.predictions_csv())
    if weigh:
        board.part(run.name, "cost", 0, 1)
        measure_cost(run.folder, task.manifest, task.split)


def _listener(name: str, board: Board) -> RunListener:
    def epoch(row: Row) -> None:
        board.epochs(name, [row])

    return RunListener(
        decoding=lambda done, total: board.part(name, "decoding", done, total),
        lungs=lambda done, total: board.part(name, "finding lungs", done, total),
        epoch=epoch,
        step=lambda done, total: board.steps(name, done, total),
    )


def _fail(run: PlannedRun, problem: str, outcome: Outcome, board: Board) -> None:
    outcome.failures[run.name] = problem
    board.move(run.name, "failed", problem)


def _is_scratch(run: PlannedRun) -> bool:
    return run.settings.weights == "none"


def _on_disk(one: Standing) -> bool:
    return one.stage != "new"
