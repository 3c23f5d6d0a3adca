"""`udbench check`: whether a plugin keeps the contract, and what to mend."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udbench.cli import output

if TYPE_CHECKING:
    from udbench.authors.findings import Finding
    from udbench.authors.target import Target

LIMIT = 120.0


def check(
    plugin: Annotated[
        str,
        typer.Argument(
            metavar="PLUGIN", help="An installed plugin's distribution or name (udbench list plugins), or a folder."
        ),
    ],
    limit: Annotated[float, typer.Option(min=1, help="Seconds that one check may take.")] = LIMIT,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check a plugin: that it keeps the contract, runs, and obeys the laws. Says what to mend.

    The plugin is loaded and tried in a process of its own. Ends with 0 when all that applies holds, else with 1.
    For example: udbench check udbench-adapters, or for a package that is not installed: udbench check ./my-plugin
    """
    from udbench.authors.kit import examined

    with tempfile.TemporaryDirectory(prefix="udbench-check-", ignore_cleanup_errors=True) as folder:
        target = _target(plugin, Path(folder) / "about")
        findings: list[Finding] = []
        if not json:
            output.say(f"{target.distribution} {target.version}".strip())
        scratch = Path(folder) / "work"
        scratch.mkdir()
        for finding in examined(target, scratch, limit=limit):
            findings.append(finding)
            if not json:
                _say(finding)
    counted = {word: sum(each.outcome == word for each in findings) for word in ("passed", "failed", "skipped")}
    if json:
        output.emit_json(
            {
                "plugin": target.distribution,
                "version": target.version,
                "contracts": dict(target.contracts),
                **counted,
                "findings": [each.document() for each in findings],
            }
        )
    else:
        output.say(", ".join(f"{number} {word}" for word, number in counted.items()))
    if counted["failed"]:
        raise typer.Exit(1)


def _target(plugin: str, scratch: Path) -> Target:
    """A name is an installed plugin's; what has a slash, or is a dot, is a folder."""
    from udbench.authors.target import folder_target, installed_target
    from udbench.errors import BadData

    if "/" not in plugin and "\\" not in plugin and not plugin.startswith("."):
        return installed_target(plugin)
    folder = Path(plugin).expanduser()
    if not folder.is_dir():
        raise BadData(f"{folder}: no such folder; give a package's folder, or an installed plugin's name")
    return folder_target(folder, scratch)


def _say(finding: Finding) -> None:
    took = f" ({finding.seconds:.1f} s)" if finding.seconds >= 0.1 else ""
    output.say(f"{finding.outcome:<8}{finding.subject}: {finding.check}{took}")
    if finding.outcome == "skipped":
        output.say(f"        {finding.came}")
    elif finding.outcome == "failed":
        for word, text in (("expected", finding.expected), ("came", finding.came), ("to mend", finding.mend)):
            output.say(f"        {word:<10}{text}")
