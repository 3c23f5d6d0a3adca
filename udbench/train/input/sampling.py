"""The order in which a domain's training images are seen: counted, so that any place in it can be asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from udbench import seeds
from udbench.train.rng import draws

BLOCK, WINDOW = 256, 32


class Order(Protocol):
    """Positions (0 to count - 1) of the images that stand at these places of an epoch, each once in it."""

    def __call__(self, epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]: ...


def shuffled(count: int, seed: int, domain: str) -> Order:
    """All images in any order: a permutation in memory for each epoch."""

    @lru_cache(maxsize=2)
    def permutation(epoch: int) -> NDArray[np.int64]:
        return draws(seed, seeds.ORDER, domain, epoch).permutation(count)

    return lambda epoch, places: permutation(epoch)[places]


def block_shuffled(count: int, seed: int, domain: str, block: int = BLOCK, window: int = WINDOW) -> Order:
    """Blocks of neighbours in any order, and within so many blocks one after another all images in any order.

    So what is read lies near what was read before, and memory is that of a number for each block, whatever the
    number of images. It shuffles as well as the images are mixed where they lie.
    """
    blocks = -(-count // block)

    @lru_cache(maxsize=2)
    def laid_out(epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = draws(seed, seeds.BLOCKS, domain, epoch).permutation(blocks)
        sizes = np.where(order == blocks - 1, count - (blocks - 1) * block, block)
        return order, np.concatenate([[0], np.cumsum(sizes)])

    @lru_cache(maxsize=4)
    def within(epoch: int, number: int, size: int) -> NDArray[np.int64]:
        return draws(seed, seeds.WINDOW, domain, epoch, number).permutation(size)

    def at(epoch: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        order, starts = laid_out(epoch)
        windows = (np.searchsorted(starts, places, side="right") - 1) // window
        moved = np.empty_like(places)
        for number in np.unique(windows).tolist():
            here = windows == number
            first, end = int(starts[number * window]), int(starts[min((number + 1) * window, blocks)])
            moved[here] = first + within(epoch, number, end - first)[places[here] - first]
        which = np.searchsorted(starts, moved, side="right") - 1
        return order[which] * block + moved - starts[which]

    return at
