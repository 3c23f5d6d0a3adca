"""The command line: one module per verb. These are the only rooms that print (reporters aside)."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from udbench.cli import board, context, data, eval, list, output, run, show
from udbench.errors import UdbenchError

ANYWHERE = ("--no-plugin", "--traceback")


class Verbs(TyperGroup):
    """The verbs of the core, and those that plugins bring, which are loaded only when called."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or context.plugin_verb(cmd_name)


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
app.command("list")(list.list_)
app.command("show")(show.show)
app.add_typer(data.app, name="data")
app.add_typer(board.app, name="board")


@app.callback()
def begin(
    no_plugin: Annotated[
        context.Names | None,
        typer.Option("--no-plugin", metavar="NAME", help="Leave a plugin out; may be given many times, anywhere."),
    ] = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the code an error arose; may be given anywhere.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=output.version)
    ] = False,
) -> None:
    context.begin(no_plugin or [])


def main(arguments: context.Names | None = None) -> None:
    """Run the command line and leave with its exit code: 0 done, 1 the run failed, 2 the user's mistake, 130 Ctrl-C."""
    words = hoisted(sys.argv[1:] if arguments is None else arguments)
    try:
        app(words)
    except UdbenchError as error:
        if "--traceback" in words:
            raise
        output.error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        output.note("interrupted")
        sys.exit(130)


def hoisted(words: context.Names) -> context.Names:
    """The words with those options first that may stand anywhere."""
    first: context.Names = []
    rest: context.Names = []
    pending = iter(words)
    for word in pending:
        if word == "--":
            rest += [word, *pending]
        elif word == "--no-plugin":
            first += [word, *[value for value in [next(pending, None)] if value is not None]]
        elif word.startswith("--no-plugin=") or word == "--traceback":
            first.append(word)
        else:
            rest.append(word)
    return first + rest
