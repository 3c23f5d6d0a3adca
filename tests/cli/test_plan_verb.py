"""`udbench plan`: what it prints for a machine that is described, what it refuses, and that it measures once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
PLAN = ["plan", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "handwriting,words"]
SMALL = ["--set", "image_size=16", "--set", "batch_size=4"]
MACHINE = """
name = "made up"
precision = "fp32"
rate = 1e12
overhead = 0.001
memory_rate = 1e11
bandwidth = 1e10
latency = 1e-5
memory = 1e6
"""


@pytest.fixture
def machine(tmp_path: Path) -> list[str]:
    (tmp_path / "machine.toml").write_text(MACHINE)
    return ["--machine", "machine.toml"]


def test_a_described_machine_is_asked_for_each_number_of_processes(cli: Call, machine: list[str]) -> None:
    said = cli(*PLAN, *SMALL, *machine, "--processes", "1,2,4", "--json")
    assert said.code == 0, said.err
    document = said.json
    assert document["machine"]["name"] == "made up" and document["images_per_round"] == 8
    one, two, four = document["rows"]
    assert [row["processes"] for row in document["rows"]] == [1, 2, 4]
    assert one["speedup"] == 1 and one["bytes"] == {"shared": 0, "private": 0, "norms": 0, "other": 0}
    assert two["bytes"]["shared"] > 0 and two["bytes"]["private"] == 0
    assert four["bytes"]["shared"] == two["bytes"]["shared"] and four["bytes"]["norms"] > 0
    assert [len(process["slices"]) for process in two["assignment"]] == [1, 1]
    assert {p["slices"][0]["rows"] for p in four["assignment"]} == {2}
    assert one["rates"] == {
        "rate": 1e12, "overhead": 0.001, "memory_rate": 1e11, "bandwidth": 1e10, "latency": 1e-5, "at_once": None,
        "from": {"compute": "given", "link": "given"},
    }  # fmt: skip
    assert one["fits"] is False, "the file says what a process has"
    assert sorted(path.name for path in Path().iterdir()) == ["machine.toml"], "nothing is measured or written"


def test_the_tables_say_where_rates_come_from_and_who_does_what(cli: Call, machine: list[str]) -> None:
    said = cli(*PLAN, *SMALL, *machine, "--processes", "1,3", "--show-assignment")
    assert said.code == 0, said.err
    assert "8 images per round; fp32 on made up" in said.out and "does not fit" in said.out
    assert "1,000.0 G operations/s" in said.out and said.out.count("(given)") == 2
    assert "handwriting 0-1 of 4" in said.out or "words 0-1 of 4" in said.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--processes", "0"], "--processes 0: give one or more numbers of processes, such as 1,2,4"),
        (["--processes", "two"], "--processes two: give"),
        (["--processes", ","], "give one or more numbers"),
        (["--processes", "9", *SMALL, "--machine", "machine.toml"], "9 processes for 8 images of 2 domains in a round"),
        (["--processes", "2", "--sharing", "none"], "which have no common round"),
        (["--processes", "2", "--machine", "absent.toml"], "--machine absent.toml: cannot be read"),
        (
            ["--processes", "2", "--machine", "machine.toml", "--recalibrate"],
            "--recalibrate cannot be combined with --machine",
        ),
        (
            ["--processes", "2", "--machine", "machine.toml", "--device", "cpu"],
            "--device cannot be combined with --machine",
        ),
        (
            ["--processes", "2", "--machine", "machine.toml", "--precision", "bf16"],
            "--precision cannot be combined with --machine",
        ),
        (["--processes", "2", "--arch", "resnet39"], "no architecture 'resnet39'"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(cli: Call, machine: list[str], words: list[str], says: str) -> None:
    said = cli(*PLAN, *words)
    assert said.code == 2 and says in said.err and "Traceback" not in said.err


@pytest.mark.slow
def test_this_machines_rates_are_measured_once_and_kept(cli: Call, tmp_path: Path) -> None:
    words = [*PLAN, *SMALL, "--device", "cpu", "--processes", "1,2", "--json"]
    first = cli(*words)
    assert first.code == 0 and "measuring sums over two processes" in first.err, first.err
    kept = json.loads((tmp_path / "cache" / "rates.json").read_text())
    assert {entry["kind"] for entry in kept["entries"]} == {"compute", "link"}
    again = cli(*words)
    assert again.json == first.json and "measuring" not in again.err
    for row in first.json["rows"]:
        assert (
            row["seconds"] > 0 and row["rates"]["rate"] > 0 and row["rates"]["from"]["compute"].startswith("measured")
        )
    (tmp_path / "cache" / "rates.json").write_text("{")
    damaged = cli(*PLAN, *SMALL, "--device", "cpu", "--processes", "1", "--json")
    assert damaged.code == 0 and "is damaged" in damaged.err and "measuring" in damaged.err
