"""`udbench board verify --weights` and `--reproduce`: an entry's network evaluated, or trained, once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli import context, output
from udbench.cli.preparing import Bars
from udbench.errors import DataError, SettingError
from udbench.files import RUNS
from udbench.resolve import finished, stores

if TYPE_CHECKING:
    from udbench.boards.verify import Finding
    from udbench.data.store import Store
    from udbench.results import RunResult
    from udbench.runs.job import Job


@dataclass(frozen=True, slots=True)
class Run:
    """A run whose weights are to be evaluated: its folder and its record's id."""

    folder: Path
    id: str


def run_folder(name: str) -> Run:
    """The run that a word means. Raises DataError: no such run, or not finished."""
    found = finished.find(name)
    return Run(found.folder, found.result.id)


def make_ready(
    path: Path, data: Path | None, run: Run | None, moved: str | None, *, reproduce: bool
) -> Mapping[str, str]:
    """Prepare the images of an entry whose network is to be evaluated or trained, so that it is checked by them, too.
    Where its folders are: as the run's record says, or as `moved` does.

    Raises SettingError for an entry that cannot be trained again, DataError for images that are missing or differ.
    """
    from udbench.results import read_result
    from udbench.runs.folder import read_folders

    try:
        result = read_result(path)
    except DataError:
        return {}  # which the check of the entry says
    before, origin = result.config.transfer, result.config.origin
    if before is not None and reproduce:
        raise SettingError(
            f"{path}: it was taken from run {before.run}, whose weights a training needs; use udbench transfer on that "
            "run, and compare"
        )
    if before is not None and before.train == "none":
        raise SettingError(f"{path}: this method has no classifier whose weights could be evaluated")
    if origin is not None and reproduce:
        raise SettingError(
            f"{path}: it went on from run {origin.run}, whose weights a training needs; use udbench run --from on that "
            "run, and compare"
        )
    recorded, now = (
        {} if run is None else read_folders(run.folder),
        stores.moved_folders(context.session(), result, moved),
    )
    stores.of_run(context.session(), result, data, recorded, now, progress=Bars())
    return {**recorded, **now}


def with_weights(finding: Finding, run: Run, data: Path | None, places: Mapping[str, str], device: str) -> Finding:
    """A finding, and what the weights of a run say of the entry's images. Raises DataError where they cannot be asked:
    other weights than the entry's, or images that are damaged, which says nothing of the entry."""
    from udbench.boards.marks import Weights
    from udbench.boards.reproduction import told_otherwise, weights_problems
    from udbench.data.store import hash_file
    from udbench.runs.inference import predict_again

    result, answers = finding.result, finding.answers
    if result is None or answers is None or finding.problems:
        output.note("the weights were not evaluated: what else was checked comes first")
        return finding
    path = run.folder / "weights.safetensors"
    if not path.is_file():
        raise DataError(f"{path}: no such weights")
    if (found := hash_file(path)) != result.weights_sha256:
        raise DataError(f"{path} are not the weights of entry {result.id}: its record names another sha256")
    job, images = _prepared(result, data, places, device)
    again = predict_again(job, images, run.folder, stores.cores(None))
    otherwise = told_otherwise(answers, {name: each.predicted for name, each in again.predictions.items()})
    problems = weights_problems(result, otherwise, again.shared, again.private)
    total = sum(score.n for score in result.scores)
    note = f"weights evaluated again: {sum(otherwise.values())} of {total} images are told otherwise"
    made = Weights(sha256=found, device=job.config.device, otherwise=otherwise)
    mark = None if finding.mark is None else finding.mark.model_copy(update={"weights": made})
    return replace(_with(replace(finding, mark=mark), problems), notes=(*finding.notes, note))


def with_training(
    finding: Finding, data: Path | None, places: Mapping[str, str], device: str, out: Path | None
) -> Finding:
    """A finding, and what a new training from the entry's configuration came to."""
    from udbench.boards.reproduction import retrained, retrained_text
    from udbench.cli.progress import Callbacks, LogFile, Screen
    from udbench.runs.execute import execute
    from udbench.runs.folder import new_folder

    result = finding.result
    if result is None or finding.problems:
        output.note("it was not trained again: what else was checked comes first")
        return finding
    job, images = _prepared(result, data, places, device)
    folder = out or new_folder(RUNS)
    screen = Screen(output.notes())
    try:
        callback = Callbacks([screen, LogFile(folder)])
        new = execute(job, images, folder, callback, resume=True, workers=stores.cores(None))
    finally:
        screen.close()
    made = retrained(result, new, _means_of_seeds(finding.path, result))
    mark = None if finding.mark is None else finding.mark.model_copy(update={"reproduction": made})
    return replace(finding, mark=mark, notes=(*finding.notes, f"{retrained_text(made)} ({folder})"))


def _with(finding: Finding, problems: Sequence[str]) -> Finding:
    if not problems:
        return finding
    return replace(finding, problems=(*finding.problems, *problems), mark=None)


def _prepared(
    result: RunResult, data: Path | None, places: Mapping[str, str], device: str
) -> tuple[Job, Sequence[Store]]:
    """What it takes to run an entry's network here, on the very images that it names."""
    from udbench.data.store import verify_store
    from udbench.resolve.job import job_of_config
    from udbench.train.precision import choose_device

    config = result.config.model_copy(update={"device": str(choose_device(device))})
    images = stores.of_run(context.session(), result, data, places, progress=Bars())
    for store in images:
        if damage := verify_store(store):
            raise DataError(f"{damage[0]}; delete the folder {store.path}, it will be made anew")
    folders = {name: Path(places[name]) for name in result.domains if name in places}
    return replace(job_of_config(context.session(), config), folders=folders), images


def _means_of_seeds(path: Path, result: RunResult) -> list[float]:
    """The mean errors of the entry's method on its board, a seed each."""
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank

    for table in rank(read_board(path.parent)[0]):
        for row in table.rows:
            if result.config.identity(seed=False) == row.result.config.identity(seed=False):
                return [entry.result.mean_error for entry in row.entries]
    return [result.mean_error]
