"""From names on a command line to a job that can be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.cli import context, origins, preparing
from udbench.errors import SettingError
from udbench.train.phases import resolve_phases

if TYPE_CHECKING:
    from udbench.cli.origins import ParentRun
    from udbench.config import RecipeSettings, RunConfig
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.runs.job import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What the user asked for, names not yet looked up."""

    suite: Suite
    part: bool
    domains: tuple[Domain, ...]
    adapter: str
    adapter_settings: Mapping[str, Any]
    arch: str
    arch_settings: Mapping[str, Any]
    sharing: str
    recipe: str
    settings: RecipeSettings
    seed: int
    device: str
    precision: str
    group: int | None
    compile: bool = False
    cuda_graphs: bool = False
    before: ParentRun | None = None
    kept: bool = False

    @property
    def old(self) -> tuple[str, ...]:
        """The domains that the run before this one brings."""
        return self.before.config.domains if self.before is not None and self.kept else ()


def ask(
    *,
    adapter: str | None,
    arch: str | None,
    suite: str | None = None,
    domains: str | Sequence[str] | None = None,
    sharing: str | None = None,
    recipe: str | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    group: int | None = None,
    compile: bool = False,
    cuda_graphs: bool = False,
    available: bool = False,
    data: Path | None = None,
    source: str | None = None,
) -> Ask:
    """What is asked for by these words, the suite's domains and recipe looked up. `available` leaves out domains whose
    images are not here, in `data` or elsewhere. `source` is a finished run that this one goes on from, and says what
    is not said here. Raises UnknownNameError, SettingError, DataError."""
    before = None if source is None else origins.find(source)
    method = _method(before, adapter, arch, sharing, settings)
    if before is None:
        chosen, members, part = context.resolve_domains(suite, domains)
    else:
        chosen, members, part = origins.domains(before, suite, domains, kept=method.kept)
    names = [member.spec.name for member in members]
    base = None
    if before is not None:
        base = before.settings()
        base[1]["domain"] = before.settings_of(names)
    recipe_name, recipe_settings, _, _ = context.load_recipe(recipe, chosen, names, settings, base)
    if available:
        members = preparing.available(members, data)
        part = part or len(members) < len(names)
    return Ask(
        suite=chosen,
        part=part,
        domains=members,
        adapter=method.adapter,
        adapter_settings=method.adapter_settings,
        arch=method.arch,
        arch_settings=method.arch_settings,
        sharing=method.sharing,
        recipe=recipe_name,
        settings=recipe_settings,
        seed=seed,
        device=device,
        precision=precision,
        group=group,
        compile=compile,
        cuda_graphs=cuda_graphs,
        before=before,
        kept=method.kept,
    )


@dataclass(frozen=True, slots=True)
class _Method:
    adapter: str
    adapter_settings: Mapping[str, Any]
    arch: str
    arch_settings: Mapping[str, Any]
    sharing: str
    kept: bool


def _method(
    before: ParentRun | None,
    adapter: str | None,
    arch: str | None,
    sharing: str | None,
    settings: Sequence[str] | Mapping[str, Any],
) -> _Method:
    """Adapter, architecture and sharing with their settings; what is not said is as in the run before."""
    given = context.settings_of_items(settings)
    if before is None:
        if adapter is None or arch is None:
            missing, many = ("--adapter", "adapters") if adapter is None else ("--arch", "archs")
            raise SettingError(
                f"{missing} is required: choose one (udbench list {many}), or start from a run (--from RUN)"
            )
        return _Method(adapter, given["adapter"], arch, given["arch"], sharing or "deep", kept=False)
    config = before.config
    same = adapter in (None, config.adapter)
    if arch not in (None, config.arch):
        raise SettingError(
            f"--from {before.folder}: its network is {config.arch}; leave --arch out, or choose that architecture"
        )
    chosen = adapter or config.adapter
    item_settings = {**(config.adapter_settings if same else {}), **given["adapter"]}
    (_, checked), (_, checked_arch) = _items(
        chosen, item_settings, config.arch, {**config.arch_settings, **given["arch"]}
    )
    if _dumped(checked_arch) != config.arch_settings:
        raise SettingError(f"--from {before.folder}: its network keeps its own settings; leave --set arch.… out")
    how = sharing or config.sharing
    return _Method(
        chosen,
        item_settings,
        config.arch,
        config.arch_settings,
        how,
        kept=origins.is_kept(before, chosen, _dumped(checked), how),
    )


def check(ask: Ask, processes: int = 1) -> None:
    """Refuse at once, before any image is read or torch is imported, what names and numbers alone show to be wrong."""
    if ask.cuda_graphs:
        _check_alone(processes)
        if ask.device == "cpu":
            check_graphs(ask.device, processes)
    _, (arch, _) = _items(ask.adapter, ask.adapter_settings, ask.arch, ask.arch_settings)
    _heads(arch, ask.settings, [domain.spec.name for domain in ask.domains])
    resolve_phases(ask.settings, [domain.spec.name for domain in ask.domains], ask.old)
    _check_rates(ask.settings)
    classes = {domain.spec.name: domain.spec.num_classes for domain in ask.domains}
    if ask.sharing == "full" and len(set(classes.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in classes.items())
        raise SettingError(
            "--sharing full shares the classifier, so all domains must have the same number of classes, but: "
            f"{listed}. Choose domains with equal numbers of classes (--domains), or use --sharing deep"
        )


def remarks(ask: Ask) -> list[str]:
    """What can be run as it is asked for, and is hardly meant, a sentence each."""
    settings, names = ask.settings, [domain.spec.name for domain in ask.domains]
    found: list[str] = []
    phases = resolve_phases(settings, names, ask.old)
    short = [phase.rounds for phase in phases if settings.warmup(phase.rounds) >= phase.rounds]
    if short and settings.warmup_lr != settings.lr:
        rounds = min(short)
        found.append(
            f"warmup_rounds={settings.warmup(rounds)} for {rounds} rounds{' of a phase' if len(phases) > 1 else ''}: "
            f"lr={settings.lr:g} is never reached; all rounds use warmup_lr={settings.warmup_lr:g}"
        )
    if alone := [name for name in names if settings.batch_of(name) == 1]:
        found.append(
            f"batch_size=1 for {', '.join(alone)}: batch norms take their mean and variance from a single image; "
            "set batch_size=2 or more unless the network has none"
        )
    return found


def _check_alone(processes: int) -> None:
    if processes > 1:
        raise SettingError(
            f"--cuda-graphs with {processes} processes: CUDA graphs capture the round of a single process; leave "
            "--processes or --cuda-graphs out"
        )


def check_graphs(device: str, processes: int) -> None:
    """Raises SettingError where runs with so many processes on such a device cannot be CUDA graphs.

    Imports torch, and touches no GPU: whoever asks may wait for hours beside those who use it.
    """
    import torch

    from udbench.train import graphs

    _check_alone(processes)
    named = device.partition(":")[0]
    graphs.check_graphs(torch.device("cuda" if named in ("auto", "cuda") and torch.cuda.is_available() else "cpu"))


def _check_rates(settings: RecipeSettings) -> None:
    """A warm-up is no hotter than what it warms up to, and a cosine falls."""
    first = settings.warmup_lr if settings.warmup(settings.rounds) else 0.0
    last = settings.final_lr if settings.schedule == "cosine" else 0.0
    for name, rate, what in (("warmup_lr", first, "the warm-up's"), ("final_lr", last, "the cosine's last")):
        if rate > settings.lr:
            raise SettingError(
                f"lr={settings.lr:g} is below {what} rate, {rate:g}; lower that as well, such as with "
                f"--set {name}={settings.lr / 10:g}"
            )


def make(ask: Ask) -> Job:
    """The job that is asked for. Imports torch."""
    from udbench.train.precision import choose_device, choose_precision

    device = choose_device(ask.device)
    if ask.compile:
        from udbench.train.compiled import check_compiler

        check_compiler(device)
    if ask.cuda_graphs:
        from udbench.train import graphs

        graphs.check_graphs(device)
    config = configuration(ask, str(device), choose_precision(ask.precision, device))
    job = of_config(config, compile=ask.compile, cuda_graphs=ask.cuda_graphs)
    job = replace(job, folders=folders_of(ask.domains))
    if ask.before is None:
        return job
    made = None if ask.kept else of_config(ask.before.config.model_copy(update={"device": str(device)}))
    return replace(job, source=ask.before.folder, source_job=made)


def configuration(ask: Ask, device: str, precision: str) -> RunConfig:
    """The configuration that is asked for, on this device and in this number format. Imports no torch."""
    from udbench.config import RunConfig
    from udbench.overrides import validated

    adapter, arch = _items(ask.adapter, ask.adapter_settings, ask.arch, ask.arch_settings)
    return validated(
        RunConfig,
        {
            "suite": ask.suite.name,
            "suite_version": ask.suite.version,
            "score": ask.suite.score,
            "part_of_suite": ask.part,
            "domains": tuple(domain.spec.name for domain in ask.domains),
            "arch": ask.arch,
            "arch_settings": _dumped(arch[1]),
            "adapter": ask.adapter,
            "adapter_settings": _dumped(adapter[1]),
            "sharing": ask.sharing,
            "recipe": ask.recipe,
            "settings": ask.settings,
            "seed": ask.seed,
            "precision": precision,
            "device": device,
            "group": ask.group,
            "compile": ask.compile,
            "cuda_graphs": ask.cuda_graphs,
            "origin": None if ask.before is None else origins.origin(ask.before, kept=ask.kept),
        },
        "run",
    )


def of_config(config: RunConfig, *, compile: bool = False, cuda_graphs: bool = False) -> Job:
    """The job of a configuration, its names looked up.

    Whether its step is compiled or captured is asked anew: it shapes no number, and where the configuration comes from
    there may have been a compiler or a GPU that is not here.
    """
    from udbench.plugin.contracts_run import Score
    from udbench.runs.job import Job

    registry = context.registry()
    adapter, arch = _items(config.adapter, config.adapter_settings, config.arch, config.arch_settings)
    return Job(
        config=config.model_copy(update={"compile": compile, "cuda_graphs": cuda_graphs}),
        architecture=arch[0],
        arch_settings=arch[1],
        adapter=adapter[0],
        adapter_settings=adapter[1],
        head_settings=_heads(arch[0], config.settings, config.domains),
        score=registry.get(Score, config.score),
        plugins={owner.distribution: owner.version for owner in registry.owners},
    )


def folders_of(domains: Sequence[Domain]) -> dict[str, Path]:
    """The folders of domains that lie in folders of their own."""
    return {domain.spec.name: domain.root for domain in domains if domain.root is not None}


def _items(
    adapter: str, adapter_settings: Mapping[str, Any], arch: str, arch_settings: Mapping[str, Any]
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    from udbench.plugin.contracts_model import Adapter, Architecture

    registry = context.registry()
    a, b = registry.get(Adapter, adapter), registry.get(Architecture, arch)
    return (
        (a, context.item_settings(a.settings, adapter_settings, f"adapter '{adapter}'")),
        (b, context.item_settings(b.settings, arch_settings, f"architecture '{arch}'")),
    )


def _heads(arch: Any, settings: RecipeSettings, domains: Iterable[str]) -> dict[str, Any]:
    """What each domain asks of its head, checked."""
    asked = {name: settings.head_of(name) for name in domains}
    return {
        name: context.item_settings(arch.head_settings, given, f"architecture '{arch.name}', domain.{name}.head")
        for name, given in asked.items()
        if given
    }


def _dumped(settings: Any) -> dict[str, Any]:
    return {} if settings is None else settings.model_dump(mode="json")
