"""Decoding ahead: the same images whoever decodes them, in as many processes as asked for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from udbench.errors import DataError, UdbenchError
from udbench.testing import toys
from udbench.train.input.feed import Feed
from udbench.train.input.loader import Loader, Views
from udbench.train.route import Slice

BATCH = {"reds": 20, "blues": 7, "plain": 4}


class Fake:
    """Encoded images whose pixels tell which image and which window they are of."""

    shape = (4, 6, 3)

    def __init__(
        self, offset: int, broken: int | None = None, deadly: int | None = None, hung: int | None = None
    ) -> None:
        self.offset, self.broken, self.deadly, self.hung = offset, broken, deadly, hung

    def pixels(self, row: int, draw: Sequence[float] | None = None) -> NDArray[np.uint8]:
        if row == self.broken:
            raise DataError(f"image {row}: broken")
        if row == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if row == self.hung:
            os.kill(os.getpid(), signal.SIGSTOP)
        window = np.array(draw if draw is not None else [0] * 4)
        block = np.full(self.shape, self.offset + row % 100, dtype=np.uint8)
        block[0, :4, 0] = (window * 255).astype(np.uint8)
        return block


@contextlib.contextmanager
def feed(workers: int, seed: int = 0) -> Iterator[Feed]:
    def data(name: str, images: Fake, count: int):
        toy = toys.toy_data(name)
        return replace(toy, images=images, labels=np.arange(count), train_rows=range(count - 5), pad=0,
                       test_rows=range(count - 5, count))  # fmt: skip

    domains = {
        "reds": data("reds", Fake(0), 90),
        "blues": data("blues", Fake(100), 40),
        "plain": toys.toy_data("plain"),
    }
    made = Feed(domains, seed, torch.device("cpu"), torch.float64, workers)
    with contextlib.closing(made):
        yield made


GROUPS = [(Slice("reds", 20), Slice("blues", 7)), (Slice("plain", 4),)]


def rounds(made: Feed, which: range) -> list[torch.Tensor]:
    made.plan(GROUPS, which, BATCH)
    return [t for round in which for group in GROUPS for t in flat(*made.next(round, group, BATCH))]


def flat(images: torch.Tensor, labels: list[torch.Tensor]) -> list[torch.Tensor]:
    return [images, *labels]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def expected() -> list[torch.Tensor]:
    with feed(0) as made:
        return rounds(made, range(8))


@pytest.mark.parametrize("workers", [1, 3])
def test_the_batches_do_not_depend_on_how_many_processes_decode(workers: int, expected: list[torch.Tensor]) -> None:
    with feed(workers) as made:
        assert same(rounds(made, range(8)), expected)


def test_a_run_that_goes_on_sees_the_images_that_would_have_come(expected: list[torch.Tensor]) -> None:
    each = len(expected) // 8
    with feed(2) as made:
        assert same(rounds(made, range(5, 8)), expected[5 * each :])


def test_scoring_in_between_changes_nothing_and_shows_the_centre(expected: list[torch.Tensor]) -> None:
    with feed(2) as made:
        made.plan(GROUPS, range(8), BATCH)
        first = [t for group in GROUPS for t in flat(*made.next(0, group, BATCH))]
        seen = list(made.eval_views("reds", [np.array([86, 85]), np.array([89])]))
        later = rounds(made, range(1, 8))
    assert same(first + later, expected)
    data = made.data["reds"]
    for image, row in zip(torch.cat(seen), (86, 85, 89), strict=True):
        pixel = image[:, -1, -1] * torch.tensor(data.std, dtype=torch.float64) + torch.tensor(data.mean)
        assert pixel.tolist() == pytest.approx([row % 100] * 3)


def test_an_image_comes_once_an_epoch() -> None:
    with feed(0) as made:
        made.plan([(Slice("reds", 17),)], range(5), {"reds": 17})
        labels = [made.next(round, (Slice("reds", 17),), {"reds": 17})[1][0] for round in range(5)]
    assert sorted(torch.cat(labels).tolist()) == list(range(85))


def test_a_slice_of_a_domain_that_is_split_sees_its_part_of_the_windows() -> None:
    with feed(0) as made:
        made.plan([(Slice("reds", 20),)], range(1), BATCH)
        whole, _ = made.next(0, (Slice("reds", 20),), BATCH)
        part = Slice("reds", 8, 12)
        made.plan([(part,)], range(1), BATCH)
        assert torch.equal(made.next(0, (part,), BATCH)[0], whole[12:])


def test_one_set_of_processes_serves_all_domains_and_ends_with_the_feed() -> None:
    before = len(multiprocessing.active_children())
    with feed(2) as made:
        rounds(made, range(2))
        list(made.eval_views("blues", [np.arange(3)]))
        assert len(multiprocessing.active_children()) - before == 2
    assert len(multiprocessing.active_children()) == before


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_decoded_is_one_sentence(workers: int) -> None:
    loader = Loader({"a": Fake(0, broken=18)}, workers)
    views = [Views("a", np.arange(10)), Views("a", np.arange(10, 20))]
    loader.expect(views)
    assert len(loader.take(views[0])) == 10
    with pytest.raises(DataError, match=r"^image 18: broken$"):
        loader.take(views[1])
    loader.close()


def test_a_process_that_is_killed_is_told_of() -> None:
    loader = Loader({"a": Fake(0, deadly=3)}, 1)
    views = Views("a", np.arange(10))
    with pytest.raises(UdbenchError, match="a process that decodes images was killed"):
        loader.expect([views])
        loader.take(views)
    loader.close()


def test_a_process_that_hangs_is_told_of_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDBENCH_TIMEOUT", "1")
    before = multiprocessing.active_children()
    loader = Loader({"a": Fake(0, hung=3)}, 1)
    views = Views("a", np.arange(10))
    loader.expect([views])
    with pytest.raises(UdbenchError, match=r"no process has decoded the next 16 images in 1 s: .*UDBENCH_TIMEOUT"):
        loader.take(views)
    loader.close()
    assert multiprocessing.active_children() == before


def test_no_piece_goes_through_shared_memory(monkeypatch: pytest.MonkeyPatch, expected: list[torch.Tensor]) -> None:
    """A container has 64 MB of it, and less is left."""

    def full(*_: object) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    monkeypatch.setattr(torch.UntypedStorage, "_share_filename_cpu_", full)
    with feed(2) as made:
        assert same(rounds(made, range(8)), expected)
