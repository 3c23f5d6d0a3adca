"""The one finder of finished runs: by folder, by result file, or by id in ./runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.errors import DataError, SettingError, nearest
from udbench.files import RUNS

if TYPE_CHECKING:
    from udbench.config import RunConfig
    from udbench.plugin.session import Session
    from udbench.resolve.progress import Progress
    from udbench.results import RunResult
    from udbench.runs.inference import DomainFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """A run that has a result: its folder and its record."""

    folder: Path
    result: RunResult

    @property
    def config(self) -> RunConfig:
        """What the run was asked to be."""
        return self.result.config


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifyingRun:
    """A finished run whose network classifies images, the domain that was chosen, and the facts of all its domains."""

    folder: Path
    config: RunConfig
    result: RunResult
    domain: str
    facts: Mapping[str, DomainFacts]


def result_path(word: str) -> Path | None:
    """The result file that a word means: a file, that of a run's folder, or of the id of a run in ./runs.

    None where there is no such run. The file of a run that has not finished does not exist.
    """
    for path in (Path(word), RUNS / word):
        if path.is_dir() and ((path / "result.json").exists() or (path / "config.toml").exists()):
            return path / "result.json"
        if path.is_file() and path.suffix == ".json":
            return path
    return None


def run_path(word: str) -> Path:
    """The result file of a run, finished or not. Raises DataError where there is no such run."""
    path = result_path(word)
    if path is None:
        raise DataError(f"no run '{word}': no such folder in the current directory or in ./runs")
    return path


def find(word: str) -> FinishedRun:
    """The finished run that a word means. Raises DataError: no such run, not finished, or a damaged record."""
    return read(run_path(word))


def read(path: Path) -> FinishedRun:
    """The finished run of a result file. Raises DataError: not finished, or a damaged record."""
    from udbench.results import read_result

    if not path.exists():
        raise DataError(f"{path.parent}: this run has no result yet; resume it with udbench run … --resume")
    return FinishedRun(folder=path.parent, result=read_result(path))


def check_classifier(run: FinishedRun) -> None:
    """Raises DataError for a run that has no classifier, since it compared features with class means."""
    transfer = run.config.transfer
    if transfer is not None and transfer.train == "none":
        raise DataError(
            f"{run.folder}: this run used nearest class means (transfer --train none) and has no classifier"
        )


def find_classifier(
    session: Session, word: str, domain: str | None, data: Path | None, progress: Progress
) -> ClassifyingRun:
    """A finished run and one of its domains, by which images can be classified.

    Where the run kept no class names, they are the stores', which must be those of its images. Raises DataError: no
    such run, not finished, or no classifier; SettingError: not one of its domains.
    """
    from udbench.runs.folder import read_config
    from udbench.runs.inference import FILE, read_domains

    path = run_path(word)
    folder = path.parent
    _, config = read_config(folder)
    run = read(path)
    check_classifier(run)
    chosen = _domain(folder, config, domain)
    facts = read_domains(folder) if (folder / FILE).exists() else _facts_of_stores(session, run, data, progress)
    if lost := [name for name in config.domains if name not in facts]:
        raise DataError(f"{folder / FILE} has no entry for domain '{lost[0]}'")
    return ClassifyingRun(folder=folder, config=config, result=run.result, domain=chosen, facts=facts)


def _domain(folder: Path, config: RunConfig, asked: str | None) -> str:
    listed = ", ".join(config.domains)
    if asked is None and len(config.domains) == 1:
        (asked,) = config.domains
    if asked is None:
        raise SettingError(f"--domain is required: choose one of the run's domains: {listed}")
    if asked not in config.domains:
        near = nearest(asked, config.domains)
        hint = f" Did you mean '{near}'?" if near else ""
        raise SettingError(f"--domain: the run in {folder} has no domain '{asked}'.{hint}\navailable: {listed}")
    return asked


def _facts_of_stores(
    session: Session, run: FinishedRun, data: Path | None, progress: Progress
) -> Mapping[str, DomainFacts]:
    from udbench.resolve.stores import of_run
    from udbench.runs.inference import FILE, facts_of

    try:
        return facts_of(of_run(session, run.result, data, {}, progress=progress))
    except DataError as error:
        raise DataError(
            f"{run.folder} has no {FILE}, and its images cannot give the class names either: {error}"
        ) from None
