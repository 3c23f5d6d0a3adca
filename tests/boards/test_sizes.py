"""How large methods are against one network of one domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import udbench
from support.records import made_result
from udbench.boards.entry import read_board
from udbench.boards.ranking import rank
from udbench.boards.sizes import WORD, one_networks, size_of
from udbench.results import Parameters, RunResult

BOARDS = Path(udbench.__file__).parent.parent / "leaderboards"


def result(id: str, adapter: str, shared: int, private: int, bits: int = 0, **changed: Any) -> RunResult:
    params = Parameters(shared=shared, private=private, ratio=1, bits=bits or WORD * (shared + private))
    return made_result(id, adapter=adapter, params=params, **changed)


def test_a_method_is_held_against_the_smallest_network_of_one_domain() -> None:
    masks = result("m", "masks", 100, 240, 32 * 100 + 32 * 40 + 200)
    networks = one_networks([masks, result("a", "copies", 90, 60), result("b", "alone", 0, 240)])
    size = size_of(masks, networks)
    assert (size.one.parameters, size.one.adapters, size.parameters, size.bits) == (120, ("alone", "copies"), 340, 4680)
    assert size.times == pytest.approx(340 / 120) and size.bits_times == pytest.approx(4680 / (32 * 120))
    assert size.one.sentence == "toy 0.00 M parameters, as with alone, copies"


def test_where_one_adapter_alone_says_what_a_network_holds_that_is_told() -> None:
    masks = result("m", "masks", 1_000_000, 2_400_000)
    size = size_of(masks, one_networks([masks]))
    assert size.one.parameters == 2_200_000 and size.times == pytest.approx(3.4 / 2.2)
    assert size.one.sentence == "toy 2.20 M parameters, as with masks alone (what that adds, if anything, is in it)"


def test_another_network_or_input_is_another_group() -> None:
    base, masks = result("a", "copies", 90, 60), result("m", "masks", 100, 240)
    settings = masks.config.settings.model_copy(update={"image_size": 99})
    for changed in ({"arch": "other"}, {"arch_settings": {"width": 2}}, {"settings": settings}):
        config = masks.config.model_copy(update=changed)
        other = masks.model_copy(update={"config": config, "arch": config.arch})
        networks = one_networks([base, other])
        assert size_of(base, networks).one.parameters == 120 and size_of(other, networks).one.parameters == 220
    wide = masks.model_copy(update={"config": masks.config.model_copy(update={"arch_settings": {"width": 2}})})
    assert {each.of for each in one_networks([base, wide]).values()} == {"toy", "toy (width=2)"}


@pytest.mark.skipif(not BOARDS.is_dir(), reason="the boards are not beside the core")
def test_on_the_boards_here_copies_are_one_network_and_masks_are_a_bit_each() -> None:
    table = rank(read_board(BOARDS / "pocket")[0])[0]
    networks = one_networks(row.result for row in table.rows)
    (one,) = networks.values()
    assert len(one.adapters) > 2, "that none of these adds anything is what makes it the plain network"
    sizes = {row.result.adapter: size_of(row.result, networks) for row in table.rows if row.result.sharing == "deep"}
    assert sizes["finetune"].times == 10 and sizes["universal-bn"].times == pytest.approx(1.01, abs=0.005)
    assert sizes["piggyback"].times > 10 and sizes["piggyback"].bits_times == pytest.approx(1.33, abs=0.005)
    assert sizes["series"].times == pytest.approx(2.21, abs=0.005), "and not 1.98, against networks with it in"
