"""Images of words made here: what is written, what it depends on, and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

import udbench
from udbench_domains.words import make as making
from udbench_domains.words.fonts import find_fonts
from udbench_domains.words.make import NOTE, TOP, Made, make_words
from udbench_domains.words.plan import Counts, picture

WORDS = ["cat", "Dog", "a", "over90", "it's", "straight-forward"]
FEW = Counts(train=3, val=1, test=2)


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def made(tmp_path: Path, lexicon: Path) -> Callable[..., Made]:
    def call(name: str = "out", *, counts: Counts = FEW, fonts: str | None = "built-in", **more: Any) -> Made:
        return make_words(more.pop("lexicon", lexicon), tmp_path / name, counts=counts, fonts=fonts, **more)

    return call


def annotated(folder: Path, split: str) -> list[tuple[str, int]]:
    lines = (folder / TOP / f"annotation_{split}.txt").read_text(encoding="utf-8").splitlines()
    return [(path, int(index)) for path, index in (line.rsplit(" ", 1) for line in lines)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_layout_is_synth90ks(made: Callable[..., Made]) -> None:
    folder = made().folder
    top = folder / TOP
    assert (top / "lexicon.txt").read_text(encoding="utf-8").split("\n") == [*WORDS, ""]
    listed = (top / "imlist.txt").read_text(encoding="utf-8").splitlines()
    by_split = {split: annotated(folder, split) for split in ("train", "val", "test")}
    for split, lines in by_split.items():
        assert sorted(index for _, index in lines) == sorted(list(range(len(WORDS))) * getattr(FEW, split))
        for path, index in lines:
            a, b, name = path.removeprefix("./").split("/")
            number, rest = name.split("_", 1)
            assert (int(a), int(b)) == (1, 1) and int(number) > 0
            assert rest == f"{WORDS[index]}_{index}.jpg"
    assert listed == [path for lines in by_split.values() for path, _ in lines]
    files = {f"./{p.relative_to(top).as_posix()}" for p in top.rglob("*.jpg")}
    assert files == set(listed) and len(listed) == len(WORDS) * FEW.each_word


def test_a_note_says_what_it_is_and_is_not(made: Callable[..., Made], lexicon: Path) -> None:
    note = json.loads((made(seed=7).folder / NOTE).read_text())
    assert note["is_synth90k"] is False and note["seed"] == 7 and note["height"] == 32
    assert note["lexicon_sha256"] == hashlib.sha256(lexicon.read_bytes()).hexdigest()
    assert note["images"] == {"train": 18, "val": 6, "test": 12}
    assert [font["file"] for font in note["fonts"]] == ["built-in"] and note["textures"] == "noise"


def test_folders_hold_three_hundred_images_and_seven_folders() -> None:
    counts = Counts(train=2100, val=1, test=0)
    assert picture(0, ["x"], counts).path == "./1/1/1_x_0.jpg"
    assert picture(299, ["x"], counts).path == "./1/1/300_x_0.jpg"
    assert picture(300, ["x"], counts).path == "./1/2/1_x_0.jpg"
    last = picture(2100, ["x"], counts)
    assert (last.path, last.split, last.number) == ("./2/1/1_x_0.jpg", "val", 0)


@pytest.mark.parametrize("height", [16, 32, 48])
def test_images_have_the_height_and_widths_of_their_own(made: Callable[..., Made], height: int) -> None:
    folder = made(height=height).folder
    sizes: dict[int, list[int]] = {}
    for path, index in annotated(folder, "train"):
        with Image.open(folder / TOP / path) as image:
            assert (image.format, image.mode, image.height) == ("JPEG", "RGB", height)
            sizes.setdefault(index, []).append(image.width)
    assert min(sizes[WORDS.index("straight-forward")]) > max(sizes[WORDS.index("a")])


def test_no_two_images_are_alike_and_the_seed_counts(made: Callable[..., Made]) -> None:
    first = {k: v for k, v in contents(made("one").folder).items() if k.endswith(".jpg")}
    second = contents(made("two", seed=1).folder)
    assert len(set(first.values())) == len(first)
    assert all(second[name] != content for name, content in first.items())


def test_letters_stand_out_from_the_ground(made: Callable[..., Made]) -> None:
    """Not one colour, and not noise alone: neighbours are alike."""
    folder = made(counts=Counts(train=20, val=0, test=0)).folder
    likeness = []
    for path, _ in annotated(folder, "train"):
        with Image.open(folder / TOP / path) as image:
            grey = np.asarray(image.convert("L"), float)
        assert grey.std() > 4
        likeness.append(np.corrcoef(grey[:, :-1].ravel(), grey[:, 1:].ravel())[0, 1])
    assert np.mean(likeness) > 0.8


@pytest.mark.slow
def test_the_files_are_the_same_for_any_number_of_workers(made: Callable[..., Made]) -> None:
    counts = Counts(train=30, val=1, test=1)
    steps: list[tuple[int, int]] = []
    one = made("one", counts=counts, workers=1).folder
    two = made("two", counts=counts, workers=2, progress=lambda *step: steps.append(step)).folder
    assert contents(one) == contents(two)
    total = len(WORDS) * 32
    assert steps[0] == (0, total) and steps[-1] == (total, total) and steps == sorted(steps)


def test_more_images_leave_the_others_as_they_were(made: Callable[..., Made]) -> None:
    """An image depends on seed, split, word and number, not on how many there are."""
    few, more = made("few").folder, made("more", counts=Counts(train=5, val=2, test=2)).folder
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        a, b = annotated(few, split), annotated(more, split)
        assert [(few / TOP / path).read_bytes() for path, _ in a] == [
            (more / TOP / path).read_bytes() for path, _ in b[: count * len(WORDS)]
        ]


def test_textures_are_blended_in(made: Callable[..., Made], tmp_path: Path) -> None:
    folder = tmp_path / "textures" / "deep"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 30), (255, 0, 0)).save(folder / "red.png")
    top = made(textures=tmp_path / "textures").folder / TOP
    means = [np.asarray(Image.open(path)).mean((0, 1)) for path in top.rglob("*.jpg")]
    red, green, blue = np.mean(means, 0)
    assert red > 2 * max(green, blue)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "no word"),
        (b"\n", "no word"),
        (b"cat\n\ndog\n", "line 2: empty"),
        (b"cat\ndog\n\n", "line 3: empty"),
        (b"cat\ndog\ncat\n", "line 3: 'cat' is there already, in line 1"),
        ("caf\u00e9\ncafe\u0301\n".encode(), "line 2"),
        (b"cat\n../../etc/passwd\n", "line 2: '../../etc/passwd' holds '/'"),
        (b"cat\ndo\\g\n", "line 2"),
        (b"cat\nhot dog\n", "line 2: 'hot dog' holds white space"),
        ("cat\nhot\u00a0dog\n".encode(), "line 2"),
        ("cat\nhot\u2028dog\n".encode(), "line 2"),
        (b"cat\ndog\x00\n", "line 2: 'dog\\x00' holds '\\x00'"),
        ("cat\ngo\u202ed\n".encode(), "line 2: 'go\\u202ed' holds '\\u202e'"),
        ("cat\n\u4e2d\n".encode(), "line 2: '\\u4e2d' cannot be drawn"),
        (b"cat\ndog\xff\n", "line 2 is not UTF-8"),
        (b"cat\n" + b"x" * 231 + b"\n", "line 2: a word of 231 bytes"),
    ],
)
def test_a_lexicon_that_will_not_do_is_refused_by_line(
    made: Callable[..., Made], tmp_path: Path, content: bytes, hint: str
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(udbench.DataError) as refused:
        made(lexicon=path)
    assert hint in str(refused.value) and str(path) in str(refused.value)
    assert names(tmp_path) == ["bad.txt", "words.txt"]


def test_a_lexicon_may_come_from_windows_and_hold_the_longest_word(made: Callable[..., Made], tmp_path: Path) -> None:
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbfcat\r\n" + b"w" * 230)
    folder = made(lexicon=path, counts=Counts(train=1, val=0, test=0)).folder
    assert (folder / TOP / "lexicon.txt").read_bytes() == b"cat\n" + b"w" * 230 + b"\n"
    assert (folder / TOP / "annotation_val.txt").read_bytes() == b""


def test_what_is_there_is_not_touched(made: Callable[..., Made], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert made().folder == out, "an empty folder may be filled"
    before = contents(out)
    with pytest.raises(udbench.DataError, match="exists already"):
        made(seed=1)
    assert contents(out) == before
    with pytest.raises(udbench.DataError, match="its parent folder"):
        made("nowhere/out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(udbench.DataError, match="exists already"):
        made("file")
    assert names(tmp_path) == ["file", "out", "words.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_is_stopped_leaves_nothing(made: Callable[..., Made], tmp_path: Path, error: BaseException) -> None:
    def stop(ready: int, _: int) -> None:
        if ready:
            raise error

    expected = udbench.UdbenchError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        made(progress=stop)
    assert names(tmp_path) == ["words.txt"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C otherwise")
def test_ctrl_c_with_workers_ends_them_and_leaves_nothing(tmp_path: Path, lexicon: Path) -> None:
    words = ["data", "make-words", str(lexicon), str(tmp_path / "out")]
    options = ["--fonts", "built-in", "--images-per-word", "100000", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "udbench", *words, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        deadline = time.monotonic() + 240
        while not any(tmp_path.glob(".out-*.part/**/*.jpg")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        # The workers hold these pipes too: that they close shows that no worker is left.
        out, err = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    assert names(tmp_path) == ["words.txt"]


@pytest.mark.slow
def test_an_error_in_a_worker_is_told_and_leaves_nothing(made: Callable[..., Made], tmp_path: Path) -> None:
    folder = tmp_path / "textures"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no image")
    for workers in (1, 2):
        with pytest.raises(udbench.DataError, match=r"bad\.png: this texture cannot be read"):
            made(textures=folder, workers=workers, counts=Counts(train=20, val=2, test=1))
    assert names(tmp_path) == ["textures", "words.txt"]


def test_no_fonts_is_one_sentence_and_no_silent_choice(
    made: Callable[..., Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "fonts"
    empty.mkdir()
    with pytest.raises(udbench.DataError, match="--fonts built-in"):
        made(fonts=str(empty))
    monkeypatch.setattr("udbench_domains.words.fonts.font_folders", list)
    with pytest.raises(udbench.DataError, match="none is there; install some"):
        made(fonts=None)
    with pytest.raises(udbench.DataError, match="no such folder"):
        made(fonts=str(tmp_path / "nowhere"))
    with pytest.raises(udbench.DataError, match="--textures"):
        made(textures=empty)
    assert names(tmp_path) == ["fonts", "words.txt"]


def test_a_folder_of_fonts_is_read_deep_once_each_and_without_what_is_none(tmp_path: Path) -> None:
    font = ImageFont.load_default(size=10)
    assert isinstance(font, ImageFont.FreeTypeFont) and isinstance(font.path, io.BytesIO)
    for name in ("a/one.ttf", "b/same.TTF", "b/.hidden.ttf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(font.path.getvalue())
    (tmp_path / "a/broken.otf").write_bytes(b"no font")
    found = find_fonts(["cat", "\u4e2d"], str(tmp_path))
    assert len(found.used) == 1 and found.used[0].missing == {"\u4e2d"}
    assert list(found.left_out) == [str(tmp_path / "a/broken.otf")]
    with pytest.raises(udbench.DataError, match="has no character of the lexicon"):
        find_fonts(["\u4e2d"], "built-in")


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"counts": Counts(train=0, val=1, test=1)}, "--images-per-word 0"),
        ({"counts": Counts(train=1, val=-1, test=1)}, "--val -1"),
        ({"seed": -1}, "--seed -1"),
        ({"workers": 0}, "--workers 0"),
        ({"height": 7}, "--height 7"),
    ],
)
def test_settings_out_of_range_are_refused(made: Callable[..., Made], changed: dict[str, Any], hint: str) -> None:
    with pytest.raises(udbench.SettingError, match=hint):
        made(**changed)


def test_the_verb_makes_them(tmp_path: Path, lexicon: Path) -> None:
    command = [sys.executable, "-m", "udbench", "data", "make-words", str(lexicon), str(tmp_path / "out")]
    options = ["--images-per-word", "2", "--val", "0", "--test", "1", "--fonts", "built-in", "--workers", "1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"18 images of 6 words in 1 font: {tmp_path / 'out'}\n"
    again = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    assert again.returncode == 2 and "exists already" in again.stderr and "Traceback" not in again.stderr


def test_the_plugin_imports_no_numpy_until_asked() -> None:
    program = (
        "import sys, udbench_domains, udbench_domains.words\n"
        "udbench_domains.udbench_commands()\n"
        "sys.exit(' '.join({'PIL', 'numpy', 'torch'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
    assert making.TOP == "mnt/ramdisk/max/90kDICT32px"
