"""Counted orders: every place of every epoch can be asked for, and each image stands once in it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from udbench.train.input.sampling import block_shuffled, shuffled


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_holds_each_image_once_whatever_is_asked_first(
    count: int, block: int, window: int, epoch: int
) -> None:
    order = block_shuffled(count, 5, "d", block, window)
    whole = order(epoch, np.arange(count))
    assert sorted(whole.tolist()) == list(range(count))
    some = np.random.default_rng(count).permutation(count)[: count // 2 + 1]
    assert (block_shuffled(count, 5, "d", block, window)(epoch, some) == whole[some]).all()


def test_epochs_seeds_and_domains_have_orders_of_their_own() -> None:
    places = np.arange(1000)
    orders = [
        block_shuffled(1000, seed, domain, 16, 4)(epoch, places)
        for seed, domain, epoch in ((0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0))
    ]
    assert len({order.tobytes() for order in orders}) == 4


def test_neighbours_in_an_epoch_lie_in_a_few_blocks_and_are_mixed() -> None:
    order = block_shuffled(100_000, 0, "d", block=100, window=8)(0, np.arange(100_000))
    for start in range(0, 100_000, 800):
        assert len(set((order[start : start + 800] // 100).tolist())) == 8
    steps = np.diff(order[:800])
    assert (steps == 1).mean() < 0.02


def test_thirteen_million_images_take_the_memory_of_their_blocks() -> None:
    import tracemalloc

    tracemalloc.start()
    order = block_shuffled(13_000_000, 0, "d")
    order(0, np.arange(12_999_000, 12_999_256))
    order(1, np.arange(256))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000, "a permutation of them alone would be 104 MB"
    assert shuffled(3, 0, "d")(0, np.arange(3)).tolist() != []
