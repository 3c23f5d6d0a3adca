"""Number formats: which one a device multiplies natively, and how a forward runs in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from udbench.errors import SettingError


def choose_precision(asked: str, device: torch.device) -> str:
    """`auto` as bf16 where the hardware multiplies it natively, else fp32. Raises SettingError for bf16 elsewhere."""
    native = multiplies_bf16(device)
    if asked == "auto":
        return "bf16" if native else "fp32"
    if asked == "bf16" and not native:
        raise SettingError(
            f"--precision bf16: this {device.type} does not multiply bf16 natively, so it would be slower than fp32; "
            "use --precision fp32, or auto"
        )
    if asked not in ("fp32", "bf16", "fp64"):
        raise SettingError(f"--precision {asked}: choose auto, fp32 or bf16")
    return asked


def choose_device(asked: str) -> torch.device:
    """`auto` as the GPU where there is one, else the CPU; among processes of torchrun, each one's own GPU.

    Raises SettingError for a device that is not there.
    """
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cuda" and os.environ.get("LOCAL_RANK") and os.environ.get("WORLD_SIZE", "1") != "1":
        asked = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # kernels and pinned memory are the current device's
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"--device {asked}: not usable here ({reason}); use --device cpu, or auto") from None
    return device


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16 products."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.12
            return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        capable = torch.cpu.get_capabilities()
        return any(capable.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return False


@contextmanager
def computing(precision: str, device: torch.device, *, timed: bool = True) -> Iterator[None]:
    """Within, forwards run in this precision, and convolutions as `convolving` has them."""
    with (
        convolving(device, timed=timed),
        torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext(),
    ):
        yield


def convolving(device: torch.device, *, timed: bool = True) -> AbstractContextManager[object]:
    """Within, a GPU does each convolution in the fastest way that gives the same bits each time, and fp32 is not tf32.

    Ways are timed when a shape is first seen, so another process may choose others, and round otherwise. Not `timed`,
    where a shape is seen once or twice, the way is cuDNN's guess.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=timed, deterministic=True, allow_tf32=False, fp32_precision="ieee"
    )


def parameter_dtype(precision: str) -> torch.dtype:
    """What parameters are kept in: fp64 for proofs, else fp32."""
    return torch.float64 if precision == "fp64" else torch.float32
