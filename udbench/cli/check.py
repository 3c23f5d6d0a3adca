"""`udbench check`: conformance of a plugin to its contract and the laws."""

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
            metavar="PLUGIN", help="Name or distribution of an installed plugin (udbench list plugins), or a folder."
        ),
    ],
    limit: Annotated[float, typer.Option(min=1, help="Time limit per check, in seconds.")] = LIMIT,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check that a plugin follows its contract, runs and passes the laws; suggest a fix for each failure.

    The plugin is loaded and tested in a child process. The exit code is 0 if all applicable checks pass, otherwise 1.
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
        for word, text in (("expected", finding.expected), ("actual", finding.came), ("fix", finding.mend)):
            output.say(f"        {word:<10}{text}")
