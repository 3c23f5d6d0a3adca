"""`udbench doctor`: checks of this machine and installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import context, output
from udbench.text import counted

_MARKS = {"ok": "  ", "warning": "! ", "error": "X "}


def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check versions, devices, memory, disks, data and plugins, and suggest a fix for each problem.

    The exit code is 0 if runs can work, and 1 if an error prevents them.
    """
    from dataclasses import asdict

    from udbench.doctor import run_checks

    checks = []
    topic = ""
    for check in run_checks(data, context.disabled()):
        checks.append(check)
        if json:
            continue
        if check.topic != topic:
            topic = check.topic
            output.say(topic)
        output.say(f"{_MARKS[check.state]}{check.name}: {check.detail}")
        if check.fix:
            output.say(f"    {check.fix}")
    errors, warnings = (sum(check.state == state for check in checks) for state in ("error", "warning"))
    if json:
        document = {"usable": not errors, "errors": errors, "warnings": warnings}
        output.emit_json({**document, "checks": [asdict(check) for check in checks]})
    elif errors:
        output.say(f"runs cannot work: {counted(errors, 'error')} (X), {counted(warnings, 'warning')} (!)")
    else:
        output.say("runs can work" + (f"; {counted(warnings, 'warning')} (!)" if warnings else ""))
    if errors:
        raise typer.Exit(1)
