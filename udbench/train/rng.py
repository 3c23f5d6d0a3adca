"""Counter-based random numbers: every draw is a function of the seed and of its purpose.

So a checkpoint needs no generator state, and no draw depends on the number of processes or groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from udbench.seeds import SEPARATOR


def seed_of(*purpose: object) -> int:
    """A 63-bit seed that depends on the words given and on nothing else."""
    text = SEPARATOR.join(map(str, purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def draws(*purpose: object) -> np.random.Generator:
    """A new numpy generator for one purpose, such as (seed, "order", domain, epoch)."""
    return np.random.Generator(np.random.PCG64(seed_of(*purpose)))


@contextmanager
def seeded(*purpose: object) -> Iterator[None]:
    """Within, torch's CPU generator is seeded for one purpose. Its state is restored afterwards.

    Networks are built on the CPU, so this covers initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*purpose))
        yield
