"""`udbench doctor`: what this machine and installation can do, and what to do about each trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import context, output


def doctor(
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Check versions, devices, memory, disks, data and plugins, and suggest a fix for each problem.

    Ends with 0 where runs can be made, and with 1 where something stops them.
    """
    from dataclasses import asdict

    from udbench.doctor import look

    lines = []
    topic = ""
    for line in look(data, context.disabled()):
        lines.append(line)
        if json:
            continue
        if line.topic != topic:
            topic = line.topic
            output.say(topic)
        mark = {"good": "  ", "trouble": "! ", "stops": "X "}[line.state]
        output.say(f"{mark}{line.what}: {line.said}")
        if line.mend:
            output.say(f"    {line.mend}")
    counted = {state: sum(line.state == state for line in lines) for state in ("trouble", "stops")}
    if json:
        output.emit_json({"usable": not counted["stops"], **counted, "lines": [asdict(line) for line in lines]})
    elif counted["stops"]:
        output.say(f"{counted['stops']} things stop runs (X), {counted['trouble']} are troubles (!)")
    else:
        output.say("runs can be made" + (f"; {counted['trouble']} troubles (!)" if counted["trouble"] else ""))
    if counted["stops"]:
        raise typer.Exit(1)
