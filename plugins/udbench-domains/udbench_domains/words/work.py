"""Generate all images of a data set of words with several processes."""

from __future__ import annotations

import functools
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from udbench import in_processes
from udbench_domains.words.fonts import Font
from udbench_domains.words.paint import paint
from udbench_domains.words.plan import Counts, picture

CHUNK = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a process needs to generate any of the images."""

    folder: str
    words: list[str]
    counts: Counts
    seed: int
    height: int
    fonts: tuple[Font, ...]
    textures: tuple[str, ...]

    @property
    def total(self) -> int:
        return len(self.words) * self.counts.each_word


def done(job: Job, workers: int) -> Generator[int, None, None]:
    """Generate all images with `workers` processes; yields the numbers of images as they are finished."""
    spans = [(start, min(start + CHUNK, job.total)) for start in range(0, job.total, CHUNK)]
    with in_processes(min(workers, len(spans))) as results:
        yield from results(functools.partial(make, job), spans, lost="nothing is kept: try again with fewer --workers")


def make(job: Job, span: tuple[int, int]) -> int:
    """Generate the images of a span."""
    start, stop = span
    for n in range(start, stop):
        image = picture(n, job.words, job.counts)
        path = Path(job.folder, image.path)
        content = paint(job.words[image.word], job.fonts, job.textures, job.height, image.draws(job.seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return stop - start
