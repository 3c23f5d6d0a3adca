"""`udbench bench`: what it prints, that its ratios are those of its seconds, and what it refuses. Never how fast."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
SMALL = ["--set", "image_size=16", "--set", "batch_size=2", "--set", "eval_batch_size=4", "--device", "cpu"]
TWO = ["--domains", "handwriting,words", "--turns", "3"]


@pytest.mark.slow
def test_the_step_is_timed_beside_its_ceiling_and_the_ratios_are_those_of_one_turn(cli: Call) -> None:
    said = cli("bench", *TWO, *SMALL, "--variants", "one-by-one,plain,evaluation", "--profile", "trace.json", "--json")
    figures = said.json
    assert figures["turns"] == 3 and figures["images_per_round"] == 4 and figures["threads"] >= 1
    seconds = figures["seconds"]
    assert set(seconds) == {"ceiling", "udbench", "one-by-one", "plain", "evaluation", "forward"}
    assert all(len(times) == 3 and min(times) > 0 for times in seconds.values())
    pairs = zip(seconds["ceiling"], seconds["udbench"], strict=True)
    assert figures["ratios"]["udbench/ceiling"] == pytest.approx(statistics.median(c / u for c, u in pairs))
    assert set(figures["ratios"]) == {
        "udbench/ceiling", "udbench/plain", "one-by-one/ceiling", "evaluation/ceiling", "feed/loop",
    }  # fmt: skip
    low, high = figures["ratio_quartiles"]["udbench/plain"]
    assert low <= figures["ratios"]["udbench/plain"] <= high
    assert set(figures["parts"]) == {"feed", "forward", "backward", "reduce", "step"}
    assert figures["floor"]["compute_seconds"] > 0 and figures["floor"]["memory_seconds"] > 0
    assert json.loads(Path("trace.json").read_text())["traceEvents"]
    assert "slowest operators" in said.err
    assert sorted(path.name for path in Path().iterdir()) == ["trace.json"], "no run, no board, no cache"


@pytest.mark.slow
def test_growth_is_told_for_each_number_of_domains_and_drawn(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from udbench.cli import bench

    monkeypatch.setattr(bench, "DOMAINS", (1, 100))
    said = cli("bench", "domains", "--turns", "1", *SMALL, "--plot", "growth.svg")
    assert said.code == 0 and "200" in said.out and "100" in said.out
    assert Path("growth.svg").read_text().startswith("<svg ")


def test_methods_are_timed_against_the_chosen_one_and_those_that_do_not_fit_are_left_out(cli: Call) -> None:
    others = ["--compare", "universal-bn,domain-bn,domain-scale", "--set", "arch.width=0.5"]
    said = cli("bench", "adapters", *others, "--domains", "handwriting,words", "--turns", "2", *SMALL, "--json")
    assert said.code == 0, said.err
    figures = said.json
    assert set(figures["seconds"]) == {"domain-bn", "universal-bn"} and set(figures["ratios"]) == {"universal-bn"}
    pairs = zip(figures["seconds"]["domain-bn"], figures["seconds"]["universal-bn"], strict=True)
    assert figures["ratios"]["universal-bn"] == pytest.approx(statistics.median(d / u for d, u in pairs))
    assert figures["private"]["universal-bn"] == 0 < figures["private"]["domain-bn"]
    assert "networks without norms" in figures["refused"]["domain-scale"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--compare", "domain-bn"], "--compare applies only to 'udbench bench adapters'"),
        (["adapters", "--compare", "domain-nb"], "no adapter 'domain-nb'. Did you mean 'domain-bn'?"),
        (["adapters", "--compare", ","], "no adapter given"),
        (["--variants", "plan"], "no variant 'plan'. Did you mean 'plain'?"),
        (["--profile", "trace.txt"], "give a file that ends in .json"),
        (["--plot", "x.svg"], "--plot applies only to 'udbench bench domains'"),
        (["domains", "--plot", "x.png"], "give a file that ends in .svg"),
        (["domains", "--variants", "plain"], "--variants applies only to 'udbench bench step'"),
        (["--layouts", "2x1"], "--layouts applies only to 'udbench bench processes'"),
        (["processes", "--layouts", "2"], "'2' is not PROCESSESxTHREADS"),
        (["--sharing", "none"], "one network per domain"),
        (["--arch", "resnet39"], "no architecture 'resnet39'"),
    ],
)
def test_what_cannot_be_timed_is_one_sentence(cli: Call, words: list[str], says: str) -> None:
    said = cli("bench", *words)
    assert said.code == 2 and says in said.err and "Traceback" not in said.err and not list(Path().iterdir())
