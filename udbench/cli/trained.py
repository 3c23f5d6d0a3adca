"""Finding a trained run and one of its domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.cli import preparing
from udbench.errors import DataError, SettingError, nearest

if TYPE_CHECKING:
    from udbench.config import RunConfig
    from udbench.results import RunResult
    from udbench.runs.inference import DomainFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """A finished run, the domain that was asked for, and the facts of all its domains."""

    folder: Path
    config: RunConfig
    result: RunResult
    domain: str
    facts: Mapping[str, DomainFacts]


def find(run: str, domain: str | None, data: Path | None) -> FinishedRun:
    """A run by its folder or id. Raises DataError: no such run, or not finished; SettingError: not one of its domains.

    Where the run kept no class names, they are the stores', which must be those of its images.
    """
    from udbench.cli.show import result_path
    from udbench.results import read_result
    from udbench.runs.folder import read_config
    from udbench.runs.inference import FILE, read_domains

    path = result_path(run)
    if path is None:
        raise DataError(f"no run '{run}': there is no such folder, here or in ./runs")
    folder = path.parent
    _, config = read_config(folder)
    if not path.exists():
        raise DataError(f"{folder}: this run has no result yet; udbench run … --resume goes on with it")
    result = read_result(path)
    if config.transfer is not None and config.transfer.train == "none":
        raise DataError(
            f"{folder}: this run told classes by their images' mean features, so it has no classifier to use"
        )
    chosen = _domain(folder, config, domain)
    facts = read_domains(folder) if (folder / FILE).exists() else _of_stores(folder, result, data)
    if lost := [name for name in config.domains if name not in facts]:
        raise DataError(f"{folder / FILE} says nothing of domain '{lost[0]}'")
    return FinishedRun(folder=folder, config=config, result=result, domain=chosen, facts=facts)


def _domain(folder: Path, config: RunConfig, asked: str | None) -> str:
    listed = ", ".join(config.domains)
    if asked is None and len(config.domains) == 1:
        (asked,) = config.domains
    if asked is None:
        raise SettingError(f"--domain: say for which of this run's domains: {listed}")
    if asked not in config.domains:
        near = nearest(asked, config.domains)
        hint = f" Did you mean '{near}'?" if near else ""
        raise SettingError(f"--domain: the run in {folder} has no domain '{asked}'.{hint}\nit has: {listed}")
    return asked


def _of_stores(folder: Path, result: RunResult, data: Path | None) -> Mapping[str, DomainFacts]:
    from udbench.runs.inference import FILE, facts_of

    try:
        return facts_of(preparing.of_run(result, data, {}))
    except DataError as error:
        raise DataError(
            f"{folder} has no {FILE}, and the classes are not named by its images either: {error}"
        ) from None
