"""The command line in this process, in an empty folder, with a cache of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.studies import Made
from udbench.cli import main, study_runs


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("UDBENCH_DATA", "UDBENCH_DISABLE"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(words))
        out, err = capsys.readouterr()
        code = left.value.code
        assert code is None or isinstance(code, int)
        return Said(code or 0, out, err)

    return call


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Made-up runs in place of the child processes of a sweep."""
    stand_in = Made()
    monkeypatch.setattr(study_runs, "_child", stand_in)
    return stand_in
