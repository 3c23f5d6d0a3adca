"""`udbench doctor`: convolutions that are wrong, crash or hang."""

from __future__ import annotations

from typing import Any

import pytest

from udbench.doctor import kernels
from udbench.processes.isolated import Ended, Silent


@pytest.mark.parametrize(
    ("by", "end", "state", "words"),
    [
        ("udbench", 1.05, "error", "the backward of a convolution is wrong by 1e+02 % with 1 thread (a shape)"),
        ("udbench", float("nan"), "error", "the backward of a convolution is wrong by nan % with 1 thread (a shape)"),
        ("udbench", Silent(), "error", "the backward of a convolution does not end within 20 s with 1 thread"),
        ("udbench", Ended(-11), "error", "of a convolution crashed in a native library (signal SIGSEGV) with 1 thread"),
        (
            "torch",
            Ended(-6),
            "ok",
            "torch's own crashed in a native library (signal SIGABRT) with 1 thread (a shape)",
        ),
        ("torch", 1e-7, "ok", "gradients of 1 shapes agree with float64, with one and two threads"),
    ],
)
def test_a_kernel_that_is_wrong_crashes_or_hangs_is_said(
    monkeypatch: pytest.MonkeyPatch, by: str, end: float | Exception, state: str, words: str
) -> None:
    def told(work: Any, *, limit: float) -> Any:
        yield {"shape": "a shape", "threads": 2, "by": "udbench"}
        yield {"wrong": 1e-7}
        yield {"shape": "a shape", "threads": 1, "by": by}
        if isinstance(end, Exception):
            raise end
        yield {"wrong": end}

    monkeypatch.setattr(kernels, "run_isolated", told)
    line = kernels.convolutions()
    assert line.state == state and words in line.detail and bool(line.fix) == (state == "error")
