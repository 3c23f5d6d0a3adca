"""Suite, domains and recipe: from names, references and settings to the objects that they stand for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udbench.errors import DataError, SettingError
from udbench.plugin.contracts_data import AD_HOC

if TYPE_CHECKING:
    from udbench.config import RecipeSettings
    from udbench.data.reference import Reference
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.plugin.session import Session

DEFAULT_SUITE = "pocket"
CUSTOM_SUITE, CUSTOM_RECIPE = AD_HOC, "short"


def resolve_domains(
    session: Session,
    suite: str | None,
    domains: str | Sequence[str | Reference] | None,
    places: Mapping[str, str] | None = None,
) -> tuple[Suite, tuple[Domain, ...], bool]:
    """The suite, its domains in order, and whether they are only a part of it.

    `domains` without a suite makes the suite "ad_hoc"; with one, they are a part of it. They are references
    with commas between, or a list of them. `places` are the folders of domains that are no plugin's and are
    referred to by their names alone.
    """
    from udbench.plugin.contracts_data import Domain, Suite

    known = session.registry
    if domains is None:
        chosen = known.get(Suite, suite or DEFAULT_SUITE)
        return chosen, tuple(known.get(Domain, name) for name in chosen.domains), False
    members = tuple(_domain(session, reference, places or {}) for reference in references(domains))
    names = [member.spec.name for member in members]
    if not members:
        raise SettingError("--domains: no domain given; give names separated by commas (udbench list domains)")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(f"--domains: {_named_twice([member for member in members if member.spec.name == twice[0]])}")
    if suite is None:
        custom = Suite(
            name=CUSTOM_SUITE,
            domains=tuple(names),
            recipe=CUSTOM_RECIPE,
            summary="one domain of your choice" if len(names) == 1 else f"{len(names)} domains of your choice",
        )
        return custom, members, False
    chosen = known.get(Suite, suite)
    if strange := [name for name in names if name not in chosen.domains]:
        raise SettingError(
            f"--domains: '{strange[0]}' is not in suite '{chosen.name}', which has {', '.join(chosen.domains)}; "
            "leave --suite out for an ad-hoc set of domains"
        )
    ordered = tuple(sorted(members, key=lambda member: chosen.domains.index(member.spec.name)))
    return chosen, ordered, len(ordered) < len(chosen.domains)


def references(domains: str | Sequence[str | Reference]) -> list[Reference]:
    """References as a command line has them, with commas between, or as Python has them, in a list."""
    from udbench.data.reference import Reference, parse_reference, parse_references

    if isinstance(domains, str):
        return parse_references(domains)
    return [each if isinstance(each, Reference) else parse_reference(each) for each in domains]


def _domain(session: Session, reference: Reference, places: Mapping[str, str]) -> Domain:
    from udbench.plugin.contracts_data import OF_FOLDERS, Domain

    name, registry = reference.name, session.registry
    if reference.scheme:
        from udbench.data.folders import folder_domain

        return folder_domain(Path(reference.path), name)
    if not name.startswith(OF_FOLDERS) or name in registry.names("domains"):
        return registry.get(Domain, name)
    from udbench.data.reference import short_name

    if name not in places:
        raise DataError(
            f"'{name}' is a user's folder whose path on this machine is unknown; "
            f"give it with --domains folder:{short_name(name)}=PATH"
        )
    from udbench.data.folders import folder_domain

    try:
        return folder_domain(Path(places[name]), name)
    except DataError as error:
        raise DataError(
            f"'{name}' was in {places[name]} when the run was trained: {error}\nIf the folder has moved, give its "
            f"path with --domains folder:{short_name(name)}=PATH"
        ) from None


def _named_twice(members: Sequence[Domain]) -> str:
    name, roots = members[0].spec.name, dict.fromkeys(member.root and member.root.resolve() for member in members)
    if len(roots) == 1:
        return f"'{name}' is given twice; each domain of a run needs a unique name"
    listed = " and ".join(str(root) for root in roots)
    return f"{listed} are two folders that would both be named '{name}'; rename one with folder:NAME=PATH"


def load_recipe(
    session: Session,
    recipe: str | None,
    suite: Suite,
    domains: Sequence[str],
    changed: Mapping[str, Any],
    parent: tuple[str, Mapping[str, Any]] | None = None,
) -> tuple[str, RecipeSettings]:
    """A recipe's name and its checked settings, with those of `--set` laid over (`Overrides.recipe`).

    `parent` is the recipe and settings of the run that this one goes on from: they hold where no recipe is named, or
    one that requires a checkpoint. Raises UnknownNameError, SettingError.
    """
    from udbench.config import RecipeSettings
    from udbench.overrides import merged, read_recipe_file, validated
    from udbench.plugin.contracts_run import Recipe

    word = recipe or (suite.recipe if parent is None else "")
    if not word:
        assert parent is not None
        name, base = parent
    elif word.endswith(".toml") or os.sep in word:
        path = Path(word)
        if not path.is_file():
            raise SettingError(f"--recipe {word}: no such file")
        name, base = path.stem, read_recipe_file(path)
    else:
        named = session.registry.get(Recipe, word)
        name, base = word, named.settings
        if named.requires_checkpoint:
            if parent is None:
                raise SettingError(f"recipe '{word}' requires a trained network; give its run with --from RUN")
            base = merged(parent[1], base)
    settings = validated(RecipeSettings, merged(base, changed), f"recipe '{name}'", unsets=True)
    per_domain = changed.get("domain")
    if strange := sorted(set(per_domain if isinstance(per_domain, Mapping) else ()) - set(domains)):
        raise SettingError(f"--set domain.{strange[0]}: not a domain of this run; its domains are {', '.join(domains)}")
    return name, settings
