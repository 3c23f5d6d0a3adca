"""Progress of work on images, as lines; the command line shows bars instead where it can."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udbench.data.prepare import Progress as Step

EVERY_SECONDS = 10

Bytes = Callable[[int, int], None]
"""Is called with the bytes done and their total."""

Download = Callable[[str, int, str], AbstractContextManager[Bytes]]
"""Opens the progress of one domain's download, from its name, its bytes and where they come from."""


class Progress:
    """Reports work on images by `log`, a sentence at a time."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log

    @contextmanager
    def images(
        self, number: int, doing: str = "preparing", did: str = "prepared"
    ) -> Iterator[Callable[[Step], None] | None]:
        """Within, the progress of so many domains is reported: a line for each. None where there are none."""
        if not number:
            yield None
            return
        began: dict[str, float] = {}
        ended: list[str] = []

        def flush() -> None:
            while ended:
                self.log(ended.pop())

        def step(now: Step) -> None:
            if now.domain not in began:
                flush()
            start = began.setdefault(now.domain, time.monotonic())
            if now.done == now.total:
                took = time.monotonic() - start
                ended[:] = [f"{did} {now.domain}: {now.total:,} images in {took:.1f} s"]

        yield step
        # not where an error ended it: all images read is not yet a store
        flush()

    @contextmanager
    def downloads(self) -> Iterator[Download]:
        """Within, downloads are reported: a line when one begins and when it is done, and now and then one between."""
        yield self._download

    @contextmanager
    def _download(self, name: str, size: int, origin: str) -> Iterator[Bytes]:
        from udbench.text import bytes_text

        self.log(f"downloading {name}: {bytes_text(size)} from {origin}")
        start = logged = time.monotonic()
        first: int | None = None
        last = 0

        def tell(done: int, total: int) -> None:
            nonlocal logged, first, last
            first, last, now = done if first is None else first, done, time.monotonic()
            if now - logged >= EVERY_SECONDS:
                logged, rate = now, (done - first) / (now - start)
                left = f", {(total - done) / rate:.0f} s left" if rate else ""
                self.log(f"{name}: {bytes_text(done)} of {bytes_text(total)}, {bytes_text(int(rate))}/s{left}")

        yield tell
        self.log(f"downloaded {name}: {bytes_text(last)} in {time.monotonic() - start:.1f} s")
