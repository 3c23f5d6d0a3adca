"""`udbench board build` and `udbench report`, from their words to what they write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import udbench
from support.records import made_result
from udbench.cli import report
from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    folder = tmp_path / "leaderboards" / "small"
    folder.mkdir(parents=True)
    (folder / "0a.json").write_text(made_result("0a").dumps())
    (folder / "broken\x1b.json").write_text("{")
    return folder


def test_a_site_is_written_with_what_others_published(cli: Call, board: Path) -> None:
    said = cli("board", "build", "--json")
    assert said.json["entries"] == 1 and said.json["site"] == "site/index.html" and said.json["boards"] > 1
    assert "skipped in small: broken�.json: not JSON" in said.err
    assert "Published: " in Path("site/boards/universal-ten.html").read_text()
    assert "site    site/index.html" in cli("board", "build").out
    said = cli("board", "build", "--out", "leaderboards")
    assert said.code == 2 and "not a site written by udbench" in said.err and (board / "0a.json").is_file()
    assert cli("board", "build", "--runs", "gone").code == 2
    assert "no such folder of leaderboards" in cli("board", "build", "--board", "gone").err


def test_a_plugin_whose_settings_cannot_be_told_breaks_no_site(
    cli: Call, board: Path, with_plugins: Callable[..., None]
) -> None:
    odd = udbench.Adapter(name="odd", attach=print, settings=int)  # type: ignore[arg-type]
    with_plugins(odd=SimpleNamespace(udbench_adapters=udbench.hookimpl(lambda: [odd])))
    said = cli("board", "build")
    assert said.code == 0 and "'odd' of plugin 'odd': its settings cannot be read" in said.err


def test_the_markdown_twin_is_checked(cli: Call, board: Path) -> None:
    path = Path("leaderboards/README.md")
    said = cli("board", "build", "--markdown", "--check")
    assert said.code == 1 and "update it with udbench board build --markdown" in said.err and not path.exists()
    assert cli("board", "build", "--markdown").out == f"wrote {path}\n" and not Path("site").exists()
    assert cli("board", "build", "--markdown", "--check").out == f"{path} is up to date\n"
    assert "[0](small/0a.json)" in path.read_text()
    (board / "0b.json").write_text(made_result("0b", seed=1).dumps())
    assert cli("board", "build", "--markdown", "--check").code == 1
    assert cli("board", "build", "--markdown", "--json").json == {"markdown": str(path), "changed": True}
    assert cli("board", "build", "--check").code == 2


def test_a_report_is_of_a_finished_run(cli: Call, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "0a"
    run.mkdir(parents=True)
    assert "no run '0a'" in cli("report", "0a").err
    (run / "config.toml").write_text("")
    assert "no result yet" in cli("report", "0a").err
    (run / "predictions.npz").write_bytes(b"p")
    made = made_result("0a", predictions_sha256=hashlib.sha256(b"p").hexdigest())
    (run / "result.json").write_text(made.dumps())
    assert cli("report", "0a").out == "report  runs/0a/report.html\n"
    assert "predictions.npz is damaged" in (run / "report.html").read_text()
    assert cli("report", "runs/0a", "--json").json == {"report": "runs/0a/report.html"}
    (tmp_path / "other.json").write_text(made.dumps())
    assert "not the result.json of a run" in cli("report", "other.json").err


def test_a_report_that_fails_is_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(run: Path, board: Path) -> Path:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(report, "_written", fails)
    assert report.written(tmp_path, tmp_path) is None
    assert "the report was not written: by nought; retry with udbench report" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_ends_with_its_report(cli: Call, tmp_path: Path) -> None:
    write_class_folders(tmp_path / "rings", {"small": 10, "large": 10})
    said = cli(
        "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:rings", "--set", "rounds=2",
        "--set", "batch_size=2", "--set", "image_size=16", "--device", "cpu", "--precision", "fp32", "--workers", "1",
        "--out", "mine",
    )  # fmt: skip
    assert said.code == 0 and "result  mine/result.json     report  mine/report.html" in said.out
    html = Path("mine/report.html").read_text()
    assert "learning rate" in html or "two rounds or more" in html
    assert "no entry on the same images" in html
    assert "images</dt>" in html
