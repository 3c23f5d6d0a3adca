"""`udbench board`: leaderboards."""

from __future__ import annotations

import typer

from udbench.cli.board import add, baseline, build, compare, migrate, show, verify

app = typer.Typer(name="board", add_completion=False, no_args_is_help=True, help="Compare results on a leaderboard.")
app.command("show")(show.show)
app.command("add")(add.add)
app.command("verify")(verify.verify)
app.command("compare")(compare.compare)
app.command("baseline")(baseline.baseline)
app.command("build")(build.build)
app.command("migrate")(migrate.migrate)
