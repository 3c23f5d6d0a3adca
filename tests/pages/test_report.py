from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from udbench.errors import DataError
from udbench.pages import report
from udbench.pages.methods import Catalog
from udbench.pages.report import write_report
from udbench.results import Start, read_result

Read = Callable[[Path, str], str]


@pytest.fixture
def run(entries: Path, tmp_path: Path) -> Path:
    """The run of entry b0: of two domains, with a log."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(entries / "small" / "b0.json", folder / "result.json")
    shutil.copy(entries / "small" / "b0.npz", folder / "predictions.npz")
    events: list[dict[str, Any]] = [{"event": "started", "start": 0, "round": None}]
    events += [
        {"event": "stepped", "round": n, "lr": 0.1 / n, "losses": {"left": 2 / n, "right": float("nan")},
         "images": 4 * n, "seconds": n / 2}
        for n in range(1, 30)
    ]  # fmt: skip
    events += [{"event": "scored", "round": 29, "split": "val", "errors": {"left": 10, "right": 20}}] * 2
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, events)))
    return folder


def test_a_report_has_curves_errors_times_and_mistakes(run: Path, entries: Path, read: Read) -> None:
    path = write_report(run, entries, Catalog(), "0")
    text, html = read(run, "report.html"), path.read_text()
    assert "other on toy , seed 0" in text
    assert "Best method on the board: domain-bn on toy , sharing deep : 20.2 % over 2 seeds" in text
    assert "this run is +27.3 points from it" in text and "cannot be told from chance with 20 images" in text
    assert html.count('<svg class="small"') == 4, "a loss, the errors, the learning rate, the speed"
    assert "training 1.0 s" in text and "first tenth of the log 8 images per second; the rest 8" in text
    assert html.count("<img ") == 12, "six of each domain at most"
    assert path.read_bytes() == write_report(run, entries, Catalog(), "0").read_bytes()


def test_a_run_that_went_on_elsewhere_says_so_in_its_report(run: Path, entries: Path, read: Read) -> None:
    write_report(run, entries, Catalog(), "0")
    assert "resumed in another environment" not in read(run, "report.html")
    result = read_result(run / "result.json")
    made = result.environment.model_dump()
    starts = (Start(**made, first=1, last=2), Start(**{**made, "torch": "3 <b>"}, first=3, last=3))
    (run / "result.json").write_text(result.model_copy(update={"starts": starts}).dumps())
    write_report(run, entries, Catalog(), "0")
    text = read(run, "report.html")
    assert "resumed in another environment" in text
    assert "rounds 1 to 2: torch 2" in text and "rounds 3 to 3: torch 3 &lt;b&gt;" in (run / "report.html").read_text()


def test_pictures_are_bounded_in_number_and_size(
    run: Path, entries: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    monkeypatch.setattr(report, "MOST_PICTURES", 2)
    html = write_report(run, entries, Catalog(), "0").read_text()
    assert html.count("<img ") == 2 and len(html) < 100_000


def test_what_is_not_there_is_said(run: Path, entries: Path, bench: Any, tmp_path: Path, read: Read) -> None:
    (run / "log.jsonl").unlink()
    shutil.rmtree(bench.stores[0].path)
    write_report(run, tmp_path / "no boards", Catalog(), "0")
    text = read(run, "report.html")
    assert "no log.jsonl" in text and "no entry on the same images" in text
    assert "No images for left (no store of these images is here)" in text
    (run / "predictions.npz").unlink()
    write_report(run, entries, Catalog(), "0")
    assert "Not available: predictions.npz is missing" in read(run, "report.html")
    (run / "result.json").unlink()
    with pytest.raises(DataError, match="no such result"):
        write_report(run, entries, Catalog(), "0")


def test_the_boards_best_may_be_the_method_itself(run: Path, entries: Path, read: Read) -> None:
    shutil.copy(entries / "small" / "a0.json", run / "result.json")
    write_report(run, entries, Catalog(), "0")
    assert "which is this very method" in read(run, "report.html")
    alone = read_result(run / "result.json").model_copy(update={"split": "val"})
    (run / "result.json").write_text(alone.dumps())
    write_report(run, entries, Catalog(), "0")
    text = read(run, "report.html")
    assert "Errors are on validation images" in text and "no entry on the same images" in text


def test_networks_that_share_nothing_have_times_of_their_own(run: Path, entries: Path, read: Read) -> None:
    for name in ("left", "right"):
        own = run / "domains" / name
        own.mkdir(parents=True)
        shutil.copy(entries / "small" / "a0.json", own / "result.json")
        step = '{"event": "stepped", "round": %d, "losses": {"%s": 1}, "lr": 1, "images": 1, "seconds": 1}\n'
        (own / "log.jsonl").write_text("".join(step % (n, name) for n in range(3)))
    (run / "log.jsonl").write_text('{"event": "finished"}\n')
    html = write_report(run, entries, Catalog(), "0").read_text()
    assert "Each network separately" in html and html.count('<svg class="small"') == 2
