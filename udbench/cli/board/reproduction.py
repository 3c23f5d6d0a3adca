"""`udbench board verify --weights` and `--reproduce`: evaluate or train the network of an entry again."""

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
    """A run whose weights are evaluated: its folder and its id."""

    folder: Path
    id: str


def run_folder(name: str) -> Run:
    """The run with this folder or id. Raises DataError if there is none or it is not finished."""
    found = finished.find(name)
    return Run(found.folder, found.result.id)


def make_ready(
    path: Path, data: Path | None, run: Run | None, moved: str | None, *, reproduce: bool
) -> Mapping[str, str]:
    """Prepare the images of an entry whose network is evaluated or trained again, and return the paths of its folders,
    as recorded or as given by `moved`.

    Raises SettingError for an entry that cannot be trained again, DataError for images that are missing or differ.
    """
    from udbench.results import read_result
    from udbench.runs.folder import read_folders

    try:
        result = read_result(path)
    except DataError:
        return {}  # reported by the check of the entry
    before, origin = result.config.transfer, result.config.origin
    if before is not None and reproduce:
        raise SettingError(
            f"{path}: it was transferred from run {before.run}, whose weights the training needs; use udbench transfer "
            "on that run and compare"
        )
    if before is not None and before.train == "none":
        raise SettingError(f"{path}: this method has no classifier weights to evaluate")
    if origin is not None and reproduce:
        raise SettingError(
            f"{path}: it started from run {origin.run}, whose weights the training needs; use udbench run --from on "
            "that run and compare"
        )
    recorded, now = (
        {} if run is None else read_folders(run.folder),
        stores.moved_folders(context.session(), result, moved),
    )
    stores.of_run(context.session(), result, data, recorded, now, progress=Bars())
    return {**recorded, **now}


def with_weights(finding: Finding, run: Run, data: Path | None, places: Mapping[str, str], device: str) -> Finding:
    """Add the evaluation of a run's weights to a finding. Raises DataError for weights other than the entry's and for
    damaged images, neither of which is a fault of the entry."""
    from udbench.boards.marks import Weights
    from udbench.boards.reproduction import told_otherwise, weights_problems
    from udbench.data.store import hash_file
    from udbench.runs.inference import predict_again

    result, answers = finding.result, finding.answers
    if result is None or answers is None or finding.problems:
        output.note("the weights were not evaluated, because other checks failed")
        return finding
    path = run.folder / "weights.safetensors"
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if (found := hash_file(path)) != result.weights_sha256:
        raise DataError(f"{path} are not the weights of entry {result.id}: their sha256 differs from the recorded one")
    job, images = _prepared(result, data, places, device)
    again = predict_again(job, images, run.folder, stores.cores(None))
    otherwise = told_otherwise(answers, {name: each.predicted for name, each in again.predictions.items()})
    problems = weights_problems(result, otherwise, again.shared, again.private)
    total = sum(score.n for score in result.scores)
    note = f"weights evaluated again: {sum(otherwise.values())} of {total} predictions differ from the recorded ones"
    made = Weights(sha256=found, device=job.config.device, otherwise=otherwise)
    mark = None if finding.mark is None else finding.mark.model_copy(update={"weights": made})
    return replace(_with(replace(finding, mark=mark), problems), notes=(*finding.notes, note))


def with_training(
    finding: Finding, data: Path | None, places: Mapping[str, str], device: str, out: Path | None
) -> Finding:
    """Add the result of a new training with the entry's configuration to a finding."""
    from udbench.boards.reproduction import retrained, retrained_text
    from udbench.cli.progress import Callbacks, LogFile, Screen
    from udbench.runs.execute import execute
    from udbench.runs.folder import new_folder

    result = finding.result
    if result is None or finding.problems:
        output.note("it was not trained again, because other checks failed")
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
    """Job and stores of an entry's network on this machine, with the images recorded for it."""
    from udbench.data.store import verify_store
    from udbench.resolve.job import job_of_config
    from udbench.train.precision import choose_device

    config = result.config.model_copy(update={"device": str(choose_device(device))})
    images = stores.of_run(context.session(), result, data, places, progress=Bars())
    for store in images:
        if damage := verify_store(store):
            raise DataError(f"{damage[0]}; delete the folder {store.path} to have it prepared again")
    folders = {name: Path(places[name]) for name in result.domains if name in places}
    return replace(job_of_config(context.session(), config), folders=folders), images


def _means_of_seeds(path: Path, result: RunResult) -> list[float]:
    """Mean errors of the entry's method on its board, one per seed."""
    from udbench.boards.entry import read_board
    from udbench.boards.ranking import rank

    for table in rank(read_board(path.parent)[0]):
        for row in table.rows:
            if result.config.identity(seed=False) == row.result.config.identity(seed=False):
                return [entry.result.mean_error for entry in row.entries]
    return [result.mean_error]
