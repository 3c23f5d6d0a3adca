"""`udbench check`: whether a plugin keeps the contract, and what to mend."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udbench.cli import output

if TYPE_CHECKING:
    from udbench.testing.conformance.findings import Finding

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
    from udbench.testing.conformance.kit import examined
    from udbench.testing.conformance.target import target_of

    with tempfile.TemporaryDirectory(prefix="udbench-check-", ignore_cleanup_errors=True) as folder:
        target = target_of(plugin, Path(folder) / "about")
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


def _say(finding: Finding) -> None:
    took = f" ({finding.seconds:.1f} s)" if finding.seconds >= 0.1 else ""
    output.say(f"{finding.outcome:<8}{finding.subject}: {finding.check}{took}")
    if finding.outcome == "skipped":
        output.say(f"        {finding.came}")
    elif finding.outcome == "failed":
        for word, text in (("expected", finding.expected), ("came", finding.came), ("to mend", finding.mend)):
            output.say(f"        {word:<10}{text}")
