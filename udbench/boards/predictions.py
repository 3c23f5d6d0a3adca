"""Reading the predictions of an entry: a file that anybody may have written, so nothing in it is taken on trust."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udbench.boards.prediction_file import read_capped
from udbench.errors import DataError
from udbench.results import RunResult

MAX_NUMBERS = 1 << 24
MAX_HEADER = 1024
ARRAYS: Mapping[str, tuple[str, int]] = {"label": ("iu", 8), "predicted": ("iu", 8), "log_probability": ("f", 8)}
"""The arrays of a domain: their kinds of numbers, and the most bytes of one."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network said of a domain's test images, in the store's order: (N,) each; with several `draws` of a
    method all of the images stand there as often, one draw after another."""

    label: NDArray[np.integer]
    predicted: NDArray[np.integer]
    log_probability: NDArray[np.floating]
    draws: int = 1

    @property
    def wrong(self) -> NDArray[np.float64]:
        """How often each test image was told wrongly, 0 to 1: (N / draws,)."""
        return (self.label != self.predicted).reshape(self.draws, -1).mean(0)

    @property
    def labels(self) -> NDArray[np.integer]:
        """The label of each test image, (N / draws,)."""
        return self.label[: len(self.label) // self.draws]


def draws_of(result: RunResult) -> int:
    """How often a run's test images were told: more than once where few images stand for a class."""
    transfer = result.config.transfer
    return transfer.draws if transfer is not None and transfer.train == "none" else 1


def load_predictions(path: Path, result: RunResult) -> dict[str, Answers]:
    """The predictions beside an entry, checked. Raises DataError: missing, too large, or as `read_predictions` does."""
    return read_predictions(read_capped(path), result, str(path))


def read_predictions(content: bytes, result: RunResult, name: str) -> dict[str, Answers]:
    """The predictions of a result, from the bytes of its .npz; `name` is what errors call it.

    Raises DataError where the bytes are not those that the record names by their sha256, or are no such file: an array
    missing, of another length or kind, numbers that cannot be, or wrong answers that are not as many as the record
    counts. What an array says of its own size is compared with the record before anything of it is unpacked.
    """
    if hashlib.sha256(content).hexdigest() != result.predictions_sha256:
        raise DataError(f"{name} is not the file of predictions that its record names by its sha256")
    scores = {score.domain: score for score in result.scores}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.namelist()
            wanted = {f"{domain}.{array}.npy" for domain in scores for array in ARRAYS}
            if strange := sorted({*members} ^ wanted) or sorted(m for m in members if members.count(m) > 1):
                there = "has a surplus" if strange[0] in members else "lacks its"
                raise DataError(f"{name} {there} '{strange[0]}'")
            found = {
                domain: Answers(*(_array(archive, name, domain, array, scores[domain].n) for array in ARRAYS),
                                draws=draws_of(result))
                for domain in scores
            }  # fmt: skip
    except DataError:
        raise
    except Exception as error:  # whatever bytes that were made to mislead bring zipfile, zlib and numpy to raise
        raise DataError(f"{name} is damaged: {error}") from None
    for domain, answers in found.items():
        _check(name, domain, answers, scores[domain].errors)
    return found


def _array(archive: zipfile.ZipFile, name: str, domain: str, array: str, n: int) -> NDArray[Any]:
    kinds, size = ARRAYS[array]
    member = f"{domain}.{array}.npy"
    if n > MAX_NUMBERS:
        raise DataError(f"{name}: its record counts {n:,} images of '{domain}'; at most {MAX_NUMBERS:,} are read")
    if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name}: '{member}' is packed as numpy packs nothing")
    with archive.open(member) as packed:
        content = packed.read(n * size + MAX_HEADER)
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise DataError(f"{name}: '{member}' is an array of a format that numpy.savez does not write")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape != (n,) or dtype.kind not in kinds or dtype.itemsize > size:
        raise DataError(f"{name}: '{member}' is {dtype} {shape} where its record has {n} images")
    if len(content) - file.tell() != n * dtype.itemsize:
        raise DataError(f"{name}: '{member}' holds more or fewer numbers than it says")
    return np.frombuffer(content, dtype, offset=file.tell())


def _check(name: str, domain: str, answers: Answers, errors: int) -> None:
    if answers.label.min() < 0 or answers.predicted.min() < 0:
        raise DataError(f"{name}: '{domain}' has a class below 0")
    if np.isnan(answers.log_probability).any() or answers.log_probability.max() > 1e-3:
        raise DataError(f"{name}: '{domain}' has log-probabilities that are none (NaN, or above 0)")
    if len(answers.label) % answers.draws:
        raise DataError(
            f"{name}: '{domain}' has {len(answers.label)} answers, which {answers.draws} draws do not share"
        )
    if not np.array_equal(answers.label, np.tile(answers.labels, answers.draws)):
        raise DataError(f"{name}: '{domain}' has other labels in one draw than in another")
    if (wrong := int((answers.label != answers.predicted).sum())) != errors:
        raise DataError(f"{name}: '{domain}' has {wrong} wrong answers where its record counts {errors}")
