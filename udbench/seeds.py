"""The words that seed a draw. A draw is a function of its words, so a word that changes changes results: none is
renamed, whatever the code around it comes to be called.

The paths of modules seed draws too (`DROPOUT`, `ADAPTER`): they begin with the names of `UniversalModel`'s attributes.
"""

from __future__ import annotations

SEPARATOR = "\x1f"
"""What stands between the words of one draw."""

TRUNK = "trunk"
"""Initial weights of a trunk: (seed, TRUNK)."""
HEAD = "head"
"""Initial weights of heads: (seed, HEAD, domain), or (seed, HEAD) where one head is shared."""
LABELS = "labels"
"""The order of a domain's classes where one head is shared: (seed, LABELS, domain)."""
ADAPTER = "adapter"
"""What an adapter adds to a module: (seed, ADAPTER, path)."""
DROPOUT = "dropout"
"""Masks: (seed, DROPOUT, path, domain, round)."""

ORDER = "order"
"""The permutation of a domain's images in an epoch: (seed, ORDER, domain, epoch)."""
BLOCKS = "blocks"
"""The order of blocks of rows in shards: (seed, BLOCKS, domain, epoch)."""
WINDOW = "window"
"""The order within some blocks, (seed, WINDOW, domain, epoch, number); crops, (seed, WINDOW, domain, round)."""
AUGMENT = "augment"
"""Shifts and flips: (seed, AUGMENT, domain, round)."""
EVALUATION = "evaluation"
"""The order in which test images are put into batches: (EVALUATION, domain)."""
SHOTS = "shots"
"""The few training images of each class: (seed, SHOTS, domain, draw)."""

SPLIT = "split"
"""Which images of a source without splits are test images: (SPLIT, key)."""
VALIDATION = "validation"
"""Which training images are kept for validation: (VALIDATION, key)."""
STORE = "store"
"""The order of rows in a store: (STORE, key)."""

EXPORT = "export"
"""The images that an exported network is compared on: (EXPORT, domain)."""
SYNTHETIC = "made"
"""Synthetic images of `bench` and `plan`: (SYNTHETIC, domain)."""
PHOTOGRAPH = "photograph"
"""Synthetic image files of `bench images`: (PHOTOGRAPH, suffix, number)."""
ROWS = "rows"
"""The rows that `bench images` reads: (ROWS,)."""
WINDOWS = "windows"
"""The crops that `bench images` takes: (WINDOWS,)."""
