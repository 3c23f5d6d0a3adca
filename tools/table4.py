"""The rows of the paper's Table 4 on real domains, from four trainings.

`universal-bn`, `bn-plus` and `domain-moments` train the same weights and differ in the moments that they use at test.
So one network is trained that keeps them all, and is scored with each: shared running moments, each domain's own,
and a test batch's, with test images shuffled and class by class. `domain-bn`, `universal-in` and `domain-in` are
trained as `udbench run` trains them.

    python tools/table4.py DATA OUT [--domains NAMES] [--rounds N] [--device NAME] [--cuda-graphs] [--set KEY=VALUE]

Each row is a run's folder below OUT/rows, as `udbench run` would have left it, and an entry of the board in
OUT/boards; OUT/boards.tar is that board as one file and OUT/table4.md the table, both written anew after each row.
The same command goes on where it was stopped: rows that are there stay as they are. `seconds` of the four rows that
share a training are those of that one.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from udbench.boards.entry import add_entry
from udbench.cli import context, output
from udbench.cli.preparing import Bars
from udbench.cli.progress import Callbacks, LogFile, Screen
from udbench.data.store import Store
from udbench.errors import UdbenchError
from udbench.files import atomic_write
from udbench.plugin.contracts_model import Surgeon
from udbench.plugin.contracts_run import Study
from udbench.plugin.published import read_published
from udbench.resolve.job import make_job
from udbench.resolve.request import RunRequest, resolve
from udbench.resolve.stores import cores, prepared
from udbench.results import RunResult, read_result
from udbench.runs.execute import execute
from udbench.runs.folder import id_for, lock_folder, write_config
from udbench.runs.inference import predict_again, write_domains
from udbench.runs.initialize import check_weights
from udbench.runs.job import Job, build, inputs_of
from udbench.runs.record import predictions_file, record
from udbench.studies import render
from udbench.studies.grid import Plan, Planned, expand
from udbench.studies.runs import Run
from udbench.studies.table import study_table
from udbench.train.checkpoint import Progress, save_weights
from udbench.train.norm.norms import RunningStats, SliceNorm
from udbench.train.ownership import PerDomainModules

STUDY, RECIPE, SEED = "paper-table4", "paper-small", 0
DOMAINS = "mnist,cifar10,daimler,gtsrb,plankton,caltech101,sketches"
TRAINS = "universal-bn"
ONE_TRAINING = (TRAINS, "domain-moments", "bn-plus")


class AllStats(SliceNorm):
    """A batch norm with shared running moments that keeps those of each domain beside them.

    It trains as the shared one does. Each batch is normalised a second time, for what that leaves in the domain's
    moments alone, so that both are to the bit what a network with either alone would have.
    """

    def __init__(self, norm: SliceNorm) -> None:
        super().__init__(norm.norm, norm.route, norm.domains, "shared")
        self.own = PerDomainModules({name: RunningStats(self.norm) for name in self.domains})

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self._follow(x.detach())
        return super().forward(x)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        self.stats = "domain"
        try:
            super().forward(x)
        finally:
            self.stats = "shared"


def keep_all_stats(surgeon: Surgeon, settings: None) -> None:
    """As `universal-bn`, each domain's own running moments kept beside the shared ones."""
    for path in surgeon.batch_norms():
        surgeon.norm_stats(path, "shared")
        norm = surgeon.module(path)
        assert isinstance(norm, SliceNorm)
        surgeon.replace(path, AllStats(norm))


@dataclass(frozen=True)
class Row:
    """A row of the table, the job that makes it, and the folder where it is kept."""

    planned: Planned
    job: Job
    folder: Path

    @property
    def result(self) -> RunResult | None:
        path = self.folder / "result.json"
        return read_result(path) if path.exists() else None


def main(words: Sequence[str]) -> int:
    """Make the rows that are missing, keep each as soon as it is there, and print the table."""
    given = _parser().parse_args(words)
    try:
        return _run(given)
    except UdbenchError as error:
        output.note(f"error: {error}")
        return 2


def _run(given: argparse.Namespace) -> int:
    plan = expand(STUDY, context.registry().get(Study, STUDY).grid, domains=given.domains.split(","))
    rows, stores = _rows(given, plan)
    failed = 0
    _keep(given.out, plan, rows)
    for group in _by_training(rows):
        try:
            for row in _made(group, stores, given.out):
                _keep(given.out, plan, rows)
                output.note(f"{row.planned.label}: done, {row.folder}")
        except UdbenchError as error:
            failed = 1
            missing = [row.planned.label for row in group if row.result is None]
            output.note(f"failed: {', '.join(missing)}: {error}")
    output.say(_table(plan, rows).rstrip("\n"))
    return failed


def _rows(given: argparse.Namespace, plan: Plan) -> tuple[list[Row], list[Store]]:
    """The study's rows as jobs, and the domains' images, which are prepared if they are not yet."""
    common = [f"rounds={given.rounds}", *given.set]
    asked = [
        resolve(context.session(), RunRequest(
            choices=row.choices, domains=given.domains, recipe=RECIPE,
            settings=[*common, *(f"{key}={value}" for key, value in row.settings.items())],
            seed=SEED, device=given.device, cuda_graphs=given.cuda_graphs, data=given.data,
        ))
        for row in plan.rows
    ]  # fmt: skip
    stores = prepared(
        asked[0].domains, given.data, asked[0].settings, workers=None, skip_damaged=False, progress=Bars()
    )
    rows = [
        Row(
            row,
            make_job(context.session(), run),
            given.out / "rows" / "-".join([row.adapter, *map(str, row.settings.values())]),
        )
        for row, run in zip(plan.rows, asked, strict=True)
    ]
    return rows, stores


def _by_training(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows that one training makes, the shared one first."""
    shared = [row for row in rows if row.planned.adapter in ONE_TRAINING]
    return [shared, *([row] for row in rows if row not in shared)]


def _made(group: Sequence[Row], stores: Sequence[Store], out: Path) -> Iterator[Row]:
    """Make the rows of one training that are not there yet; each is given as soon as it is written."""
    missing = [row for row in group if row.result is None]
    if not missing:
        return
    shared = next((row for row in group if row.planned.adapter == TRAINS), None)
    if shared is None:
        _train(missing[0].job, stores, missing[0].folder)
        yield missing[0]
        return
    folder = out / "training-shared-scale"
    trained = _train(replace(shared.job, adapter=replace(shared.job.adapter, attach=keep_all_stats)), stores, folder)
    check_weights(folder, trained.weights_sha256)
    weights = load_file(folder / "weights.safetensors")
    for row in missing:
        _score(row, stores, weights, trained)
        yield row


def _train(job: Job, stores: Sequence[Store], folder: Path) -> RunResult:
    screen = Screen(output.notes())
    try:
        listener = Callbacks([screen, LogFile(folder)])
        return execute(job, stores, folder, listener, resume=True, workers=cores(None))
    finally:
        screen.close()


def _score(row: Row, stores: Sequence[Store], weights: dict[str, Tensor], trained: RunResult) -> None:
    """Write the folder of a row whose network is in these weights, as a run of its own would have left it."""
    job = row.job
    with lock_folder(row.folder, resume=True) as lock:
        folder = lock.path
        id = id_for(folder, job.config)
        write_config(folder, id, job.config)
        write_domains(folder, stores, job.folders)
        model = build(job, inputs_of(job, {store.name: store.spec.num_classes for store in stores}))
        model.load_state_dict({name: weights[name] for name in model.state_dict()})
        save_weights(folder / "weights.safetensors", model)
        found = predict_again(job, stores, folder, cores(None)).predictions
        atomic_write(folder / "predictions.npz", predictions_file(found))
        images = round(trained.images_per_second * trained.seconds)
        end = Progress(round=trained.rounds, seconds=trained.seconds, images=images)
        result = record(job, id=id, stores=stores, folder=folder, model=model, predictions=found, end=end)
        atomic_write(folder / "result.json", result.dumps())


def _table(plan: Plan, rows: Sequence[Row]) -> str:
    """The rows that are there beside the published ones, as Markdown."""
    file, name = plan.published or ("", "")
    published = read_published(context.registry().item("published", file).value)
    runs = [
        Run(row=row.planned, seed=SEED, folder=row.folder, result=row.result, state="done" if row.result else "missing")
        for row in rows
    ]
    return render.markdown(render.errors(study_table(plan, runs, published.table(name), published.citation)))


def _keep(out: Path, plan: Plan, rows: Sequence[Row]) -> None:
    """Write the board, the file that holds it and the table of the rows that are there, if there are any."""
    done = [row for row in rows if row.result is not None]
    if not done:
        return
    for row in done:
        add_entry(out / "boards", row.folder)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        archive.add(out / "boards", arcname="boards")
    atomic_write(out / "boards.tar", memory.getvalue())
    atomic_write(out / "table4.md", _table(plan, rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/table4.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with a folder for each domain")
    parser.add_argument("out", type=Path, help="where rows, board and table are kept")
    parser.add_argument("--domains", default=DOMAINS, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=2500, help="default: %(default)s")
    parser.add_argument("--device", default="cuda", help="default: %(default)s")
    parser.add_argument("--cuda-graphs", action="store_true", help="record a round once and replay it")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as `udbench run` takes it")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
