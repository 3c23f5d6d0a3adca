"""`udbench new-plugin`: a template package for a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from udbench.cli import context, output

Kind = Literal[
    "domain",
    "suite",
    "architecture",
    "adapter",
    "recipe",
    "score",
    "study",
    "launcher",
    "callback",
    "published",
    "command",
]


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package, such as my-textures.")],
    kind: Annotated[Kind, typer.Option(help="Kind of item that the plugin provides.")],
    out: Annotated[Path, typer.Option(help="Parent folder of the package's folder.")] = Path(),
) -> None:
    """Create a working plugin package: pyproject.toml, module, test and README.

    For example: udbench new-plugin my-textures --kind domain
    """
    from udbench.cli.verbs import VERBS
    from udbench.scaffold import new_package

    place = new_package(name, kind, out, context.registry(), verbs=VERBS)
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        output.say(str(path))
    output.say(f"\nnext    pip install -e {place}")
    output.say(f"        udbench check {name}")
    output.say(f"then    see {place / 'README.md'}")
