"""The command line: one module per verb. Only these modules print (besides callbacks)."""

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
"""Errors of the file system that are reported in one sentence, without a traceback."""

BROKEN_PIPE = 141
"""Exit code of a command that SIGPIPE ends."""


class LazyCommands(Mapping[str, Any]):
    """The commands of the core's verbs, each imported on first access."""

    def __getitem__(self, name: str) -> Any:
        return context.command(name, VERBS[name][0])

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class LazyOption(TyperOption):
    """An option that skips Typer's processing (and its import of pydantic) when it is not given."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        if value is not None or self.required:
            return super().process_value(ctx, value)
        return None if self.callback is None else self.callback(ctx, self, value)


class Verbs(TyperGroup):
    """The verbs of the core and of plugins, each loaded only when called.

    The help lists the summaries of the core's verbs only, so it imports no verb and no plugin.
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
    """Runs before the verb is looked up, since a disabled plugin provides no verbs."""
    context.begin(names or [])


app = typer.Typer(
    name="udbench",
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train one network on many visual domains, evaluate it on each, and compare methods on a leaderboard.",
    epilog="Get started: udbench run --adapter domain-bn --arch resnet38",
)


@app.callback()
def begin(
    no_plugin: Annotated[
        context.Names | None,
        typer.Option(
            "--no-plugin",
            metavar="NAME",
            help="Disable a plugin, given as NAME, DISTRIBUTION or DISTRIBUTION:NAME; repeatable, at any position.",
            is_eager=True,
            callback=_begin,
        ),
    ] = None,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Print the traceback of an error; at any position.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=output.version)
    ] = False,
) -> None:
    """Global options, handled by their callbacks and by `main`."""


def _leave_quickly() -> None:
    """Skip the garbage collection at exit, a seventh of the time of a short verb. Not with torch, whose libraries
    rely on it."""
    if "torch" not in sys.modules:
        gc.freeze()


def main(arguments: context.Names | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 success, 1 the run failed or its output could not be written, 2 user error, 130 Ctrl-C, 141 broken pipe.
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
        output.error(f"{error.filename}: {error.strerror}; check its permissions (ls -ld), or choose another path")
        code = UdbenchError.exit_code
    except SystemExit as left:
        code = left.code
    sys.stdout.flush()
    if not code and answers is not None and answers.lost is not None:
        code = _tell_lost(answers.lost)
    sys.exit(code)


def _takes_part(words: context.Names) -> bool:
    """Whether a command may be one of several processes: `run`, or a plugin's verb that torchrun started."""
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
    """Report that the output could not be written; the exit code. A broken pipe is not reported."""
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    closed = error.errno == errno.EBADF
    why = "is closed" if closed else f"cannot be written: {error.strerror or error}"
    output.error(f"standard output {why}: the command succeeded, but its output is lost")
    return 1


def global_options_first(words: context.Names) -> context.Names:
    """The arguments with the global options moved to the front."""
    first: context.Names = []
    rest: context.Names = []
    pending = iter(words)
    for word in pending:
        if word == "--":
            rest += [word, *pending]
        elif word == "--no-plugin":
            name = next(pending, "-")
            if name.startswith("-"):
                raise UdbenchError("--no-plugin: give the name of the plugin to disable (udbench list plugins)")
            first += [word, name]
        elif word.startswith("--no-plugin=") or word == "--traceback":
            first.append(word)
        else:
            rest.append(word)
    return first + rest
