"""The conformance kit's answers about plugins that are not installed, or that lie in a folder as pip leaves them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from udbench import hookimpl
from udbench.plugin.loader import load
from udbench.plugin.registry import KINDS, Item
from udbench.testing.conformance.findings import Finding
from udbench.testing.conformance.kit import checks_of, examined
from udbench.testing.conformance.target import installed_target


def found(value: Any, scratch: Path, only: str = "") -> dict[str, Finding]:
    """The findings of an item of a plugin that is not installed, of the checks whose title has `only` in it."""
    kind = next(kind for kind, known in KINDS.items() if known.type is type(value) or isinstance(value, known.type))
    registry = load(extra={"mine": SimpleNamespace(**{KINDS[kind].hook: hookimpl(lambda: [value])})})
    item: Item = next(each for each in registry.items(kind) if each.owner.name == "mine")
    findings: dict[str, Finding] = {}
    for number, check in enumerate(checks_of(item, registry)):
        if only in check.title:
            (folder := scratch / str(number)).mkdir()
            findings[check.title] = check.found(folder)
    assert findings, "no check is called so"
    return findings


def said(findings: Mapping[str, Finding]) -> str:
    """What failed, as text."""
    return "\n".join(f"{f.expected} | {f.came} | {f.mend}" for f in findings.values() if f.outcome == "failed")


def install(site: Path, name: str, code: str, contract: str = "v1", licence: str = "Apache-2.0") -> None:
    """What pip leaves of a plugin's package."""
    (site / f"{name}_broken.py").write_text(textwrap.dedent(code) + "\n")
    info = site / f"{name}_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}-broken\nVersion: 1.0\n"
        + (f"License-Expression: {licence}\n" if licence else "")
    )
    declared = f"[udbench.contract]\n{name} = {contract}\n" if contract else ""
    (info / "entry_points.txt").write_text(f"[udbench]\n{name} = {name}_broken\n{declared}")


def failed(name: str, scratch: Path, limit: float = 60.0) -> list[Finding]:
    """The failures of an installed plugin."""
    (scratch / "work").mkdir()
    findings = list(examined(installed_target(name), scratch / "work", limit=limit))
    return [each for each in findings if each.outcome == "failed"]
