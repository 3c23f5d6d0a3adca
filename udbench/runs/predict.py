"""What a run's network says of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from udbench.config import RecipeSettings
from udbench.data.image import DamagedImage
from udbench.data.seen import seen
from udbench.errors import BadData, RunFailed
from udbench.runs.job import Job
from udbench.runs.trained import DomainFacts
from udbench.train.feed import DomainData, Feed
from udbench.train.model import UniversalModel
from udbench.train.precision import computing, parameter_dtype
from udbench.train.route import Slice

ROWS = 64


def read_images(paths: Sequence[Path], settings: RecipeSettings, domain: str, channels: int) -> NDArray[np.uint8]:
    """Image files as the run's test images were seen: (N, H, W, channels). Raises BadData, naming the file."""
    return np.stack([_view(path, settings, domain, channels) for path in paths])


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
    if path.is_dir():
        raise BadData(f"{path} is a folder; name image files, such as {path}/*.png")
    if not path.exists():
        raise BadData(f"{path}: no such file")
    if not path.is_file():
        raise BadData(f"{path} is no file of an image")
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
