"""Read CIFAR's pickled batches without running any code that they name.

A pickle is a program: it calls what it names. These files name only numpy's array constructors, and here those names
resolve to inert stand-ins that keep their arguments; the array is then built by us from bytes whose number is checked.
Any other name is refused.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udbench import DataError


def load_batch(path: Path) -> dict[str, Any]:
    """Load the dictionary of a batch: text keys, and arrays of bytes as uint8. DataError for anything else."""
    try:
        with path.open("rb") as file:
            found = _Unpickler(file, encoding="bytes").load()
    except (DataError, OSError):
        raise
    except Exception as error:  # a damaged pickle can raise nearly any exception
        raise DataError(f"{path}: not a batch of CIFAR-10, or damaged ({error}); get it again") from error
    if not isinstance(found, Mapping):
        raise DataError(f"{path}: not a batch of CIFAR-10: it holds no dictionary; get it again")
    if not all(isinstance(key, (str, bytes)) for key in found):
        raise DataError(f"{path}: not a batch of CIFAR-10: its keys are not words; get it again")
    return {_text(key): _array(path, value) for key, value in found.items()}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self._path = Path(file.name)
        # New for each file: a hostile one can modify the objects that it gets, and then only these.
        self._names = _stand_ins()

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self._names[module_name, global_name]
        except KeyError:
            raise DataError(
                f"{self._path}: this pickle asks for '{module_name}.{global_name}', which no batch of CIFAR-10 needs; "
                "it was not run. Do not trust this file, and get it again"
            ) from None


def _stand_ins() -> dict[tuple[str, str], Any]:
    class Kept:
        """The arguments of a constructor, and the state that followed."""

        kind = "other"

        def __init__(self, *given: Any) -> None:
            self.given = given
            self.state: Any = None

        def __setstate__(self, state: Any) -> None:
            self.state = state

    class Array(Kept):
        kind = "array"

    class DType(Kept):
        kind = "dtype"

    def encode(text: str, encoding: str) -> bytes:
        # Python 3 writes bytes this way in old protocols.
        if encoding not in ("latin1", b"latin1"):
            raise ValueError("bytes in an encoding that is not latin1")
        return text.encode("latin1")

    return {
        ("numpy.core.multiarray", "_reconstruct"): Array,
        ("numpy._core.multiarray", "_reconstruct"): Array,
        ("numpy", "ndarray"): Kept,
        ("numpy", "dtype"): DType,
        ("_codecs", "encode"): encode,
    }


def _array(path: Path, value: Any) -> Any:
    """The uint8 array that a stand-in describes; any other value is returned unchanged."""
    if getattr(value, "kind", None) != "array":
        return value
    try:
        _, shape, dtype, fortran, data = value.state
        fits = (
            dtype.kind == "dtype"
            and dtype.given[0] in ("u1", b"u1", "|u1", b"|u1", "uint8", b"uint8")
            and not fortran
            and isinstance(data, bytes)
            and all(type(n) is int and n >= 0 for n in shape)
            and math.prod(shape) == len(data)
        )
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path}: holds an array that is not one of CIFAR-10's; get it again") from error
    if not fits:
        raise DataError(f"{path}: holds an array that is not of bytes, or not of the size it states; get it again")
    pixels: NDArray[np.uint8] = np.frombuffer(data, dtype=np.uint8).reshape(shape)
    return pixels


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value
