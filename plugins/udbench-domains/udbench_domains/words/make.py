"""Generate a data set of words: check the arguments, write to a temporary folder, rename it at the end."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL

import udbench
from udbench import DataError, SettingError, UdbenchError
from udbench_domains.words.fonts import BUILT_IN, Fonts, find_fonts
from udbench_domains.words.lexicon import check_drawable, read_lexicon
from udbench_domains.words.plan import SPLITS, Counts, picture
from udbench_domains.words.textures import find_textures
from udbench_domains.words.work import Job, done

TOP = "mnt/ramdisk/max/90kDICT32px"
NOTE = "MADE_BY_UDBENCH.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A generated data set: the folder, the numbers of words and images, and the fonts."""

    folder: Path
    words: int
    images: int
    fonts: Fonts


def make_words(
    lexicon: Path,
    out: Path,
    *,
    counts: Counts,
    seed: int = 0,
    workers: int = 1,
    fonts: str | None = None,
    textures: Path | None = None,
    height: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Draw the words of a lexicon into `out`, in the layout of Synth90k, with a note that it is not Synth90k.

    An image's random draws depend only on the seed, its split, word and number, so that the files are the same for any
    number of workers, given the same fonts, textures, Pillow and numpy. `progress(done, total)` is called with numbers
    of images. `out` exists only when it is complete: an interruption leaves nothing. Raises SettingError, DataError
    for a lexicon, fonts, textures or an `out` that cannot be used, and UdbenchError for a disk that is full or cannot
    be written.
    """
    _check(counts, seed, workers, height)
    out = Path(out)
    _check_free(out)
    words = read_lexicon(lexicon)
    found = find_fonts(words, fonts)
    check_drawable(lexicon, words, found.used)
    files = find_textures(textures) if textures is not None else ()
    with _explained(out), _aside(out) as partial:
        top = partial / TOP
        top.mkdir(parents=True)
        job = Job(
            folder=str(top), words=words, counts=counts, seed=seed, height=height, fonts=found.used, textures=files
        )
        report = progress or (lambda *_: None)
        ready = 0
        report(ready, job.total)
        with contextlib.closing(done(job, workers)) as steps:
            for step in steps:
                ready += step
                report(ready, job.total)
        assert ready == job.total
        digest = _write_lists(job, top)
        note = _note(job, digest, found)
        (partial / NOTE).write_text(json.dumps(note, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return Made(folder=out, words=len(words), images=job.total, fonts=found)


def _check(counts: Counts, seed: int, workers: int, height: int) -> None:
    for name, value, least in (
        ("images-per-word", counts.train, 1),
        ("val", counts.val, 0),
        ("test", counts.test, 0),
        ("seed", seed, 0),
        ("workers", workers, 1),
        ("height", height, 8),
    ):
        if value < least:
            raise SettingError(f"--{name} {value}: at least {least} is expected")


def _check_free(out: Path) -> None:
    if not out.parent.is_dir():
        raise DataError(f"{out}: its parent folder {out.parent} does not exist; create it first")
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise DataError(f"{out}: exists already and is not an empty folder; name another, or remove it")


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise UdbenchError(
                f"{out}: the disk is full; nothing is kept: free some space, or reduce the number of images"
            ) from error
        raise UdbenchError(f"{out}: cannot be created: {error}") from error


@contextlib.contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` that is renamed to it if the block succeeds, and removed otherwise."""
    with ExitStack() as stack:
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-", suffix=".part"))
        stack.callback(shutil.rmtree, partial)
        yield partial
        _check_free(out)
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        if out.exists():
            out.rmdir()
        partial.rename(out)
        stack.pop_all()


def _write_lists(job: Job, top: Path) -> str:
    """Write lexicon.txt, imlist.txt and the annotations; return the lexicon's SHA-256."""
    content = "".join(f"{word}\n" for word in job.words).encode()
    (top / "lexicon.txt").write_bytes(content)
    with ExitStack() as stack:
        names = ["imlist", *(f"annotation_{split}" for split in SPLITS)]
        lists = {
            name: stack.enter_context((top / f"{name}.txt").open("w", encoding="utf-8", newline="\n")) for name in names
        }
        for n in range(job.total):
            each = picture(n, job.words, job.counts)
            lists["imlist"].write(f"{each.path}\n")
            lists[f"annotation_{each.split}"].write(f"{each.path} {each.word}\n")
    return hashlib.sha256(content).hexdigest()


def _note(job: Job, digest: str, found: Fonts) -> dict[str, object]:
    return {
        "name": "words drawn by udbench data make-words",
        "is_synth90k": False,
        "about": "Made here in the layout of Synth90k. Not Synth90k: no figure measured on it compares with one "
        "measured on Synth90k.",
        "versions": {"udbench": udbench.__version__, "pillow": PIL.__version__, "numpy": np.__version__},
        "seed": job.seed,
        "height": job.height,
        "words": len(job.words),
        "lexicon_sha256": digest,
        "images_per_word": asdict(job.counts),
        "images": {split: len(job.words) * getattr(job.counts, split) for split in SPLITS},
        "fonts": [
            {"name": font.name, "file": Path(font.path).name if font.path else BUILT_IN, "sha256": font.sha256}
            for font in found.used
        ],
        "fonts_left_out": {Path(path).name: reason for path, reason in found.left_out.items()},
        "textures": len(job.textures) or "noise",
    }
