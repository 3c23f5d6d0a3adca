"""Pure batches on the device: which images a round sees, and how each is cropped, mirrored and whitened."""

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
    """A domain as training sees it.

    `images`: (N, H, W, C) uint8, C of 1 or 3, or encoded images that are decoded when needed. `labels`: (N,) int64.
    `train_rows`, `test_rows`: positions of the images to train on and to score. `mean`, `std`: per stored channel,
    in units of 0 to 255. `flip`: whether a mirrored image keeps its class. `pad`: pixels around the image before the
    random crop.
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
class Asked:
    """Images of a domain for a kernel to make views of. `numbers`, (5, n): places in `source`, how far down and right
    the windows lie, whether each is mirrored, and its label."""

    domain: str
    source: Tensor
    numbers: NDArray[np.int64]


class Feed:
    """The batches of a run. Every draw depends on the seed, the domain, the round and the row alone.

    Arrays stay uint8 until they are needed, on the device where they fit there, else where they are; encoded images
    are decoded ahead by `workers` processes, which serve all domains (0: by this process), once `plan` has said what
    comes. `next` gives images whitened, (N, 3, H, W) in channels-last memory.
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
        where = _place(sum(images.nbytes for images in arrays.values()), device)
        self._images = {name: _held(_as_tensor(images), where) for name, images in arrays.items()}
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
        """Say what `next` will be asked for, so that encoded images are decoded ahead. Called anew after `centres`."""
        if self._loader is not None:
            self._loader.expect(
                self._views(part, round, batch[part.domain])
                for round in rounds
                for group in groups
                for part in group
                if part.domain not in self._images
            )

    def next(self, round: int, group: Sequence[Slice], batch: Mapping[str, int]) -> tuple[Tensor, list[Tensor]]:
        """Augmented training images of a group's slices, and each slice's labels.

        `batch` is each domain's rows in the whole round, of which a slice may be a part.
        """
        if can_view(self.device, self.dtype):
            return self._viewed([self._asked(part, round, batch[part.domain]) for part in group])
        images, labels = [], []
        for part in group:
            picked = self._rows(part, round, batch[part.domain])
            images.append(self._augmented(part, round, batch[part.domain], picked))
            labels.append(sent(self.data[part.domain].labels[picked], self.device))
        return _channels_last(torch.cat(images) if len(images) > 1 else images[0]), labels

    def centres(self, domain: str, batches: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        """The images at these positions as they are, whitened, batch by batch: the view that is scored."""
        return self.scored([(domain, rows)] for rows in batches)

    def scored(self, batches: Iterable[Sequence[tuple[str, NDArray[np.int64]]]]) -> Iterator[Tensor]:
        """As `centres`, for batches of several domains' images: (domain, positions) after (domain, positions)."""
        views = [[Views(domain, rows) for domain, rows in batch] for batch in batches]
        if self._loader is not None:
            self._loader.expect(view for batch in views for view in batch if view.domain not in self._images)
        for batch in views:
            if can_view(self.device, self.dtype):
                yield self._viewed([self._as_they_are(view) for view in batch])[0]
                continue
            parts = [self._whitened(view.domain, self._pixels(view)) for view in batch]
            yield _channels_last(torch.cat(parts) if len(parts) > 1 else parts[0])

    def close(self) -> None:
        """End the processes that decode."""
        if self._loader is not None:
            self._loader.close()

    def labels(self, domain: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The labels at these positions."""
        return self.data[domain].labels[rows]

    def _rows(self, part: Slice, round: int, batch: int) -> NDArray[np.int64]:
        """Positions of the images of a slice: sample p = round x batch + row is p-th in an endless reshuffling."""
        rows = self.data[part.domain].train_rows
        p = round * batch + part.first + np.arange(part.rows)
        epochs, places = np.divmod(p, len(rows))
        order = np.empty(part.rows, dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            order[here] = self._order[part.domain](epoch, places[here])
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
        """Crops of the zero-padded whitened images, half of them mirrored where the domain allows: (n, H, W, C)."""
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
        """How far down and right the windows of a slice's images lie, (n, 2), and which are mirrored."""
        domain = self.data[part.domain]
        mine = slice(part.first, part.first + part.rows)
        stream = draws(self.seed, AUGMENT, part.domain, round)
        shift = stream.integers(0, 2 * domain.pad + 1, size=(batch, 2))[mine] - domain.pad
        return shift, stream.integers(0, 2, size=batch)[mine].astype(bool) & domain.flip

    def _asked(self, part: Slice, round: int, batch: int) -> Asked:
        """A slice's images, for a kernel to make views of."""
        picked = self._rows(part, round, batch)
        shift, mirror = self._drawn(part, round, batch)
        source, places = self._source(
            self._views(part, round, batch) if part.domain not in self._images else Views(part.domain, picked)
        )
        numbers = np.stack([places, *shift.T, mirror.astype(np.int64), self.data[part.domain].labels[picked]])
        return Asked(part.domain, source, numbers)

    def _as_they_are(self, views: Views) -> Asked:
        source, places = self._source(views)
        numbers = np.zeros((5, len(places)), dtype=np.int64)
        numbers[0], numbers[4] = places, self.data[views.domain].labels[views.rows]
        return Asked(views.domain, source, numbers)

    def _source(self, views: Views) -> tuple[Tensor, NDArray[np.int64]]:
        """Images on the device, and where among them these are."""
        store = self._images.get(views.domain)
        if store is not None and store.device.type == self.device.type:
            return store, views.rows
        return self._pixels(views), np.arange(len(views.rows))

    def _viewed(self, asked: Sequence[Asked]) -> tuple[Tensor, list[Tensor]]:
        """What was asked for as one batch, and each one's labels. The host waits for nothing."""
        numbers = sent(np.concatenate([each.numbers for each in asked], axis=1), self.device)
        images = numbers.new_empty(numbers.shape[1], *asked[0].source.shape[1:3], 3, dtype=self.dtype)
        first = 0
        for each in asked:
            whitening = self._whitening[each.domain]
            view(each.source, numbers, *whitening, images, first, each.numbers.shape[1])
            first += each.numbers.shape[1]
        return _channels_last(images), list(numbers[4].split([each.numbers.shape[1] for each in asked]))

    def _cropped(
        self,
        domain: str,
        store: Tensor,
        picked: NDArray[np.int64],
        shift: NDArray[np.int64],
        mirror: NDArray[np.bool_],
    ) -> Tensor:
        """One gather from images (N, H, W, C): windows shifted by so many rows and columns, with zeros where they
        leave the image."""
        height, width = store.shape[1:3]
        y = np.arange(height) + shift[:, :1]
        x = np.where(mirror[:, None], np.arange(width)[::-1], np.arange(width)) + shift[:, 1:]
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        flat = picked[:, None, None] * (height * width) + y.clip(0, height - 1)[:, :, None] * width
        places = torch.from_numpy(flat + x.clip(0, width - 1)[:, None, :]).to(store.device)
        pixels = self._on_device(store.reshape(-1, store.shape[3])[places])
        return self._whitened(domain, pixels) * torch.from_numpy(inside[..., None]).to(self.device)

    def _on_device(self, pixels: Tensor) -> Tensor:
        if pixels.device.type == self.device.type:
            return pixels
        return (pixels.pin_memory() if self.device.type == "cuda" else pixels).to(self.device, non_blocking=True)

    def _whitened(self, domain: str, pixels: Tensor) -> Tensor:
        mean, scale = self._whitening[domain]
        white = pixels.to(self.dtype).sub_(mean).mul_(scale)
        return white if white.shape[3] == 3 else white.expand(*white.shape[:3], 3)


def sent(array: NDArray[np.int64], device: torch.device) -> Tensor:
    """An array on the device, which the host does not wait for."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _mirrored(pixels: Tensor, mirror: NDArray[np.bool_]) -> Tensor:
    if mirror.any():
        rows = torch.from_numpy(np.flatnonzero(mirror)).to(pixels.device)
        pixels[rows] = pixels[rows].flip(2)
    return pixels


def _channels_last(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def _place(size: int, device: torch.device) -> torch.device:
    """Where so many bytes of images are kept: on the device, or where they would take half of what is free there, on
    the host."""
    if device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] // 2:
        return torch.device("cpu")
    return device


def _held(images: Tensor, where: torch.device) -> Tensor:
    """Images where they are kept; on a GPU as kernels read them, whatever the array's strides."""
    return images.to(where).contiguous() if where.type == "cuda" else images


def _as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """A tensor over the array's memory. A read-only map stays one, however much larger than memory it is: torch warns
    that it could be written to, and nothing does. Of a map that memory does not hold, only what is asked for is read:
    the neighbours that the system would read as well are seldom used before they are gone."""
    mapped = getattr(images, "_mmap", None)
    room = available_bytes(torch.device("cpu"))
    if mapped is not None and room is not None and images.nbytes > room // 2 and hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(images)
