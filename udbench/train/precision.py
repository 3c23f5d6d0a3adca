"""The device and precision of a run, and the contexts in which its forwards run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from udbench.errors import SettingError


def choose_precision(requested: str, device: torch.device) -> str:
    """Resolve a precision. `auto` is bf16 if the hardware multiplies it natively, else fp32.

    Raises SettingError for bf16 on other hardware.
    """
    native = multiplies_bf16(device)
    if requested == "auto":
        return "bf16" if native else "fp32"
    if requested == "bf16" and not native:
        raise SettingError(
            f"--precision bf16: this {device.type} does not multiply bf16 natively, so it would be slower than fp32; "
            "use --precision fp32, or auto"
        )
    if requested not in ("fp32", "bf16", "fp64"):
        raise SettingError(f"--precision {requested}: choose auto, fp32 or bf16")
    return requested


def choose_device(requested: str) -> torch.device:
    """Resolve a device. `auto` is the GPU if there is one, else the CPU. Each process of torchrun gets its own GPU.

    Raises SettingError for a device that is not usable.
    """
    if requested == "auto":
        requested = "cuda" if torch.cuda.is_available() else "cpu"
    if requested == "cuda" and os.environ.get("LOCAL_RANK") and os.environ.get("WORLD_SIZE", "1") != "1":
        requested = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(requested)
        torch.empty(1, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)  # kernels and pinned memory use the current device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(f"--device {requested}: not usable here ({reason}); use --device cpu, or auto") from None
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
    """Within, forwards run in this precision, with the convolution settings of `convolving`."""
    with (
        convolving(device, timed=timed),
        torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext(),
    ):
        yield


def convolving(device: torch.device, *, timed: bool = True) -> AbstractContextManager[object]:
    """Within, a GPU uses the fastest deterministic algorithm of each convolution, and fp32 never means tf32.

    Algorithms are timed at the first call of a shape, so another process may choose others, whose rounding differs.
    Without `timed`, for shapes that occur once or twice, cuDNN's heuristic chooses.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=timed, deterministic=True, allow_tf32=False, fp32_precision="ieee"
    )


def parameter_dtype(precision: str) -> torch.dtype:
    """The dtype of parameters: fp64 for proofs, else fp32."""
    return torch.float64 if precision == "fp64" else torch.float32
