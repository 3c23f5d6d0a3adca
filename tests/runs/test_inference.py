"""Which image files words stand for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from udbench.errors import DataError
from udbench.runs.inference import image_files


def test_a_folder_is_all_images_below_it_in_the_order_of_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.png", "b/1.JPG", "a.png", "b/.hidden.png", ".git/x.png", "b/notes.txt"):
        Path("top", name).parent.mkdir(parents=True, exist_ok=True)
        Path("top", name).write_bytes(b"")
    listed = io.BytesIO(b"one.png\n\ntwo words.png\r\n")
    found = image_files(["z.png", "top", "-"], listed)
    assert [str(path) for path in found] == [
        "z.png", "top/a.png", "top/b/1.JPG", "top/b/2.png", "one.png", "two words.png",
    ]  # fmt: skip
    (strange,) = image_files(["-"], io.BytesIO(b"a\nb\xff.png\0"))
    assert bytes(strange) == b"a\nb\xff.png", "between zero bytes a line's end is part of a name"
    Path("top/b/again").symlink_to(tmp_path / "top")
    with pytest.raises(DataError, match="top/b/again: a link to a folder that contains it; remove the link"):
        image_files(["top"], listed)


@pytest.mark.parametrize(
    ("words", "listed", "message"),
    [
        (["-"], b"\n \n", "-: no path is named on standard input"),
        (["-", "-"], b"a.png\n", "- is named twice"),
        (["empty"], b"", "empty: no image in it or below; images end in .avif, .bmp"),
    ],
)
def test_words_that_stand_for_no_image_are_refused(
    words: list[str], listed: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(DataError, match=message):
        image_files(words, io.BytesIO(listed))
