"""What a run's network says of image files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from udbench.config import RecipeSettings
from udbench.data.image import DamagedImage
from udbench.data.layout import IMAGE_SUFFIXES, FolderWalk, portable_name
from udbench.data.locate import readable
from udbench.data.seen import seen
from udbench.errors import BadData, RunFailed
from udbench.runs.job import Job
from udbench.runs.trained import DomainFacts
from udbench.train.feed import DomainData, Feed
from udbench.train.model import UniversalModel
from udbench.train.precision import computing, parameter_dtype
from udbench.train.route import Slice

ROWS = 64
AT_ONCE = 16 * ROWS


def image_files(words: Sequence[str], listed: BinaryIO) -> list[Path]:
    """Image files, in order: files as they are named; of a folder, all images below it, sorted by their paths; of "-",
    those that `listed` names, one a line, or with a zero byte behind each.

    Raises BadData for a folder without images or that cannot be read, and for a list that names nothing.
    """
    if words.count("-") > 1:
        raise BadData("- is named twice; standard input is one list of paths")
    found: list[Path] = []
    for word in words:
        if word == "-":
            found += _listed(listed.read())
        elif Path(word).is_dir():
            found += _below(Path(word))
        else:
            found.append(Path(word))
    return found


def _listed(text: bytes) -> list[Path]:
    lines = text.split(b"\0") if b"\0" in text else text.splitlines()
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise BadData("-: no path is named on standard input; give one a line, as find does")
    return paths


def _below(folder: Path) -> list[Path]:
    """The images of a folder and of those below it, as training takes them: not what a system keeps there."""
    with readable(str(folder)):
        found = sorted(FolderWalk().images_below(str(folder), ""), key=portable_name)
    if not found:
        raise BadData(f"{folder}: no image in it or below; images end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return [folder / name.lstrip("/") for name in found]


def read_images(paths: Sequence[Path], settings: RecipeSettings, domain: str, channels: int) -> NDArray[np.uint8]:
    """Image files as the run's test images were seen: (N, H, W, channels). Raises BadData, naming the file."""
    return np.stack([_view(path, settings, domain, channels) for path in paths])


def predict_files(
    job: Job, model: UniversalModel, domain: str, facts: DomainFacts, paths: Sequence[Path]
) -> Iterator[NDArray[np.float64]]:
    """Probabilities of a domain's classes for image files, some at a time, so that any number of them fits in memory;
    all at once where the adapter normalises with the moments of a test batch. Raises BadData, naming the file."""
    some = len(paths) if job.adapter.evaluation == "batch" else AT_ONCE
    for start in range(0, len(paths), some):
        pixels = read_images(paths[start : start + some], job.config.settings, domain, facts.channels)
        yield predict(job, model, domain, facts, pixels)


def predict(
    job: Job, model: UniversalModel, domain: str, facts: DomainFacts, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Probabilities of a domain's classes, (N, classes), for its images (N, H, W, channels).

    Where the adapter normalises with the moments of a test batch, these images are the batch. Raises BadData for
    a batch of one, RunFailed where a logit is not finite.
    """
    by_batch = job.adapter.evaluation == "batch"
    if by_batch and len(images) < 2:
        raise BadData(
            f"adapter '{job.adapter.name}' normalises test images with the moments of their batch, and one image is "
            "no batch; give several images of this domain at once"
        )
    rows = len(images) if by_batch else min(ROWS, len(images))
    device, config = torch.device(job.config.device), job.config
    feed = Feed({domain: _data(domain, facts, images)}, config.seed, device, parameter_dtype(config.precision))
    parts = [np.arange(start, min(start + rows, len(images))) for start in range(0, len(images), rows)]
    found: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for part, views in zip(parts, feed.centres(domain, parts), strict=True):
            with computing(config.precision, device, timed=False):
                (logits,) = model(views, [Slice(domain, len(part))])
            logits = logits.double().cpu()
            if not logits.isfinite().all():
                raise RunFailed(
                    f"the network's logits for images of '{domain}' are not finite, so they name no class; it computes "
                    f"in {config.precision}"
                )
            found.append(F.softmax(logits, dim=1).numpy())
    return np.concatenate(found)


def _view(path: Path, settings: RecipeSettings, domain: str, channels: int) -> NDArray[np.uint8]:
    if not path.exists():
        raise BadData(f"{path}: no such file")
    if not path.is_file():
        raise BadData(f"{path} is no file, but {'a folder' if path.is_dir() else 'a pipe or a device'}; name an image")
    try:
        return seen(path.read_bytes(), settings, domain, channels)
    except DamagedImage as error:
        raise BadData(f"{path}: {error}") from None
    except OSError as error:
        raise BadData(f"{path}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise BadData(f"{path}: does not fit in memory") from None


def _data(domain: str, facts: DomainFacts, images: NDArray[np.uint8]) -> DomainData:
    return DomainData(
        name=domain,
        images=images,
        labels=np.zeros(len(images), dtype=np.int64),
        train_rows=range(0),
        test_rows=range(len(images)),
        mean=facts.mean,
        std=facts.std,
        flip=False,
        pad=0,
    )
