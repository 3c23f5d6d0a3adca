"""The words that seed draws: the same seed must give the same results for ever, so they are held here."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

import udbench
from udbench import seeds
from udbench.plugin.contracts_model import Adapter, Input, Network
from udbench.testing.toys import toy_architecture, toy_data, toy_head, toy_inputs
from udbench.train.counted_dropout import CountedDropout
from udbench.train.model import build_model
from udbench.train.rng import seed_of

WORDS = {
    "SEPARATOR": "\x1f",
    "TRUNK": "trunk",
    "HEAD": "head",
    "LABELS": "labels",
    "ADAPTER": "adapter",
    "DROPOUT": "dropout",
    "ORDER": "order",
    "BLOCKS": "blocks",
    "WINDOW": "window",
    "AUGMENT": "augment",
    "EVALUATION": "evaluation",
    "SHOTS": "shots",
    "SPLIT": "split",
    "VALIDATION": "validation",
    "STORE": "store",
    "EXPORT": "export",
    "SYNTHETIC": "made",
    "PHOTOGRAPH": "photograph",
    "ROWS": "rows",
    "WINDOWS": "windows",
}
DRAWN_BY = {"draws", "seeded", "seed_of"}


def test_no_word_that_seeds_a_draw_was_renamed() -> None:
    assert {name: value for name, value in vars(seeds).items() if name.isupper()} == WORDS


def test_the_same_words_give_the_same_seed_as_ever() -> None:
    assert seed_of(0, seeds.TRUNK) == 7125012342448274165
    assert seed_of(1, seeds.DROPOUT, "trunk.drop", "left", 3) == 5448752885742187554


def test_nothing_in_the_core_is_drawn_by_a_word_of_its_own() -> None:
    core = Path(udbench.__file__).parent
    own: list[str] = []
    for path in core.rglob("*.py"):
        if path.is_relative_to(core / "testing"):
            continue  # toys and made-up files: what is drawn there shapes no result
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in DRAWN_BY:
                own += [f"{path}:{node.lineno}" for word in node.args if isinstance(word, ast.Constant)]
    assert not own, "put the word into udbench/seeds.py"


def test_the_paths_that_seed_dropout_begin_with_trunk_and_heads() -> None:
    inputs = toy_inputs([toy_data("reds"), toy_data("blues")])
    toy = toy_architecture(dropout=0.5)

    def build(given: Mapping[str, Input], settings: object) -> Network:
        return replace(toy.build(given, settings), head=dropping_head)

    model = build_model(replace(toy, build=build), Adapter(name="none", attach=lambda surgeon, _: None), inputs)
    paths = {module.path for module in model.modules() if isinstance(module, CountedDropout)}
    assert paths == {"trunk.dropout", "heads.reds.0", "heads.blues.0"}


def dropping_head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    """A dropout before the toy's head."""
    return nn.Sequential(nn.Dropout(0.5), toy_head(given, shape))
