"""From names on a command line to a job that can be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.cli import context, preparing
from udbench.errors import BadSetting

if TYPE_CHECKING:
    from udbench.config import RecipeSettings, RunConfig
    from udbench.domains import Domain
    from udbench.runs.job import Job
    from udbench.suites import Suite


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


def ask(
    *,
    adapter: str,
    arch: str,
    suite: str | None = None,
    domains: str | None = None,
    sharing: str = "deep",
    recipe: str | None = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    group: int | None = None,
    compile: bool = False,
    available: bool = False,
    data: Path | None = None,
) -> Ask:
    """What is asked for by these words, the suite's domains and recipe looked up. `available` leaves out domains whose
    images are not here, in `data` or elsewhere. Raises UnknownName, BadSetting, BadData."""
    chosen, members, part = context.resolve_domains(suite, domains)
    names = [member.spec.name for member in members]
    recipe_name, recipe_settings, adapter_settings, arch_settings = context.load_recipe(recipe, chosen, names, settings)
    if available:
        members = preparing.available(members, data, recipe_settings)
        part = part or len(members) < len(names)
    return Ask(
        suite=chosen,
        part=part,
        domains=members,
        adapter=adapter,
        adapter_settings=adapter_settings,
        arch=arch,
        arch_settings=arch_settings,
        sharing=sharing,
        recipe=recipe_name,
        settings=recipe_settings,
        seed=seed,
        device=device,
        precision=precision,
        group=group,
        compile=compile,
    )


def check(ask: Ask) -> None:
    """Refuse at once, before any image is read or torch is imported, what names and numbers alone show to be wrong."""
    _, (arch, _) = _items(ask.adapter, ask.adapter_settings, ask.arch, ask.arch_settings)
    _heads(arch, ask.settings, [domain.spec.name for domain in ask.domains])
    classes = {domain.spec.name: domain.spec.num_classes for domain in ask.domains}
    if ask.sharing == "full" and len(set(classes.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in classes.items())
        raise BadSetting(
            "--sharing full shares the classifier, so all domains must have the same number of classes; there are: "
            f"{listed}. Choose such domains with --domains, or --sharing deep"
        )


def make(ask: Ask) -> Job:
    """The job that is asked for. Imports torch."""
    from udbench.train.precision import choose_device, choose_precision

    device = choose_device(ask.device)
    if ask.compile:
        from udbench.train.compiled import check_compiler

        check_compiler(device)
    return of_config(configuration(ask, str(device), choose_precision(ask.precision, device)))


def configuration(ask: Ask, device: str, precision: str) -> RunConfig:
    """The configuration that is asked for, on this device and in this number format. Imports no torch."""
    from udbench.config import RunConfig, validated

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
        },
        "run",
    )


def of_config(config: RunConfig) -> Job:
    """The job of a configuration, its names looked up."""
    from udbench.runs.job import Job
    from udbench.scores import Score

    registry = context.registry()
    adapter, arch = _items(config.adapter, config.adapter_settings, config.arch, config.arch_settings)
    return Job(
        config=config,
        architecture=arch[0],
        arch_settings=arch[1],
        adapter=adapter[0],
        adapter_settings=adapter[1],
        head_settings=_heads(arch[0], config.settings, config.domains),
        score=registry.get(Score, config.score),
        plugins={owner.distribution: owner.version for owner in registry.owners},
    )


def _items(
    adapter: str, adapter_settings: Mapping[str, Any], arch: str, arch_settings: Mapping[str, Any]
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    from udbench.adapters import Adapter
    from udbench.architectures import Architecture

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
