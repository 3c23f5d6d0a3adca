from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from udbench.testing import toys
from udbench.train.input.feed import DomainData
from udbench.train.route import Slice

BATCH = {"reds": 6}


def numbered(images: int = 20, size: int = 4, **changed: object) -> DomainData:
    """A domain whose pixels tell which image and which place they are from."""
    place = np.arange(size * size).reshape(size, size)
    pixels = (np.arange(images)[:, None, None] * size * size + place)[..., None] % 251
    fields = {
        "name": "reds",
        "images": pixels.astype(np.uint8),
        "labels": np.arange(images),
        "train_rows": np.arange(images),
        "test_rows": np.arange(images),
        "mean": (0.0,),
        "std": (1.0,),
        "flip": False,
        "pad": 0,
    }
    return DomainData(**{**fields, **changed})


def test_an_epoch_shows_each_image_once_and_the_next_shows_them_in_another_order() -> None:
    feed = toys.toy_feed([numbered()])
    seen = torch.cat([feed.next(r, [Slice("reds", 5)], {"reds": 5})[1][0] for r in range(8)]).tolist()
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20))
    assert seen[:20] != seen[20:] != list(range(20))


def test_a_batch_that_spans_epochs_repeats_no_more_than_it_must() -> None:
    feed = toys.toy_feed([numbered(images=4)])
    labels = feed.next(0, [Slice("reds", 6)], BATCH)[1][0].tolist()
    assert sorted(labels[:4]) == [0, 1, 2, 3]


def test_samples_and_augmentation_do_not_depend_on_who_shares_the_forward_or_on_what_came_before() -> None:
    data = [toys.toy_data("reds"), toys.toy_data("blues")]
    batch = {"reds": 6, "blues": 6}
    both, labels = toys.toy_feed(data).next(7, [Slice("blues", 6), Slice("reds", 6)], batch)
    later = toys.toy_feed(data[:1])
    for round in (3, 4):
        later.next(round, [Slice("reds", 6)], batch)
    alone, own = later.next(7, [Slice("reds", 6)], batch)
    assert torch.equal(both[6:], alone) and torch.equal(labels[1], own[0])
    other_seed, _ = toys.toy_feed(data, seed=1).next(7, [Slice("reds", 6)], batch)
    assert not torch.equal(other_seed, alone)


def test_a_domain_split_over_processes_sees_the_same_rows() -> None:
    feed = toys.toy_feed([toys.toy_data("reds")])
    whole, labels = feed.next(2, [Slice("reds", 6)], BATCH)
    parts = [feed.next(2, [Slice("reds", rows, first)], BATCH) for rows, first in ((4, 0), (2, 4))]
    assert torch.equal(whole, torch.cat([images for images, _ in parts]))
    assert torch.equal(labels[0], torch.cat([own[0] for _, own in parts]))


def test_without_padding_and_flips_training_images_are_the_centre_view() -> None:
    feed = toys.toy_feed([numbered()])
    images, (labels,) = feed.next(0, [Slice("reds", 6)], BATCH)
    assert torch.equal(images, next(feed.eval_views("reds", [labels.numpy()])))
    assert images.shape == (6, 3, 4, 4) and torch.equal(images[:, 0], images[:, 2])


class Packed:
    """Encoded images that are decoded to those of an array."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images, self.shape = images, images.shape[1:]

    def pixels(self, row: int, draw: Sequence[float] | None = None) -> NDArray[np.uint8]:
        return self.images[row]


@pytest.mark.parametrize("encoded", [False, True], ids=["pixels", "encoded"])
@pytest.mark.parametrize("flip", [False, True])
def test_crops_are_shifts_of_the_padded_image_mirrored_only_where_allowed(flip: bool, encoded: bool) -> None:
    domain = numbered(images=60, size=6, pad=2, flip=flip, mean=(100.0,), std=(50.0,))
    feed = toys.toy_feed([replace(domain, images=Packed(domain.images)) if encoded else domain])
    feed.plan([(Slice("reds", 6),)], range(10), BATCH)
    kinds: set[tuple[int, int, bool]] = set()
    for round in range(10):
        images, (labels,) = feed.next(round, [Slice("reds", 6)], BATCH)
        for image, label in zip(images, labels, strict=True):
            white = (domain.images[int(label), :, :, 0].astype(float) - 100) / 50
            padded = np.pad(white, 2)
            views = {
                (dy, dx, mirrored): crop[:, ::-1] if mirrored else crop
                for dy in range(5)
                for dx in range(5)
                for crop in [padded[dy : dy + 6, dx : dx + 6]]
                for mirrored in (False, True)
            }
            (kind,) = (key for key, view in views.items() if np.allclose(view, image[0].numpy()))
            kinds.add(kind)
    assert {mirrored for *_, mirrored in kinds} == ({False, True} if flip else {False})
    assert {dy for dy, *_ in kinds} == {dx for _, dx, _ in kinds} == set(range(5))
    assert len({(dy, dx) for dy, dx, _ in kinds}) > 15, "offsets are drawn for each image, not once a batch"


def test_the_scored_view_is_the_centre_of_the_padded_image_and_never_mirrored() -> None:
    domain = numbered(images=20, size=6, pad=2, flip=True, mean=(100.0,), std=(50.0,))
    feed = toys.toy_feed([domain])
    for _ in range(3):
        for image, seen in zip(domain.images, next(feed.eval_views("reds", [np.arange(20)])), strict=True):
            padded = np.pad((image[:, :, 0].astype(float) - 100) / 50, 2)
            assert np.allclose(seen[0].numpy(), padded[2:8, 2:8])


class Ramps:
    """Encoded images that are brighter to the right."""

    shape = (4, 6, 3)

    def pixels(self, row: int, draw: Sequence[float] | None = None) -> NDArray[np.uint8]:
        return np.broadcast_to(np.arange(6, dtype=np.uint8)[None, :, None], self.shape)


@pytest.mark.parametrize("flip", [False, True])
def test_encoded_images_are_mirrored_in_training_alone_and_only_where_allowed(flip: bool) -> None:
    feed = toys.toy_feed([replace(numbered(), images=Ramps(), mean=(0.0,) * 3, std=(1.0,) * 3, flip=flip)])
    feed.plan([(Slice("reds", 6),)], range(8), BATCH)
    images = torch.cat([feed.next(round, [Slice("reds", 6)], BATCH)[0] for round in range(8)])
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, -1]
    assert 0.25 < mirrored.float().mean() < 0.75 if flip else not mirrored.any()
    scored = torch.cat(list(feed.eval_views("reds", [np.arange(20)])))
    assert (scored[:, 0, 0, 0] < scored[:, 0, 0, -1]).all()


def test_images_are_whitened_by_their_own_domains_moments() -> None:
    data = toys.toy_data("reds", images=300)
    images = next(toys.toy_feed([data]).eval_views("reds", [data.train_rows]))
    assert torch.allclose(images.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(images.std((0, 2, 3), unbiased=False), torch.ones(3, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("fits", [True, False])
def test_a_read_only_memory_map_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    monkeypatch.setattr("udbench.train.input.feed.available_bytes", lambda device: 10**12 if fits else 1)
    domain = toys.toy_data("reds")
    np.save(tmp_path / "images.npy", domain.images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    feed = toys.toy_feed(
        [DomainData(**{**{k: getattr(domain, k) for k in domain.__dataclass_fields__}, "images": mapped})]
    )
    other = toys.toy_feed([domain])
    rows = [domain.test_rows]
    assert torch.equal(next(feed.eval_views("reds", rows)), next(other.eval_views("reds", rows)))
