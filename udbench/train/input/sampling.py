"""The order of a domain's training images. Any position of it can be computed without the ones before."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from udbench import seeds
from udbench.train.rng import draws

BLOCK, WINDOW = 256, 32


class Order(Protocol):
    """A permutation for each epoch: maps positions in the epoch to indices of images (0 to count - 1)."""

    def __call__(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]: ...


def shuffled(count: int, seed: int, domain: str) -> Order:
    """A uniform permutation of all images for each epoch, held in memory."""

    @lru_cache(maxsize=2)
    def permutation(epoch: int) -> NDArray[np.int64]:
        return draws(seed, seeds.ORDER, domain, epoch).permutation(count)

    return lambda epoch, positions: permutation(epoch)[positions]


def block_shuffled(count: int, seed: int, domain: str, block: int = BLOCK, window: int = WINDOW) -> Order:
    """Blocks of `block` neighbours are permuted, then all images within `window` consecutive blocks.

    So images that are read in turn are near each other on disk, and memory is one number per block. The shuffle is as
    good as the images are mixed on disk.
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

    def at(epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        order, starts = laid_out(epoch)
        windows = (np.searchsorted(starts, positions, side="right") - 1) // window
        moved = np.empty_like(positions)
        for number in np.unique(windows).tolist():
            in_window = windows == number
            first, end = int(starts[number * window]), int(starts[min((number + 1) * window, blocks)])
            moved[in_window] = first + within(epoch, number, end - first)[positions[in_window] - first]
        block_of = np.searchsorted(starts, moved, side="right") - 1
        return order[block_of] * block + moved - starts[block_of]

    return at
