"""The command line: one module per verb. These are the only rooms that print (callbacks aside)."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from udbench.cli import context, output, streams
from udbench.cli.verbs import VERBS
from udbench.errors import UdbenchError
from udbench.machine import leave_world

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.ESTALE)
"""What a system refuses of files and folders, wherever it does: no bug of ours, and told in one sentence."""

BROKEN_PIPE = 141
"""As of a command that the signal for it ends."""


class LazyCommands(Mapping[str, Any]):
    """The commands of the core's verbs, each of which is imported and made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        return context.command(name, VERBS[name][0])

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class LazyOption(TyperOption):
    """An option that costs nothing where it is left away: Typer would import pydantic to see that nothing is there."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        if value is not None or self.required:
            return super().process_value(ctx, value)
        return None if self.callback is None else self.callback(ctx, self, value)


class Verbs(TyperGroup):
    """The verbs of the core, and those that plugins bring: all of them loaded only when called.

    The help lists those of the core by their summaries, so it imports none of them, and no plugin.
    """

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.commands = cast(Any, LazyCommands())

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)
        for each in params:
            if type(each) is TyperOption:
                cast(Any, each).__class__ = LazyOption
        return params

    def list_commands(self, ctx: Any) -> context.Names:
        return [*VERBS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return TyperCommand(cmd_name, help=VERBS[cmd_name][1]) if cmd_name in VERBS else None

    def resolve_command(self, ctx: Any, args: context.Names) -> Any:
        name, *rest = args
        if name in VERBS:
            return name, self.commands[name], rest
        if ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        return name, context.plugin_verb(name, [*VERBS]), rest

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


@app.callback()
def begin(
    no_plugin: Annotated[
        context.Names | None,
        typer.Option(
            "--no-plugin",
            metavar="NAME",
            help="Leave a plugin out, by its name, its distribution's, or DISTRIBUTION:NAME; may be given many times, "
            "anywhere.",
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


def _leave_quickly() -> None:
    """On its way out Python looks through all objects for cycles, a seventh of a short verb's time. Libraries of
    compiled code want it to, and count what is left."""
    if "torch" not in sys.modules:
        gc.freeze()


def main(arguments: context.Names | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 done, 1 the run failed or its answer could not be written, 2 the user's mistake, 130 Ctrl-C, 141 whoever read
    standard output has gone.
    """
    words = sys.argv[1:] if arguments is None else arguments
    context.words = tuple(words)
    if arguments is None:
        atexit.register(_leave_quickly)
    answers = streams.guard()
    if not _takes_part(words):
        leave_world()
    try:
        app(global_options_first(words))
        code: Any = 0
    except UdbenchError as error:
        if "--traceback" in words:
            import traceback

            traceback.print_exc()
        output.error(str(error))
        code = error.exit_code
    except OSError as error:
        if error.errno not in REFUSED or not error.filename:
            raise
        if "--traceback" in words:
            import traceback

            traceback.print_exc()
        output.error(f"{error.filename}: {error.strerror}; see who may read and write there (ls -ld), or name another")
        code = UdbenchError.exit_code
    except SystemExit as left:
        code = left.code
    sys.stdout.flush()
    if not code and answers is not None and answers.lost is not None:
        code = _tell_lost(answers.lost)
    sys.exit(code)


def _takes_part(words: context.Names) -> bool:
    """Whether a command may be one process of several: `run`, and a plugin's verb that torchrun itself started."""
    verb = _verb_of(words)
    return verb == "run" or (verb not in VERBS and "TORCHELASTIC_RUN_ID" in os.environ)


def _verb_of(words: context.Names) -> str:
    rest = iter(words)
    for word in rest:
        if word == "--no-plugin":
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def _tell_lost(error: OSError) -> int:
    """Say that an answer could not be written, and the exit code for it. A reader that has gone wants no more."""
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    closed = error.errno == errno.EBADF
    why = "is closed" if closed else f"cannot be written: {error.strerror or error}"
    output.error(f"standard output {why}, so the answer is lost; what was asked for is done")
    return 1


def global_options_first(words: context.Names) -> context.Names:
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
