"""A cluster's warning reaches verbs that have nothing to save at that moment, too."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from udbench.cli import context
from udbench.errors import SettingError
from udbench.plugin.session import Session


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_sigusr1_ends_nothing_and_what_was_there_comes_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with context.warned():
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
@pytest.mark.parametrize("words", [["run", "--adapter", "domain-bn", "--arch", "resnet38"], ["sweep", "pocket-all"]])
def test_a_verb_that_is_warned_while_it_gets_ready_goes_on(
    cli: Any, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    def warned_and_then(_: Session) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        raise SettingError("it went on to this")

    monkeypatch.setattr(Session, "registry", property(warned_and_then))
    said = cli(*words)
    assert said.code == 2 and "it went on to this" in said.err
