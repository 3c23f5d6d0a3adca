"""The conformance kit: every check of a plugin, and the doing of them in a process that may not come back."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from udbench.errors import UdbenchError, how_ended
from udbench.plugin import hookspecs, loader
from udbench.plugin.registry import KINDS, Item, Registry
from udbench.processes.isolated import Ended, Report, Silent, run_isolated
from udbench.testing.conformance.findings import Broken, Finding, Outcome, Skipped, said
from udbench.testing.conformance.target import Target

LIMIT = 120.0
LOADS = "it loads, and brings items of the right kinds"
TORCH = "torch is not imported when it loads"

# Of each kind of item: what is asked of it, and the module here and its function that asks. Functions get the item,
# what else is installed, and a folder to write in.
CHECKS: Mapping[str, Sequence[tuple[str, str]]] = {
    "domains": (
        ("its facts are whole, licence and citation too", "images:facts"),
        ("its images can be listed and read, the same each time", "images:reading"),
        ("its source can be handed to another process", "images:pickling"),
        ("a tiny network trains on it and is scored", "smoke_runs:on_a_domain"),
    ),
    "archs": (
        ("it cites its source", "metadata:cited"),
        (
            "its settings have defaults and refuse what they do not know",
            "metadata:settings",
        ),
        (
            "it builds for two image sizes, with stages, heads and gradients",
            "networks:builds",
        ),
        (
            "the same seed builds the same network, whoever else is there",
            "networks:repeats",
        ),
        ("domains together and one by one give the same gradients", "networks:groups"),
    ),
    "adapters": (
        ("it cites its source", "metadata:cited"),
        (
            "its settings have defaults and refuse what they do not know",
            "metadata:settings",
        ),
        ("it attaches to a small network, which trains", "methods:attaches"),
        (
            "law 1: domains together and one by one give the same gradients",
            "methods:groups",
        ),
        ("law 2: while one domain trains, what others own stays bitwise", "methods:owns"),
        (
            "law 4: a domain's rows are normalised by themselves in training",
            "methods:normalises",
        ),
        ("law 5: with one domain it is the plain network, bit for bit", "methods:is_plain"),
        ("law 6: a further domain adds its own parameters and no others", "methods:counts"),
        ("test images are scored as its `evaluation` says", "methods:evaluates"),
    ),
    "recipes": (("its settings are a recipe's", "metadata:recipe"),),
    "callbacks": (("it hears a tiny run from its start to its end", "smoke_runs:heard"),),
    "suites": (("its domains, recipe and score are there, and fit together", "metadata:suite"),),
    "scores": (
        ("its score is a finite number, and its definition says of what", "scores:finite"),
        ("the same errors give the same score, in any order of the domains", "scores:of_errors_alone"),
        ("lower errors never score worse, as `lower_is_better` says", "scores:directed"),
    ),
    "studies": (
        ("its grid can be read", "studies:grid"),
        ("what its rows name is installed, with settings that it takes", "studies:rows"),
    ),
    "published": (
        ("its file can be read", "studies:file"),
        ("what its tables name is installed, each method once, errors in percent", "studies:tables"),
    ),
    "launchers": (
        (
            "its settings have defaults and refuse what they do not know",
            "metadata:settings",
        ),
        ("it starts tasks, loses none, and reports how each stands", "launchers:starts"),
    ),
    "commands": (
        ("its verb loads, without torch", "commands:loads"),
        ("its verb answers, and is none of the core's", "commands:answers"),
    ),
}
assert set(CHECKS) == set(KINDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One question about one thing. `ask` gets a folder to write in, and raises Broken or Skipped."""

    subject: str
    title: str
    ask: Callable[[Path], None]

    def found(self, scratch: Path) -> Finding:
        """Ask, and say what came of it. What a plugin raises is its failure."""
        began = time.perf_counter()

        def finding(outcome: Outcome, expected: str = "", came: str = "", mend: str = "") -> Finding:
            return Finding(
                subject=self.subject,
                check=self.title,
                outcome=outcome,
                expected=expected,
                came=came,
                mend=mend,
                seconds=round(time.perf_counter() - began, 3),
            )

        try:
            self.ask(scratch)
        except Skipped as skipped:
            return finding("skipped", came=str(skipped))
        except Broken as broken:
            return finding("failed", broken.expected, broken.came, broken.mend)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return finding("failed", self.title, said(error), f"see {_place(error)}")
        return finding("passed")


def _place(error: BaseException) -> str:
    """Where in the code an error arose: the file and line that are nearest to it."""
    trace = error.__traceback__
    where = "the plugin's code"
    while trace is not None:
        where = f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return where


def subject_of(item: Item) -> str:
    """What an item is called in findings."""
    return f"{KINDS[item.kind].word} '{item.name}'"


def checks_of(item: Item, everything: Registry) -> list[Check]:
    """What is asked of one item."""
    return [
        Check(subject=subject_of(item), title=title, ask=_asking(function, item, everything))
        for title, function in CHECKS[item.kind]
    ]


def _asking(function: str, item: Item, everything: Registry) -> Callable[[Path], None]:
    def ask(scratch: Path) -> None:
        module, _, name = function.partition(":")
        getattr(importlib.import_module(f"{__package__}.{module}"), name)(item, everything, scratch)

    return ask


def loaded(target: Target) -> tuple[list[Finding], list[Item], Registry]:
    """Load a plugin by itself, then all that is installed: what there is to say of that, its items, and everything.

    To be called where torch is not imported yet.
    """
    os.environ.pop(loader.DISABLE, None)
    before = time.perf_counter()
    own = loader.load(chosen=target.owns)
    took = round(time.perf_counter() - before, 3)
    torch = "torch" in sys.modules
    everything = loader.load()
    findings = _failures(own) or [Finding(subject="plugin", check=LOADS, outcome="passed", seconds=took)]
    findings += [check.found(Path()) for check in _about(target, own, everything, torch)]
    items = [item for kind in KINDS for item in own.items(kind)]
    return findings, items, everything


def _failures(own: Registry) -> list[Finding]:
    return [
        Finding(
            subject=f"plugin '{failure.owner.name}'",
            check=LOADS,
            outcome="failed",
            expected="its module is imported, its hooks return lists of items of their kind, each under a good name",
            came=failure.cause,
            mend="mend the module, or the hook that the message names; udbench.plugin.hookspecs says what each returns",
        )
        for failure in own.failures
    ]


def _about(target: Target, own: Registry, everything: Registry, torch: bool) -> list[Check]:
    def light(_: Path) -> None:
        if torch:
            raise Broken(
                "loading it and calling its hooks leaves torch alone, which takes seconds to import",
                "torch is imported",
                "import torch, and modules that do, inside the functions that use it",
            )

    def contract(_: Path) -> None:
        for entry, text in target.contracts.items():
            line = f'[project.entry-points."{loader.CONTRACTS}"] {entry} = "v{hookspecs.CONTRACT}"'
            if not text:
                raise Broken(
                    f"it declares the contract v{hookspecs.CONTRACT}", f"'{entry}' declares none", f"add {line}"
                )
            try:
                loader.check_contract(text)
            except UdbenchError as error:
                raise Broken("it declares a contract that is kept here", str(error), f"write {line}") from None

    def licence(_: Path) -> None:
        if not target.licence.strip():
            raise Broken(
                "its distribution names a licence",
                "none is named",
                'add license = "Apache-2.0", or yours, to [project]',
            )

    def brings(_: Path) -> None:
        if not any(own.items(kind) for kind in KINDS):
            raise Broken(
                "it brings something",
                "its hooks bring nothing that could be taken",
                "return at least one item from a hook that is marked with @udbench.hookimpl",
            )

    def names(_: Path) -> None:
        for kind in KINDS:
            for name in own.names(kind):
                if others := [item.owner for item in everything.items(kind) if item.name == name]:
                    strangers = [owner for owner in others if not target.owns(owner)]
                    if strangers:
                        raise Broken(
                            "no name of its items is taken",
                            f"{KINDS[kind].word} '{name}' is also brought by {strangers[0]}",
                            "choose another name",
                        )

    return [
        Check(subject="plugin", title=title, ask=ask)
        for title, ask in (
            (TORCH, light),
            ("it declares the contract that it was written for", contract),
            ("its distribution names a licence", licence),
            ("it brings something", brings),
            ("its names are nobody else's", names),
        )
    ]


def examine(tell: Report, target: Target, scratch: str, full: bool) -> None:
    """In a process of its own: ask everything, telling what is asked before and what was found after.

    Unless `full`, load the plugin and tell its items alone.
    """
    with target.on_path():
        tell({"begins": ["plugin", LOADS]})
        findings, items, everything = loaded(target)
        for finding in findings:
            tell({"finding": finding.document()})
        if not full:
            return tell({"items": [[item.kind, item.name] for item in items]})
        asked = [check for item in items for check in checks_of(item, everything)]
        for number, check in enumerate(asked):
            tell({"begins": [check.subject, check.title]})
            folder = Path(scratch) / f"{number:03d}"
            folder.mkdir()
            tell({"finding": check.found(folder).document()})
    return None


def examined(target: Target, scratch: Path, *, limit: float = LIMIT) -> Iterator[Finding]:
    """All findings of a plugin, as they come. A check that takes longer than `limit` seconds is a failure, and the
    last one; so is one in which the process ends."""
    outcomes: list[str] = []
    for message in listened(target, scratch, limit=limit, full=True):
        if isinstance(message, Finding):
            outcomes.append(message.outcome if message.subject != "plugin" else "")
            yield message
    if not {"passed", "failed"} & set(outcomes):
        yield Finding(
            subject="plugin",
            check="something that it brings was checked",
            outcome="failed",
            expected="at least one check of an item applies",
            came="all were skipped" if "skipped" in outcomes else "it brings nothing to check",
            mend="bring an item that the kit can try: see `udbench new-plugin`",
        )


def listened(target: Target, scratch: Path, *, limit: float, full: bool) -> Iterator[Finding | list[tuple[str, str]]]:
    """What `examine` tells: findings, and at last, unless `full`, the items as (kind, name)."""
    subject, check = "plugin", LOADS
    try:
        for message in run_isolated(examine, target, str(scratch), full, limit=limit):
            match message:
                case {"begins": [str() as subject, str() as check]}:
                    continue
                case {"finding": dict() as finding}:
                    yield Finding(**finding)
                case {"items": list() as items}:
                    yield [(kind, name) for kind, name in items]
                case _:
                    raise AssertionError(message)
    except Silent:
        yield Finding(
            subject=subject,
            check=check,
            outcome="failed",
            expected=f"it is done within {limit:g} s",
            came="it was not, and was stopped; nothing behind it was checked",
            mend="let it wait for nothing (no network, no sleep, no lock); "
            + ("import what is slow inside functions" if check == LOADS else "or allow more time with --limit SECONDS"),
            seconds=limit,
        )
    except Ended as ended:
        yield Finding(
            subject=subject,
            check=check,
            outcome="failed",
            expected="it returns, or raises an exception",
            came=f"the process {how_ended(ended.code)}; nothing behind it was checked",
            mend="call neither sys.exit nor os._exit; where a library crashes, see what it said above",
        )
