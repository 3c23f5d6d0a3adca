"""The conformance kit for pytest: what `udbench check` asks of a plugin, one test for each question.

As a pytest plugin, where no test need be written (once for each plugin that is to be asked):

    pytest -p udbench.testing.pytest_plugin --udbench-check=my-plugin

Or in a test module, among the author's own tests:

    from udbench.testing.pytest_plugin import checks

    @checks("my-plugin")
    def test_it_keeps_the_contract(check, tmp_path):
        check(tmp_path)

It is asked for by name, so that it touches nobody else's tests.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.errors import UdbenchError
from udbench.plugin.loader import load
from udbench.testing.conformance.findings import Broken, Finding, Skipped
from udbench.testing.conformance.kit import LIMIT, Check, checks_of, listened
from udbench.testing.conformance.target import folder_target, target_of


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --udbench-check."""
    parser.getgroup("udbench", "udbench's conformance kit").addoption(
        "--udbench-check",
        action="append",
        default=[],
        metavar="PLUGIN",
        help="ask a plugin of udbench (its name, or its package's folder) all that `udbench check` asks",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each question to the plugins of --udbench-check."""
    plugins: list[str] = config.getoption("udbench_check")  # pyright: ignore[reportAssignmentType]
    for plugin in plugins:
        try:
            found = _checks(plugin, LIMIT)
        except UdbenchError as error:
            raise pytest.UsageError(f"--udbench-check: {error}") from None
        items += [
            Question.from_parent(session, name=f"{plugin}-{each.subject}-{each.title}", check=each) for each in found
        ]


class Question(pytest.Item):
    """One question to a plugin, as a test."""

    def __init__(self, *, check: Check, **given: Any) -> None:
        super().__init__(**given)
        self.check = check

    def runtest(self) -> None:
        """Ask it, in a folder of its own."""
        with tempfile.TemporaryDirectory(prefix="udbench-check-", ignore_cleanup_errors=True) as folder:
            _Asked(self.check)(Path(folder))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What was expected, what came and how to mend it, without a traceback of ours."""
        if isinstance(excinfo.value, Broken):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """For pytest's headings."""
        return self.path, None, self.name


def checks(plugin: str | Path, *, limit: float = LIMIT) -> pytest.MarkDecorator:
    """Parametrise a test over all checks of a plugin; its parameter is called `check`.

    `plugin` is the distribution's or the entry point's name, or the folder of a package that need not be installed
    (a Path, or what is written as one: "./my-plugin").
    Calling a check with a folder to write in raises an AssertionError that says what was expected, what came and how
    to mend it. The plugin is loaded in a process of its own first, for at most `limit` seconds, and here only where
    that went well. Raises UnknownNameError when no such plugin is installed, and DataError for a folder without one.
    """
    found = _checks(plugin, limit)
    ids = [f"{each.subject}-{each.title}" for each in found]
    return pytest.mark.parametrize("check", [_Asked(each) for each in found], ids=ids)


class _Asked:
    """A check that can be called."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __call__(self, folder: Path) -> None:
        try:
            self.check.ask(folder)
        except Skipped as skipped:
            pytest.skip(str(skipped))


@functools.cache
def _checks(plugin: str | Path, limit: float) -> list[Check]:
    found: list[Check] = []
    names: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        target = folder_target(plugin, Path(scratch)) if isinstance(plugin, Path) else target_of(plugin, Path(scratch))
        for message in listened(target, Path(scratch), limit=limit, full=False):
            if isinstance(message, Finding):
                found.append(Check(subject=message.subject, title=message.check, ask=_again(message)))
            else:
                names = message
        if not names:
            return found
        with target.on_path():
            everything = load()
    own = [item for kind, name in names for item in everything.items(kind) if item.name == name]
    return found + [check for item in own if target.owns(item.owner) for check in checks_of(item, everything)]


def _again(finding: Finding) -> Callable[[Path], None]:
    """What was found already, as a question."""

    def ask(_: Path) -> None:
        if finding.outcome == "failed":
            raise Broken(finding.expected, finding.came, finding.mend)

    return ask
