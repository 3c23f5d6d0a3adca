"""Randomness that is counted, not carried: every draw is a function of what it is for.

So nothing random lives in a checkpoint, and no draw depends on how many processes or groups there are.
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
    """A fresh stream of numpy draws for one purpose, such as (seed, "order", domain, epoch)."""
    return np.random.Generator(np.random.PCG64(seed_of(*purpose)))


@contextmanager
def seeded(*purpose: object) -> Iterator[None]:
    """Within, torch's CPU generator draws for one purpose; outside it goes on as if nothing had happened.

    Networks are built on the CPU, so this covers initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*purpose))
        yield
