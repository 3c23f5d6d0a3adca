"""udbench from Python: the same names, the same objects and the same numbers as on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from udbench.plugin.contracts_run import Callback
    from udbench.results import RunResult


def run(
    *,
    adapter: str | None = None,
    arch: str | None = None,
    suite: str | None = None,
    domains: Sequence[str] | None = None,
    available: bool = False,
    sharing: str | None = None,
    source: str | Path | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    data: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    board: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    group: int | None = None,
    compile: bool = False,
    cuda_graphs: bool = False,
    workers: int | None = None,
    skip_damaged: bool = False,
    callback: Callback | None = None,
) -> RunResult:
    """Train one network on many domains in this process, score it on each, and return the record of the result.

        from udbench import run

        result = run(adapter="domain-bn", arch="resnet38", settings={"rounds": 20, "arch": {"width": 0.5}})
        {score.domain: score.error for score in result.scores}

    Arguments are those of `udbench run` and mean the same; the same ones give the same weights and predictions.
    `domains` are names, "folder:PATH" or "folder:NAME=PATH", in a list or in one text with commas between. `settings`
    is what --set says, as a nested mapping: the recipe's keys, and tables "adapter", "arch" and "domain" ({"domain":
    {"mnist": {"flip": False}}}); None takes a setting back to its default. `out` is the run's folder, a new one below
    runs/ if not given; it then holds result.json, weights and predictions. `board` is a folder of boards to write the
    result to; none if not given. `source` is the run that this one goes on from (--from); without it, `adapter` and
    `arch` are needed. `callback` is told how it goes (udbench.Callback); progress of preparing images, and warnings,
    go to standard error.

    Errors are in percent. Raises UdbenchError, whose text is what the command line would say: UnknownNameError,
    SettingError, DataError where images are not here, RunError for a loss that is not finite.
    On Ctrl-C what is there is saved, and the same call with `out` and `resume=True` goes on.
    """
    from udbench.cli import entries, jobs, origins, output, preparing

    place = None if data is None else Path(data)
    ask = jobs.ask(
        suite=suite,
        domains=domains,
        adapter=adapter,
        arch=arch,
        sharing=sharing,
        recipe=recipe,
        settings=settings or {},
        seed=seed,
        device=device,
        precision=precision,
        group=group,
        compile=compile,
        cuda_graphs=cuda_graphs,
        available=available,
        data=place,
        source=None if source is None else str(source),
    )
    jobs.check(ask)
    on_board = None if board is None or ask.settings.eval_on != "test" else Path(board)
    if on_board is not None:
        names = [domain.spec.name for domain in ask.domains]
        entries.check(on_board, ask.suite.name, names, part=ask.part, remedy="give another folder as `board`, or none")
    for remark in jobs.remarks(ask):
        output.note(f"warning: {remark}")
    stores = preparing.prepared(ask.domains, place, ask.settings, workers=workers, skip_damaged=skip_damaged)
    if ask.before is not None:
        origins.check_images(ask.before, stores, kept=ask.kept)
    job = jobs.make(ask)
    # torch is imported only now
    from udbench.plugin.contracts_run import NullCallback
    from udbench.runs.execute import execute
    from udbench.runs.folder import find_run, new_folder

    runs = Path("runs")
    folder = Path(out) if out is not None else (find_run(runs, job.config) if resume else None) or new_folder(runs)
    told = callback or NullCallback()
    if on_board is not None:
        entries.check_id(on_board, folder, job.config.suite, job.config.domains, part=ask.part)
    result = execute(job, stores, folder, told, resume=resume, workers=preparing.cores(workers))
    if on_board is not None:
        entries.added(on_board, folder)
    return result


class TrainedRun:
    """A finished run's network, to classify images of its domains with.

        trained = TrainedRun("runs/4f1c0a9b")
        trained.classify("mnist", [("three.png", Path("three.png").read_bytes())])

    `run` is a run's folder, or its id in ./runs; `data` the folder of images, for runs that kept no class names.
    Raises DataError: no such run, not finished, or its weights were changed; SettingError: no such device.
    """

    def __init__(self, run: str | Path, *, device: str = "auto", data: str | Path | None = None) -> None:
        from udbench.cli import jobs, trained
        from udbench.cli.show import result_path
        from udbench.runs.folder import read_config
        from udbench.runs.inference import load
        from udbench.train.precision import choose_device, multiplies_bf16

        path = result_path(str(run))
        domain = None if path is None else read_config(path.parent)[1].domains[0]
        found = trained.find(str(run), domain, None if data is None else Path(data))
        place = choose_device(device)
        precision = found.config.precision
        if precision == "bf16" and not multiplies_bf16(place):
            precision = "fp32"
        self._facts = found.facts
        self._job = jobs.of_config(found.config.model_copy(update={"device": str(place), "precision": precision}))
        self._model = load(self._job, found.folder, found.facts, found.result)
        self.result = found.result

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that it was trained on."""
        return self._job.config.domains

    def class_names(self, domain: str) -> tuple[str, ...]:
        """A domain's classes, in the order of the labels that `classify` gives."""
        return self._facts[domain].class_names

    def classify(self, domain: str, images: Iterable[tuple[str, bytes]]) -> NDArray[np.int64]:
        """The most probable class of each image file, given by its name and its bytes: (N,) labels.

        Images are seen as the run's test images were, and taken as they come, `eval_batch_size` at a time: a batch,
        where the adapter normalises with batch statistics. Raises DataError, naming the image, for a damaged one.
        """
        import numpy as np

        from udbench.runs.inference import predict

        facts = self._facts[domain]
        found = [
            predict(self._job, self._model, domain, facts, np.stack(batch))[:, : len(facts.class_names)].argmax(axis=1)
            for batch in _batches(self._views(domain, images), self._job.config.settings.eval_batch_size)
        ]
        return np.concatenate(found).astype(np.int64) if found else np.zeros(0, dtype=np.int64)

    def _views(self, domain: str, images: Iterable[tuple[str, bytes]]) -> Iterator[NDArray[np.uint8]]:
        from udbench.data.eval_view import eval_pixels
        from udbench.data.image import DamagedImage
        from udbench.errors import DataError

        for name, image in images:
            try:
                yield eval_pixels(image, self._job.config.settings, domain, self._facts[domain].channels)
            except DamagedImage as error:
                raise DataError(f"'{domain}': {name}: {error}") from None


def _batches(images: Iterable[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    """So many images at a time; a last one alone goes with those before it, since one image is no batch."""
    waiting: list[NDArray[np.uint8]] = []
    for image in images:
        if len(waiting) > size:
            yield waiting[:size]
            waiting = waiting[size:]
        waiting.append(image)
    if waiting:
        yield waiting
