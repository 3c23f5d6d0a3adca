"""The command line: one module per verb. These are the only rooms that print (reporters aside)."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from udbench.cli import (
    baseline,
    bench,
    board,
    context,
    data,
    eval,
    export,
    list,
    output,
    predict,
    run,
    show,
    sweep,
    transfer,
)
from udbench.errors import UdbenchError


class Verbs(TyperGroup):
    """The verbs of the core, and those that plugins bring, which are loaded only when called."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        ours = super().get_command(ctx, cmd_name)
        if ours is not None or ctx.resilient_parsing or cmd_name.startswith("-"):
            return ours
        return context.plugin_verb(cmd_name, self.list_commands(ctx))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            output.note("interrupted")
            raise typer.Exit(130) from None


def _begin(names: context.Names | None) -> None:
    """Runs before the verb is looked up: a plugin that is left out brings no verb either."""
    context.begin(names or [])


app = typer.Typer(
    name="udbench",
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train one network on many visual domains, score it on each, and compare methods on a leaderboard.",
    epilog="Begin with: udbench run --adapter domain-bn --arch resnet38",
)
app.command("run")(run.run)
app.command("eval")(eval.eval_)
app.command("predict")(predict.predict)
app.command("export")(export.export)
app.command("sweep")(sweep.sweep)
app.command("bench")(bench.bench)
app.command("transfer")(transfer.transfer)
app.command("list")(list.list_)
app.command("show")(show.show)
app.add_typer(data.app, name="data")
board.app.command("baseline")(baseline.baseline)
app.add_typer(board.app, name="board")


@app.callback()
def begin(
    no_plugin: Annotated[
        context.Names | None,
        typer.Option(
            "--no-plugin",
            metavar="NAME",
            help="Leave a plugin out; may be given many times, anywhere.",
            is_eager=True,
            callback=_begin,
        ),
    ] = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the code an error arose; may be given anywhere.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=output.version)
    ] = False,
) -> None:
    """What stands before the verb is read and done by its callbacks, and by `main`."""


def main(arguments: context.Names | None = None) -> None:
    """Run the command line and leave with its exit code: 0 done, 1 the run failed, 2 the user's mistake, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        try:
            app(hoisted(words))
        finally:
            sys.stdout.flush()
    except UdbenchError as error:
        if "--traceback" in words:
            import traceback

            traceback.print_exc()
        output.error(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader has gone. Python flushes once more on its way out, which must not fail aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def hoisted(words: context.Names) -> context.Names:
    """The words with those options first that may stand anywhere."""
    first: context.Names = []
    rest: context.Names = []
    pending = iter(words)
    for word in pending:
        if word == "--":
            rest += [word, *pending]
        elif word == "--no-plugin":
            name = next(pending, "-")
            if name.startswith("-"):
                raise UdbenchError("--no-plugin: name the plugin to leave out (udbench list plugins)")
            first += [word, name]
        elif word.startswith("--no-plugin=") or word == "--traceback":
            first.append(word)
        else:
            rest.append(word)
    return first + rest
