"""Convolutions of the CPU, and kernels of CUDA devices."""

from __future__ import annotations

from typing import Any

from udbench.doctor.check import Check
from udbench.errors import how_ended
from udbench.processes.isolated import Ended, Silent, run_isolated

KERNEL_LIMIT = 20.0
CONVOLUTIONS = "convolutions on cpu"


def convolutions() -> Check:
    """Compare convolution gradients with float64, in a child process, with two threads and with one."""
    from udbench.train.probe import TOLERANCE, probe

    shapes: set[str] = set()
    shape, threads, by, trouble = "none was tested", 2, "udbench", ""
    try:
        for message in run_isolated(probe, limit=KERNEL_LIMIT):
            match message:
                case {"shape": str() as shape, "threads": int() as threads, "by": str() as by}:
                    shapes.add(shape)
                case {"wrong": float() as off} if not off <= TOLERANCE:
                    trouble = f"is wrong by {100 * off:.2g} %"
                    break
    except Silent:
        trouble = f"does not end within {KERNEL_LIMIT:g} s"
    except Ended as ended:
        trouble = how_ended(ended.code)
    trouble = trouble and f"{trouble} with {threads} thread{'s' if threads > 1 else ''} ({shape})"
    if trouble and by == "udbench":
        return Check(
            topic="torch",
            name=CONVOLUTIONS,
            detail=f"the backward of a convolution {trouble}",
            state="error",
            fix="install another torch version, or select other oneDNN kernels ($ONEDNN_MAX_CPU_ISA=AVX2 or SSE41), "
            "then run udbench doctor again; runs on a GPU are not affected",
        )
    around = f"; torch's own {trouble}, so udbench uses another algorithm there" if trouble else ""
    detail = f"gradients of {len(shapes)} shapes agree with float64, with one and two threads{around}"
    return Check(topic="torch", name=CONVOLUTIONS, detail=detail)


def kernels(device: Any) -> Check:
    """Whether the fused kernels for norms and augmentation run on a device."""
    from udbench.train.norm.fused import why_not

    what = f"kernels on {device}"
    if trouble := why_not(device):
        detail = f"not available, so norms and augmentation are slower: {trouble[0]}"
        return Check(topic="torch", name=what, detail=detail, state="warning", fix=trouble[1])
    return Check(topic="torch", name=what, detail="fused kernels for norms and augmentation")
