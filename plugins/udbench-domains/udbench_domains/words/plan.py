"""Map an image's number to its word, split, random draws and path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "val", "test")

# The original's shape: at most so many images lie in one folder, and seven such folders in one above them.
IMAGES_A_FOLDER, FOLDERS_A_FOLDER = 300, 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Images of each word, split by split."""

    train: int
    val: int
    test: int

    @property
    def each_word(self) -> int:
        return self.train + self.val + self.test


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One image to generate: the `number`-th of word `word` in `split`, at `path` below the top folder."""

    split: str
    word: int
    number: int
    path: str

    def draws(self, seed: int) -> np.random.Generator:
        """The image's random generator, independent of the process and of all other images."""
        key = (SPLITS.index(self.split), self.word, self.number)
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def picture(n: int, words: list[str], counts: Counts) -> Picture:
    """Image `n` of all: first the training images, all words once, then all once more, then the other splits."""
    turn, word = divmod(n, len(words))
    split, number = "train", turn
    if turn >= counts.train:
        split, number = "val", turn - counts.train
        if number >= counts.val:
            split, number = "test", number - counts.val
    folder, place = divmod(n, IMAGES_A_FOLDER)
    above, below = divmod(folder, FOLDERS_A_FOLDER)
    path = f"./{above + 1}/{below + 1}/{place + 1}_{words[word]}_{word}.jpg"
    return Picture(split=split, word=word, number=number, path=path)
