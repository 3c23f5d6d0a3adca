"""The site of boards: what its pages say, whoever wrote the entries, and that it is there whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.records import made_result
from udbench.errors import DataError, UdbenchError
from udbench.pages import site as building
from udbench.pages.markdown import twin
from udbench.pages.methods import Catalog
from udbench.pages.whole import MARKER, whole_folder
from udbench.plugin.contracts_data import Domain, DomainSpec, Suite
from udbench.plugin.contracts_run import Score
from udbench.plugin.published import PublishedRow, PublishedTable
from udbench.results import read_result
from udbench.text import slug

Site = Callable[..., tuple[Path, building.Built]]
Read = Callable[[Path, str], str]


def test_a_board_has_its_methods_intervals_standing_and_figures(entries: Path, site: Site, read: Read) -> None:
    known = Catalog(
        suites={"small": Suite(name="small", domains=("left", "right"), recipe="short", summary="two sets")}
    )
    out, built = site(known, scores=[Score(name="mean-error", compute=dict, definition="the mean of errors")])
    assert (built.boards, built.entries, built.pages, dict(built.refused)) == (1, 4, 3 + 2 + 1 + 4, {})
    assert (out / MARKER).is_file() and not [*out.parent.glob(".site*")]
    assert "3 methods 4 entries 0 verified Lowest mean error: 20.2 %, domain-bn" in read(out, "index.html")
    board = read(out, "boards/small.html")
    assert "two sets" in board and "1 domain-bn toy deep short 20.2 ±" in board and "Refused" not in board
    assert (
        "Filled: on the Pareto front" in board
        and "Error against bits" in board
        and "Nemenyi's critical difference" in board
    )
    assert "Here: toy 0.00 M parameters, as with domain-bn, other, third" in board
    html = (out / "boards/small.html").read_text()
    assert html.count('<svg class="plot"') == 3 and 'aria-label="seed 1 of domain-bn"' in html
    assert "the mean of errors" in read(out, "figures.html")


def test_an_entry_has_its_config_command_confusions_hashes_and_pictures(
    entries: Path, site: Site, read: Read, bench: Any
) -> None:
    out, _ = site()
    plain = read(out, "entries/small/a0.html")
    record = read_result(entries / "small" / "a0.json")
    assert "17.9 % mean error rank 1 of 3 reported" in plain and record.predictions_sha256 in plain
    assert "Confusions of its worst domain, right" in plain and "Rows: the true class" in plain
    assert "built without test images" in plain and "the record holds no curves" in plain and '"rounds": 3' in plain
    assert "udbench board verify a0 --reproduce" in plain and "domain 'left' is not installed" in plain
    out, _ = site(images=True, out="pictures")
    html = (out / "entries/small/a0.html").read_text()
    assert html.count("<img ") == 4 and "✗" in html and "✓" in html, "a mistake and a success of each domain"
    shutil.rmtree(bench.stores[0].path)
    out, _ = site(images=True, out="fewer")
    html = (out / "entries/small/a0.html").read_text()
    assert html.count("<img ") == 2
    assert "without a store of the images" in read(out, "domains/left.html")


def test_a_domain_has_its_facts_licence_and_a_sheet(entries: Path, site: Site, read: Read) -> None:
    spec = DomainSpec(
        name="left", num_classes=2, num_train=5, num_test=20, channels=3, flip=True, content="of one's own",
        licence="CC-BY <4>", homepage="https://example.org/?a=1&b=2", citation="Somebody 2017",
    )  # fmt: skip
    odd = DomainSpec(
        name="right", num_classes=3, num_train=0, num_test=0, channels=1, flip=False, content="c", licence="",
        homepage="javascript:alert(1)", citation="",
    )  # fmt: skip
    domains = {each.name: Domain(spec=each, open=lambda root: None) for each in (spec, odd)}  # type: ignore[arg-type, return-value]
    out, _ = site(Catalog(domains=domains))
    left = read(out, "domains/left.html")
    assert all(each in left for each in ("CC-BY <4>", "https://example.org/?a=1&b=2", "Somebody 2017", "8 × 8 pixels"))
    assert (out / "domains/left.html").read_text().count("<img ") == 2, "an image of each class"
    assert "domain-bn 17.5 2" in left and "javascript:alert(1)" in read(out, "domains/right.html")
    assert 'href="javascript' not in (out / "domains/right.html").read_text()


def test_curves_are_those_of_the_very_run(entries: Path, site: Site, read: Read, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a0"
    run.mkdir(parents=True)
    shutil.copy(entries / "small" / "a0.json", run / "result.json")
    steps = [{"event": "stepped", "round": n, "lr": 0.1, "losses": {"left": 1 / n}, "images": 4 * n, "seconds": n}
             for n in range(1, 400)]  # fmt: skip
    (run / "log.jsonl").write_text("no json\n[1]\n" + "\n".join(map(json.dumps, steps)) + '\n{"event": "stepp')
    out, _ = site(runs=[tmp_path / "runs"])
    html = (out / "entries/small/a0.html").read_text()
    assert html.count('<svg class="small"') == 3 and "loss, left" in html, "loss, learning rate, images a second"
    assert "the record holds no curves" in read(out, "entries/small/a1.html")
    other = read_result(run / "result.json").model_copy(update={"seconds": 2.0})
    (run / "result.json").write_text(other.dumps())
    out, _ = site(runs=[tmp_path / "runs"], out="others")
    assert "the record holds no curves" in read(out, "entries/small/a0.html"), "another run of the same id"


def test_names_that_would_do_harm_are_words_and_nothing_else(hostile: Path, site: Site, read: Read) -> None:
    out, built = site(images=True)
    assert built.entries == 8 and not built.refused
    names = [path.relative_to(out).as_posix() for path in out.rglob("*")]
    assert all(name.isascii() and len(name) < 120 and ".." not in name for name in names)
    assert not [name for name in names if set(name) & set("<>\"'&%?#\\: ")]
    text = "".join(path.read_text() for path in out.rglob("*.html"))
    assert not {"\u202e", "\u200d", "\x1b", "\x00"} & {*text} and "<script>alert" not in text
    board = read(out, "boards/small.html")
    assert "</td><script>alert(1)</script>" in board and "{{ 7 * 7 }}" in board and "x" * 65 not in board
    assert "--reproduce -- -z" in read(out, f"entries/small/{slug('-z')}.html")
    assert len(board) < 40_000, "a name of 10 kB is cut"


def test_file_names_tell_every_name_from_every_other() -> None:
    names = ["a", "A", "a.b", "a/b", "..", ".", "", "con", "x" * 61, "x" * 62, "é", "e\u0301", "a ", "\ud800"]
    made = [slug(name) for name in names]
    assert len({each.lower() for each in made}) == len(names) and made[0] == "a" and made[8] == "x" * 61
    assert all(each.isascii() and len(each) < 64 and not each.startswith(".") for each in made)


def test_what_is_no_entry_is_refused_by_name_and_the_rest_stands(entries: Path, site: Site, read: Read) -> None:
    (entries / "small" / "broken.json").write_text("{")
    (entries / "small" / "newer.json").write_text('{"schema": 99}')
    (entries / "small" / "a0.npz").write_bytes(b"tampered")
    out, built = site()
    assert len(built.refused["small"]) == 2 and built.entries == 4
    board = read(out, "boards/small.html")
    assert "broken.json: not JSON" in board and "newer.json: schema 99 is newer" in board and str(entries) not in board
    assert "2 files refused" in read(out, "index.html")
    assert "predictions are not those of the record" in board
    assert "Not available: a0.npz is not the file of predictions" in read(out, "entries/small/a0.html")


def test_tables_that_cannot_be_compared_are_apart_and_a_seed_twice_counts_once(
    tmp_path: Path, site: Site, read: Read
) -> None:
    folder = tmp_path / "boards" / "small"
    folder.mkdir(parents=True)
    for id, store in (("a", "s"), ("b", "other"), ("c", "s")):
        (folder / f"{id}.json").write_text(made_result(id, store=store).dumps())
    out, _ = site()
    assert "Ranked apart Not comparable with the first table: other images" in read(out, "boards/small.html")
    twice = [id for id in "abc" if "counts once" in read(out, f"entries/small/{id}.html")]
    assert twice == ["c"]
    assert "rank 1 of 1" in read(out, "entries/small/a.html")


def test_a_part_is_called_by_its_domains_and_says_what_it_lacks(tmp_path: Path, site: Site, read: Read) -> None:
    folder = tmp_path / "boards" / "small" / "part-0123"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(made_result("a").dumps())
    suite = Suite(name="small", domains=("left", "middle", "right"), recipe="short", summary="three sets")
    out, _ = site(Catalog(suites={"small": suite}))
    board = read(out, "boards/small/part-0123.html")
    assert "small: left, right three sets Part of small: 2 of its 3 domains. It lacks middle." in board
    assert "Folder small/part-0123 ." in board and "It lacks middle." in read(out, "index.html")
    twin_of = twin(tmp_path / "boards", Catalog(suites={"small": suite}), [])
    assert "## small: left, right\n\nthree sets\n\nPart of small: 2 of its 3 domains. It lacks middle.\n" in twin_of
    (folder.parent / "broken.json").write_text("{")
    out, _ = site(Catalog(suites={"small": suite}), out="with-whole")
    assert "No entries on all of its domains yet; entries on some of them" in read(out, "boards/small.html")
    assert "left, right (1 method)" in read(out, "boards/small.html")


def test_only_rows_whose_entries_have_the_suites_score_are_in_its_column(
    tmp_path: Path, site: Site, read: Read
) -> None:
    folder = tmp_path / "boards" / "small"
    folder.mkdir(parents=True)
    scored = made_result("a", (30.0, 40.0), adapter="late")
    config = scored.config.model_copy(update={"score": "decathlon"})
    scored = scored.model_copy(update={"score": "decathlon", "score_value": 2500.0, "config": config})
    (folder / "a.json").write_text(scored.dumps())
    (folder / "b.json").write_text(made_result("b").dumps())
    out, _ = site()
    html = (out / "boards/small.html").read_text()
    assert html.count('<td class="n">2,500.0</td>') == 1 and '<td class="n">15.0</td>' not in html
    table = [line for line in twin(folder.parent, Catalog(), []).splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1 and "| 15.0 ± 1.5 | – |" in table[1]
    assert "| 35.0 ± 2.1 | 2,500.0 |" in table[2]


def test_published_rows_have_a_table_of_their_own_and_no_rank(entries: Path, site: Site, read: Read) -> None:
    row = PublishedRow(key="a", method="<b>far better", errors={"left": 0.1}, mean_error=0.1, note="at 32 px")
    ours = PublishedTable(name="t", title="their table", suite="small", domains=("left", "right"), rows=(row,))
    alone = ours.model_copy(update={"suite": "alone"})
    out, built = site(published=(("Somebody, 2017", ours), ("Somebody, 2017", alone)))
    text = read(out, "boards/small.html")
    ranking, theirs = text.split("Published: their table")
    assert "far better" not in ranking and "not ranked. Somebody, 2017" in theirs
    assert "<b>far better approximate 0.10 0.10 at 32 px" in theirs, "columns that say nothing are left out"
    assert "Without entries yet alone" in read(out, "index.html") and built.boards == 2


def test_the_same_boards_give_the_same_bytes(entries: Path, site: Site) -> None:
    first, second = site(images=True)[0], site(images=True, out="again")[0]
    names = sorted(path.relative_to(first) for path in first.rglob("*.html"))
    assert names == sorted(path.relative_to(second) for path in second.rglob("*.html"))
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_a_site_is_replaced_as_a_whole_and_nothing_else_is(
    entries: Path, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = site()
    (out / "left-over.html").write_text("")
    (entries / "small" / "c0.json").unlink()
    site()
    assert not (out / "left-over.html").exists() and not (out / "entries/small/c0.html").exists()

    def fails(*about: object, **more: object) -> str:
        raise KeyboardInterrupt

    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(building, "_entry_page", fails)
        with pytest.raises(KeyboardInterrupt):
            site()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not [*tmp_path.glob(".site*")]
    mine = tmp_path / "mine"
    mine.mkdir()
    site(out="mine")
    shutil.rmtree(mine)
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    for place in ("mine", "boards", "mine/notes.txt"):
        with pytest.raises(UdbenchError, match="not a site written by udbench"):
            site(out=place)
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    with pytest.raises(DataError, match="no such folder of leaderboards"):
        building.build(building.Asked(root=tmp_path / "none", known=Catalog(), version="0"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UdbenchError, match=r"cannot be written|is no site"), whole_folder(tmp_path / "file" / "site"):
        pass


@pytest.mark.slow
def test_two_thousand_entries_are_built(tmp_path: Path, site: Site, read: Read) -> None:
    folder = tmp_path / "boards" / "small"
    folder.mkdir(parents=True)
    for place in range(2000):
        made = made_result(f"{place:08d}", (10 + place % 61, 20 + place % 53), seed=place % 2)
        settings = made.config.settings.model_copy(update={"lr": 0.001 + place // 2 * 1e-6})
        config = made.config.model_copy(update={"settings": settings})
        (folder / f"{made.id}.json").write_text(made.model_copy(update={"config": config}).dumps())
    began = time.process_time()
    out, built = site(check=False)
    assert built.entries == 2000 and time.process_time() - began < 90
    assert "1,000 methods 2,000 entries" in read(out, "boards/small.html")
    read(out, f"entries/small/{1999:08d}.html")
