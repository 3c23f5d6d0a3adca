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
        raise DataError(f"no run '{run}': no such folder in the current directory or in ./runs")
    folder = path.parent
    _, config = read_config(folder)
    if not path.exists():
        raise DataError(f"{folder}: this run has no result yet; resume it with udbench run … --resume")
    result = read_result(path)
    if config.transfer is not None and config.transfer.train == "none":
        raise DataError(f"{folder}: this run used nearest class means (transfer --train none) and has no classifier")
    chosen = _domain(folder, config, domain)
    facts = read_domains(folder) if (folder / FILE).exists() else _of_stores(folder, result, data)
    if lost := [name for name in config.domains if name not in facts]:
        raise DataError(f"{folder / FILE} has no entry for domain '{lost[0]}'")
    return FinishedRun(folder=folder, config=config, result=result, domain=chosen, facts=facts)


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


def _of_stores(folder: Path, result: RunResult, data: Path | None) -> Mapping[str, DomainFacts]:
    from udbench.runs.inference import FILE, facts_of

    try:
        return facts_of(preparing.of_run(result, data, {}))
    except DataError as error:
        raise DataError(f"{folder} has no {FILE}, and its images cannot give the class names either: {error}") from None
