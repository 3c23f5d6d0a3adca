"""From what was asked, in words, to a run whose names are looked up and whose settings are checked, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.axes import AXES, method_of
from udbench.errors import SettingError
from udbench.resolve import checks, origin
from udbench.resolve.method import Method, parse_overrides, resolve_heads, resolve_method
from udbench.resolve.names import load_recipe, resolve_domains
from udbench.train.phases import resolve_phases

if TYPE_CHECKING:
    from udbench.config import RecipeSettings, RunConfig
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.plugin.contracts_run import Score
    from udbench.plugin.session import Session
    from udbench.resolve.finished import FinishedRun
    from udbench.train.phases import TrainPhase


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What was asked, in words: the options of `udbench run`, or the arguments of `udbench.run`.

    `choices` are the names that were given for the axes of the method, by the axis' name; None or none where nothing
    was given. `settings` is what --set says, as words or as the nested mapping that they stand for. `source` is the
    run of --from, `data` the folder of images. `available` leaves out domains whose images are not here. `processes`
    is how many will share the run.
    """

    choices: Mapping[str, str | None]
    suite: str | None = None
    domains: str | Sequence[str] | None = None
    recipe: str | None = None
    settings: Sequence[str] | Mapping[str, Any] = ()
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    group: int | None = None
    compile: bool = False
    cuda_graphs: bool = False
    available: bool = False
    data: Path | None = None
    source: str | None = None
    processes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedRun:
    """A run whose names are looked up and whose settings are checked: what `RunConfig` and `Job` are made from.

    `names` are those of its domains, in order. `domains` are the domains themselves; a finished run has none, since
    its record names the stores of its images. `part` says that they are a part of the suite. `heads` are the checked
    settings of single domains' heads. `parent` is the run of --from, and `kept` whether its network goes on whole.
    `plugins` are the versions of the installed plugins. `device` and `precision` may be "auto" still.
    """

    suite: Suite
    part: bool
    names: tuple[str, ...]
    domains: tuple[Domain, ...] = ()
    method: Method
    recipe: str
    settings: RecipeSettings
    heads: Mapping[str, Any]
    phases: Sequence[TrainPhase] = ()
    score: Score
    plugins: Mapping[str, str]
    seed: int
    device: str
    precision: str
    group: int | None
    compile: bool = False
    cuda_graphs: bool = False
    parent: FinishedRun | None = None
    kept: bool = False

    @property
    def remarks(self) -> list[str]:
        """What can be run as it is asked for, and is hardly meant, a sentence each."""
        return checks.unlikely_settings(self.settings, self.names, self.phases)

    def of_domains(self, domains: Sequence[Domain], *, part: bool) -> ResolvedRun:
        """The same run of only these domains."""
        names = tuple(domain.spec.name for domain in domains)
        heads = {name: head for name, head in self.heads.items() if name in names}
        return replace(self, names=names, domains=tuple(domains), heads=heads, part=part)


def _ignore(_: str) -> None:
    pass


def resolve(session: Session, request: RunRequest, log: Callable[[str], None] = _ignore) -> ResolvedRun:
    """Look up every name of a request and check every setting, once. Reads no image and imports no torch.

    `log` gets a sentence that names the domains which `available` leaves out. Raises UnknownNameError, SettingError,
    and DataError where a run or folder that was named is not there.
    """
    from udbench.plugin.contracts_run import Score

    parent = None if request.source is None else origin.find_parent(request.source)
    given = parse_overrides(request.settings)
    method, kept, base = None, False, None
    if parent is None:
        names_of_axes = _needed(request)
        suite, domains, part = resolve_domains(session, request.suite, request.domains)
    else:
        names_of_axes = {}
        method, kept = origin.inherited_method(session, parent, request.choices, given)
        suite, domains, part = origin.inherited_domains(session, parent, request.suite, request.domains, kept=kept)
        base = origin.inherited_settings(parent, [domain.spec.name for domain in domains])
    names = [domain.spec.name for domain in domains]
    recipe, settings = load_recipe(session, request.recipe, suite, names, given.recipe, base)
    if request.available:
        from udbench.resolve.stores import available

        domains = available(domains, request.data, log)
        part = part or len(domains) < len(names)
    if request.cuda_graphs:
        checks.check_one_process(request.processes)
        if request.device == "cpu":
            checks.check_graphs(request.device, request.processes)
    if method is None:
        method = resolve_method(session, names_of_axes, given.axes)
    names = [domain.spec.name for domain in domains]
    heads = resolve_heads(method.arch, settings, names)
    phases = resolve_phases(settings, names, parent.config.domains if parent is not None and kept else ())
    checks.check_rates(settings)
    checks.check_classifier(method.sharing, {domain.spec.name: domain.spec.num_classes for domain in domains})
    return ResolvedRun(
        suite=suite,
        part=part,
        names=tuple(names),
        domains=domains,
        method=method,
        recipe=recipe,
        settings=settings,
        heads=heads,
        phases=phases,
        score=session.registry.get(Score, suite.score),
        plugins=_versions(session),
        seed=request.seed,
        device=request.device,
        precision=request.precision,
        group=request.group,
        compile=request.compile,
        cuda_graphs=request.cuda_graphs,
        parent=parent,
        kept=kept,
    )


def resolve_config(
    session: Session, config: RunConfig, *, compile: bool = False, cuda_graphs: bool = False
) -> ResolvedRun:
    """A configuration, as a finished run has it, with its names looked up again.

    Whether its step is compiled or captured is asked anew: it shapes no number, and where the configuration comes from
    there may have been a compiler or a GPU that is not here.
    """
    from udbench.plugin.contracts_data import Suite
    from udbench.plugin.contracts_run import Score

    choices = method_of(config)
    method = resolve_method(
        session,
        {name: choice.name for name, choice in choices.items()},
        {name: choice.settings for name, choice in choices.items()},
    )
    return ResolvedRun(
        suite=Suite(
            name=config.suite,
            version=config.suite_version,
            score=config.score,
            domains=config.domains,
            recipe=config.recipe,
        ),
        part=config.part_of_suite,
        names=config.domains,
        method=method,
        recipe=config.recipe,
        settings=config.settings,
        heads=resolve_heads(method.arch, config.settings, config.domains),
        score=session.registry.get(Score, config.score),
        plugins=_versions(session),
        seed=config.seed,
        device=config.device,
        precision=config.precision,
        group=config.group,
        compile=compile,
        cuda_graphs=cuda_graphs,
    )


def _needed(request: RunRequest) -> dict[str, str]:
    """The name on each axis: the given one, or the axis' default. Raises SettingError where there is neither."""
    names: dict[str, str] = {}
    for axis in AXES:
        name = request.choices.get(axis.name) or axis.default
        if name is None:
            raise SettingError(
                f"{axis.option} is required: choose one (udbench list {axis.plugins}), or start from a run (--from RUN)"
            )
        names[axis.name] = name
    return names


def _versions(session: Session) -> dict[str, str]:
    return {owner.distribution: owner.version for owner in session.registry.owners}
