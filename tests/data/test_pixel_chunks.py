"""What workers take at a time, and what they count of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udbench.data import pixel_chunks
from udbench.data.store import picture_sums, pixel_sums


@pytest.mark.parametrize(("train", "total"), [(1, 2), (36, 45), (255, 256), (1000, 1200), (30_000, 31_000), (99, 9999)])
def test_every_row_is_taken_once_and_none_with_rows_of_the_other_split(train: int, total: int) -> None:
    spans = pixel_chunks.spans(train, total)
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(total))
    assert all(stop <= train or start >= train for start, stop in spans)


def test_chunks_are_large_while_much_is_left_and_small_at_the_end() -> None:
    sizes = [stop - start for start, stop in pixel_chunks.spans(80_000, 100_000)]
    assert sizes[0] == pixel_chunks.CHUNK and set(sizes[-10:-1]) == {pixel_chunks.LEAST}


@pytest.mark.parametrize("shape", [(3, 5, 4, 3), (3, 5, 4, 1), (0, 5, 4, 3), (1, 1100, 1000, 3), (1, 1100, 1000, 1)])
def test_sums_are_exact(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    flat = images.reshape(-1, shape[-1]).astype(np.int64)
    total, squares = pixel_sums(images)
    assert total.tolist() == flat.sum(0).tolist() and squares.tolist() == (flat**2).sum(0).tolist()
    if len(images) == 1:
        one = picture_sums(Image.fromarray(images[0] if shape[-1] == 3 else images[0, ..., 0]))
        assert [part.tolist() for part in one] == [total.tolist(), squares.tolist()]


def test_sums_of_the_brightest_pixels_do_not_overflow() -> None:
    total, squares = pixel_sums(np.full((70, 1000, 1000, 1), 255, dtype=np.uint8))
    assert total.tolist() == [255 * 70_000_000] and squares.tolist() == [255**2 * 70_000_000]


def test_rows_are_written_in_their_place_and_only_there(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    pixel_chunks.new_images(path, (6, 2, 3, 3))
    block = np.random.default_rng(0).integers(1, 256, (2, 2, 3, 3), dtype=np.uint8)
    with path.open("r+b") as file:
        file.seek(pixel_chunks.offset_of(file, 3, 2 * 3 * 3))
        pixel_chunks.write_rows(file, block)
    whole = np.load(path)
    assert (whole[3:5] == block).all() and not whole[:3].any() and not whole[5:].any()
