"""Pass a source to worker processes: it is written to disk once and memory-mapped by each worker."""

from __future__ import annotations

import hashlib
import mmap
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import Source

SOURCE = "source.pickle"
_ALIGN = 64


def write_source(folder: Path, source: Source, rows: NDArray[np.int64]) -> str:
    """Write the source and the store's row numbers for the workers, and return the file's sha256.

    Arrays follow the pickle as raw buffers, so that an index of millions of rows is mapped and not copied.
    """
    arrays: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps((source, rows), protocol=5, buffer_callback=arrays.append)
    parts = [memoryview(pickled), *(array.raw() for array in arrays)]
    head = np.array([len(parts), *(part.nbytes for part in parts)], dtype="<i8").tobytes()
    digest = hashlib.sha256()
    with (folder / SOURCE).open("wb") as file:
        for part in (memoryview(head), *parts):
            for piece in (part, bytes(-part.nbytes % _ALIGN)):
                file.write(piece)
                digest.update(piece)
    return digest.hexdigest()


@lru_cache(maxsize=2)
def read_source(folder: str, sha256: str) -> tuple[Source, NDArray[np.int64]]:
    """Load the source and its rows, once per process.

    Raises UdbenchError when the file's sha256 is not that of what the parent process wrote.
    """
    with (Path(folder) / SOURCE).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if hashlib.sha256(mapped).hexdigest() != sha256:
        raise UdbenchError(f"{folder}: another process writes to this folder; try again when it has ended")
    (count,) = np.frombuffer(mapped[:8], dtype="<i8").tolist()
    sizes = np.frombuffer(mapped[8 : 8 * (count + 1)], dtype="<i8").tolist()
    parts: list[memoryview] = []
    at = 8 * (count + 1)
    for size in sizes:
        at += -at % _ALIGN
        parts.append(mapped[at : at + size])
        at += size
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 (the parent's own pickle, by its hash)
