"""The batches of a run on the device: which images a round has, and their crop, flip and whitening."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from udbench.seeds import AUGMENT, WINDOW
from udbench.train.input.augment_gpu import can_view, view
from udbench.train.input.loader import Encoded, Loader, Views
from udbench.train.input.sampling import block_shuffled, shuffled
from udbench.train.memory import available_bytes
from udbench.train.rng import draws
from udbench.train.route import Slice


@dataclass(frozen=True, kw_only=True)
class DomainData:
    """The images, labels and augmentation of one domain.

    `images`: (N, H, W, C) uint8, C of 1 or 3, or encoded images that are decoded on demand. `labels`: (N,) int64.
    `train_rows`, `test_rows`: indices of the images to train on and to score. `mean`, `std`: per stored channel, in
    units of 0 to 255. `flip`: whether a mirrored image keeps its class. `pad`: pixels of padding before the random
    crop.
    """

    name: str
    images: NDArray[np.uint8] | Encoded
    labels: NDArray[np.int64]
    train_rows: NDArray[np.int64] | range
    test_rows: NDArray[np.int64] | range
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    pad: int


@dataclass(frozen=True, slots=True)
class GatherSpec:
    """The images of a domain that a kernel gathers into a batch, and their augmentation.

    `numbers`, (5, n): the index in `source`, the vertical and horizontal shift of the crop, whether the image is
    mirrored, and its label.
    """

    domain: str
    source: Tensor
    numbers: NDArray[np.int64]


class Feed:
    """Loads the batches of a run. Every random draw depends on the seed, the domain, the round and the row only.

    Arrays stay uint8 until they are used, on the device where they fit, else on the host. Encoded images are decoded
    ahead by `workers` processes for all domains (0: in this process), in the order that `plan` announces. `next`
    returns whitened images, (N, 3, H, W) in channels-last memory.
    """

    def __init__(
        self,
        data: Mapping[str, DomainData],
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        workers: int = 0,
    ) -> None:
        self.data = dict(data)
        self.seed = seed
        self.device, self.dtype = device, dtype
        arrays = {name: d.images for name, d in self.data.items() if isinstance(d.images, np.ndarray)}
        encoded = {name: d.images for name, d in self.data.items() if not isinstance(d.images, np.ndarray)}
        storage_device = _storage_device(sum(images.nbytes for images in arrays.values()), device)
        self._images = {name: _stored(_as_tensor(images), storage_device) for name, images in arrays.items()}
        self._loader = Loader(encoded, workers, pin=device.type == "cuda") if encoded else None
        self._order = {
            name: (shuffled if name in arrays else block_shuffled)(len(domain.train_rows), seed, name)
            for name, domain in self.data.items()
        }
        self._whitening = {
            name: (
                torch.tensor(domain.mean, dtype=torch.float64).to(device, dtype),
                (1 / torch.tensor(domain.std, dtype=torch.float64)).to(device, dtype),
            )
            for name, domain in self.data.items()
        }

    def plan(self, groups: Sequence[Sequence[Slice]], rounds: range, batch: Mapping[str, int]) -> None:
        """Announce the calls of `next`, so that encoded images are decoded ahead. Call it again after `eval_views`."""
        if self._loader is not None:
            self._loader.expect(
                self._views(part, round, batch[part.domain])
                for round in rounds
                for group in groups
                for part in group
                if part.domain not in self._images
            )

    def next(self, round: int, group: Sequence[Slice], batch: Mapping[str, int]) -> tuple[Tensor, list[Tensor]]:
        """Return the augmented training images of a group, (N, 3, H, W), and the labels of each slice.

        `batch` is each domain's batch size in the whole round; a slice may be a part of it.
        """
        if can_view(self.device, self.dtype):
            return self._gathered([self._gather_spec(part, round, batch[part.domain]) for part in group])
        images, labels = [], []
        for part in group:
            picked = self._rows(part, round, batch[part.domain])
            images.append(self._augmented(part, round, batch[part.domain], picked))
            labels.append(to_device(self.data[part.domain].labels[picked], self.device))
        return _channels_last(torch.cat(images) if len(images) > 1 else images[0]), labels

    def eval_views(self, domain: str, batches: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Yield the whitened images at these indices, batch by batch, without augmentation."""
        return self.eval_batches([(domain, rows)] for rows in batches)

    def eval_batches(self, batches: Iterable[Sequence[tuple[str, NDArray[np.int64]]]]) -> Iterator[Tensor]:
        """Yield whitened images without augmentation, for batches that are lists of (domain, indices)."""
        views = [[Views(domain, rows) for domain, rows in batch] for batch in batches]
        if self._loader is not None:
            self._loader.expect(view for batch in views for view in batch if view.domain not in self._images)
        for batch in views:
            if can_view(self.device, self.dtype):
                yield self._gathered([self._eval_spec(view) for view in batch])[0]
                continue
            parts = [self._whitened(view.domain, self._pixels(view)) for view in batch]
            yield _channels_last(torch.cat(parts) if len(parts) > 1 else parts[0])

    def close(self) -> None:
        """End the decoding processes."""
        if self._loader is not None:
            self._loader.close()

    def labels(self, domain: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The labels of a domain's images at these indices."""
        return self.data[domain].labels[rows]

    def _rows(self, part: Slice, round: int, batch: int) -> NDArray[np.int64]:
        """Indices of the images of a slice. Sample p = round x batch + row is the p-th of an endless reshuffling."""
        rows = self.data[part.domain].train_rows
        p = round * batch + part.first + np.arange(part.rows)
        epochs, positions = np.divmod(p, len(rows))
        order = np.empty(part.rows, dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            in_epoch = epochs == epoch
            order[in_epoch] = self._order[part.domain](epoch, positions[in_epoch])
        return rows.start + order if isinstance(rows, range) else rows[order]

    def _views(self, part: Slice, round: int, batch: int) -> Views:
        """A slice's images with the places of their windows, which are drawn apart from what else is drawn."""
        windows = draws(self.seed, WINDOW, part.domain, round).random((batch, 4))
        return Views(part.domain, self._rows(part, round, batch), windows[part.first : part.first + part.rows])

    def _pixels(self, views: Views) -> Tensor:
        if views.domain in self._images:
            store = self._images[views.domain]
            return self._on_device(store[torch.from_numpy(views.rows).to(store.device)])
        assert self._loader is not None
        return self._on_device(self._loader.take(views))

    def _augmented(self, part: Slice, round: int, batch: int, picked: NDArray[np.int64]) -> Tensor:
        """Random crops of the zero-padded whitened images, (n, H, W, C). Half are mirrored where the domain allows."""
        domain = self.data[part.domain]
        shift, mirror = self._drawn(part, round, batch)
        if part.domain not in self._images:
            pixels = self._pixels(self._views(part, round, batch))
            if domain.pad:
                return self._cropped(part.domain, pixels, np.arange(part.rows), shift, mirror)
        elif domain.pad:
            return self._cropped(part.domain, self._images[part.domain], picked, shift, mirror)
        else:
            pixels = self._pixels(Views(part.domain, picked))
        return self._whitened(part.domain, _mirrored(pixels, mirror))

    def _drawn(self, part: Slice, round: int, batch: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The vertical and horizontal shifts of a slice's crops, (n, 2), and which images are mirrored, (n,)."""
        domain = self.data[part.domain]
        mine = slice(part.first, part.first + part.rows)
        stream = draws(self.seed, AUGMENT, part.domain, round)
        shift = stream.integers(0, 2 * domain.pad + 1, size=(batch, 2))[mine] - domain.pad
        return shift, stream.integers(0, 2, size=batch)[mine].astype(bool) & domain.flip

    def _gather_spec(self, part: Slice, round: int, batch: int) -> GatherSpec:
        """The augmented training images of a slice, as a GatherSpec."""
        picked = self._rows(part, round, batch)
        shift, mirror = self._drawn(part, round, batch)
        source, indices = self._source(
            self._views(part, round, batch) if part.domain not in self._images else Views(part.domain, picked)
        )
        numbers = np.stack([indices, *shift.T, mirror.astype(np.int64), self.data[part.domain].labels[picked]])
        return GatherSpec(part.domain, source, numbers)

    def _eval_spec(self, views: Views) -> GatherSpec:
        source, indices = self._source(views)
        numbers = np.zeros((5, len(indices)), dtype=np.int64)
        numbers[0], numbers[4] = indices, self.data[views.domain].labels[views.rows]
        return GatherSpec(views.domain, source, numbers)

    def _source(self, views: Views) -> tuple[Tensor, NDArray[np.int64]]:
        """A tensor of images on the device, and the indices of these images in it."""
        store = self._images.get(views.domain)
        if store is not None and store.device.type == self.device.type:
            return store, views.rows
        return self._pixels(views), np.arange(len(views.rows))

    def _gathered(self, specs: Sequence[GatherSpec]) -> tuple[Tensor, list[Tensor]]:
        """The images of several specs as one batch, and the labels of each. The host does not wait for the device."""
        numbers = to_device(np.concatenate([spec.numbers for spec in specs], axis=1), self.device)
        images = numbers.new_empty(numbers.shape[1], *specs[0].source.shape[1:3], 3, dtype=self.dtype)
        first = 0
        for spec in specs:
            whitening = self._whitening[spec.domain]
            view(spec.source, numbers, *whitening, images, first, spec.numbers.shape[1])
            first += spec.numbers.shape[1]
        return _channels_last(images), list(numbers[4].split([spec.numbers.shape[1] for spec in specs]))

    def _cropped(
        self,
        domain: str,
        store: Tensor,
        picked: NDArray[np.int64],
        shift: NDArray[np.int64],
        mirror: NDArray[np.bool_],
    ) -> Tensor:
        """Crop images (N, H, W, C) in one gather, shifted by these rows and columns. Pixels outside are zero."""
        height, width = store.shape[1:3]
        y = np.arange(height) + shift[:, :1]
        x = np.where(mirror[:, None], np.arange(width)[::-1], np.arange(width)) + shift[:, 1:]
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        flat = picked[:, None, None] * (height * width) + y.clip(0, height - 1)[:, :, None] * width
        indices = torch.from_numpy(flat + x.clip(0, width - 1)[:, None, :]).to(store.device)
        pixels = self._on_device(store.reshape(-1, store.shape[3])[indices])
        return self._whitened(domain, pixels) * torch.from_numpy(inside[..., None]).to(self.device)

    def _on_device(self, pixels: Tensor) -> Tensor:
        if pixels.device.type == self.device.type:
            return pixels
        return (pixels.pin_memory() if self.device.type == "cuda" else pixels).to(self.device, non_blocking=True)

    def _whitened(self, domain: str, pixels: Tensor) -> Tensor:
        mean, scale = self._whitening[domain]
        white = pixels.to(self.dtype).sub_(mean).mul_(scale)
        return white if white.shape[3] == 3 else white.expand(*white.shape[:3], 3)


def to_device(array: NDArray[np.int64], device: torch.device) -> Tensor:
    """Copy an array to the device without blocking the host."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _mirrored(pixels: Tensor, mirror: NDArray[np.bool_]) -> Tensor:
    if mirror.any():
        rows = torch.from_numpy(np.flatnonzero(mirror)).to(pixels.device)
        pixels[rows] = pixels[rows].flip(2)
    return pixels


def _channels_last(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _storage_device(size: int, device: torch.device) -> torch.device:
    """The device to store `size` bytes of images on: this one, or the host if they exceed half of its free memory."""
    if device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] // 2:
        return torch.device("cpu")
    return device


def _stored(images: Tensor, device: torch.device) -> Tensor:
    """Images on the device that stores them; contiguous on a GPU, as the kernels require."""
    return images.to(device).contiguous() if device.type == "cuda" else images


def _as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """A tensor that shares the array's memory, which may be a read-only memory map.

    torch warns that such a map could be written to; nothing writes to it. Read-ahead is switched off for a map that is
    larger than half of the free memory: the pages that it would read are evicted before they are used.
    """
    mapped = getattr(images, "_mmap", None)
    free = available_bytes(torch.device("cpu"))
    if mapped is not None and free is not None and images.nbytes > free // 2 and hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(images)
