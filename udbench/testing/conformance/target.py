"""The plugin that is to be checked: an installed one by name, or a package's folder that is not installed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from udbench.errors import DataError, SettingError, UnknownNameError
from udbench.files import atomic_write
from udbench.plugin.loader import CONTRACTS, GROUP, declared, installed, owner_of
from udbench.plugin.registry import Owner


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A distribution's plugins that are to be checked.

    `entries` are the names of their entry points, `contracts` what they declare ({name: "v1"}), `licence` what the
    distribution says of its licence. `paths` go in front of sys.path where it is not installed.
    """

    distribution: str
    version: str
    entries: tuple[str, ...]
    contracts: Mapping[str, str]
    licence: str
    paths: tuple[str, ...] = ()

    def owns(self, owner: Owner) -> bool:
        """Whether an owner is one of these plugins."""
        return owner.distribution == self.distribution and owner.name in self.entries

    @contextmanager
    def on_path(self) -> Iterator[None]:
        """Within, the plugins can be imported and found as installed ones are."""
        before = list(sys.path)
        sys.path[:0] = self.paths
        try:
            yield
        finally:
            sys.path[:] = before


def target_of(plugin: str, scratch: Path) -> Target:
    """The plugin that a word says: a name is an installed plugin's; what has a slash, or is a dot, is a folder.

    `scratch` is as in `folder_target`. Raises UnknownNameError, and DataError for a folder without a plugin.
    """
    if "/" not in plugin and "\\" not in plugin and not plugin.startswith("."):
        return installed_target(plugin)
    folder = Path(plugin).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give a package's folder, or an installed plugin's name")
    return folder_target(folder, scratch)


def installed_target(name: str) -> Target:
    """The installed plugin of that name: its distribution's, its entry point's, or both ("udbench-film:film").

    Raises UnknownNameError, and SettingError for an entry point's name that several distributions have.
    """
    found = [(owner_of(entry), entry) for entry in installed()]
    chosen = [pair for pair in found if pair[0].distribution == name] or [
        pair for pair in found if name in pair[0].choices
    ]
    if len(several := {owner.distribution for owner, _ in chosen}) > 1:
        raise SettingError(
            f"plugin '{name}' may be any of {' and '.join(str(owner) for owner, _ in chosen)}; name its distribution: "
            f"{', '.join(sorted(several))}"
        )
    if not chosen:
        known = {each for owner, _ in found for each in (owner.name, owner.distribution)}
        raise UnknownNameError("plugin", name, known, ["(a package's folder is given as a path, such as ./my-plugin)"])
    owner = chosen[0][0]
    chosen = [pair for pair in chosen if pair[0].distribution == owner.distribution]
    return Target(
        distribution=owner.distribution,
        version=owner.version,
        entries=tuple(each.name for each, _ in chosen),
        contracts={each.name: declared(entry) for each, entry in chosen},
        licence=_licence(chosen[0][1]),
    )


def _licence(entry: importlib.metadata.EntryPoint) -> str:
    with contextlib.suppress(Exception):
        about = cast(Any, entry.dist).metadata
        said = [about.get("License-Expression"), about.get("License")]
        said += [text for text in about.get_all("Classifier") or [] if text.startswith("License ::")]
        return next((str(text) for text in said if text and text.strip()), "")
    return ""


def folder_target(folder: Path, scratch: Path) -> Target:
    """The plugin of a package's folder, which has a pyproject.toml. Nothing is installed or built: `scratch` gets
    what would tell of it were it installed. Raises DataError for a folder that has no plugin."""
    about = _pyproject(folder)
    project = _table(about, "project", folder)
    name = str(project.get("name", ""))
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", name):
        raise DataError(f"{folder / 'pyproject.toml'}: [project] has no name that pip takes: {name!r:.80}")
    points = _table(project, "entry-points", folder)
    entries = _words(_table(points, GROUP, folder))
    if not entries:
        raise DataError(
            f"{folder / 'pyproject.toml'} names no plugin of udbench; add [project.entry-points.{GROUP}] with a line "
            'such as mine = "my_package"'
        )
    contracts = _words(_table(points, CONTRACTS, folder))
    version = str(project.get("version", "0"))
    licence = project.get("license", "")
    if isinstance(licence, dict):
        licence = licence.get("text") or licence.get("file") or ""
    info = scratch / f"{re.sub('[-_.]+', '_', name)}-0.dist-info"  # by this name it goes before an installed one
    atomic_write(info / "METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: {_one_line(version)}\n")
    lines = [f"[{GROUP}]", *(f"{key} = {value}" for key, value in entries.items())]
    lines += [f"[{CONTRACTS}]", *(f"{key} = {value}" for key, value in contracts.items())]
    atomic_write(info / "entry_points.txt", "\n".join(lines) + "\n")
    code = [folder / "src"] if (folder / "src").is_dir() else [folder]
    return Target(
        distribution=name,
        version=version,
        entries=tuple(entries),
        contracts={key: contracts.get(key, "") for key in entries},
        licence=str(licence),
        paths=(str(scratch), *(str(path.resolve()) for path in code)),
    )


def _pyproject(folder: Path) -> dict[str, Any]:
    path = folder / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as TOML: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; a plugin's folder has one") from None


def _table(above: Mapping[str, Any], key: str, folder: Path) -> dict[str, Any]:
    table = above.get(key, {})
    if not isinstance(table, dict):
        raise DataError(f"{folder / 'pyproject.toml'}: '{key}' is not a table")
    return table


def _words(table: Mapping[str, Any]) -> dict[str, str]:
    return {_one_line(key): _one_line(value) for key, value in table.items()}


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
