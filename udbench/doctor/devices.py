"""PyTorch and its devices, each tested with a small training step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from udbench.doctor.check import Check, size_text
from udbench.doctor.kernels import convolutions, kernels
from udbench.errors import UdbenchError


def devices() -> Iterator[Check]:
    """Check the import of torch, the CPU and each CUDA device."""
    began = time.perf_counter()
    try:
        import torch
    except Exception as error:
        yield Check(
            topic="torch",
            name="import",
            detail=f"{type(error).__name__}: {error}",
            state="error",
            fix="reinstall torch for this machine (https://pytorch.org/get-started), then run udbench doctor again",
        )
        return
    took = time.perf_counter() - began
    yield Check(topic="torch", name="import", detail=f"in {took:.1f} s; {torch.get_num_threads()} threads")
    yield from _device(torch.device("cpu"), "cpu")
    try:
        number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except Exception:
        number = 0
    for i in range(number):
        free, whole = torch.cuda.mem_get_info(i)
        name = f"{torch.cuda.get_device_name(i)}, {size_text(free)} free of {size_text(whole)}"
        yield from _device(torch.device("cuda", i), name)
    if not number and Path("/proc/driver/nvidia/version").exists():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Check(
            topic="torch",
            name="cuda",
            detail=f"this machine has an NVIDIA driver, but torch ({built}) finds no GPU",
            state="warning",
            fix="install torch for the driver's CUDA version, check nvidia-smi and $CUDA_VISIBLE_DEVICES; until "
            "then runs use the CPU",
        )


def _device(device: Any, name: str) -> Iterator[Check]:
    """Precisions and compilers of a device, tested with a small training step."""
    from udbench.train.compiled import check_compiler
    from udbench.train.precision import multiplies_bf16

    try:
        _small_step(device)
    except Exception as error:
        stops = device.type == "cpu"
        yield Check(
            topic="torch",
            name=str(device),
            detail=f"{name}: a small training step fails: {_short(error)}",
            state="error" if stops else "warning",
            fix="reinstall torch" if stops else "free the GPU (see nvidia-smi), or use --device cpu",
        )
        return
    native = multiplies_bf16(device)
    precision = "bf16" if native else "fp32 (no native bf16, so --precision bf16 is refused)"
    yield Check(topic="torch", name=str(device), detail=f"{name}; trains in {precision}")
    try:
        check_compiler(device)
        yield Check(topic="torch", name=f"--compile on {device}", detail="a compiler is installed")
    except UdbenchError as error:
        yield Check(
            topic="torch",
            name=f"--compile on {device}",
            detail="no compiler found",
            state="warning",
            fix=str(error).partition(": ")[2],
        )
    if device.type == "cpu":
        yield convolutions()
    if device.type == "cuda":
        yield kernels(device)
        yield _graphs(device)


def _graphs(device: Any) -> Check:
    """Whether a small training step can be captured and replayed as a CUDA graph."""
    from udbench.train.graphs import CudaRecorder

    what = f"--cuda-graphs on {device}"
    try:
        recorder = CudaRecorder(device)
        layer, images = _small_layer(device)
        recorder.warm(lambda: _small_loss(layer, images))
        loss, replay = recorder.capture(lambda: _small_loss(layer, images))
        replay()
        _check_finite(loss)
    except Exception as error:
        detail = f"a small step cannot be captured: {_short(error)}"
        return Check(topic="torch", name=what, detail=detail, state="warning", fix="leave --cuda-graphs out")
    return Check(topic="torch", name=what, detail="a small step can be captured")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _small_step(device: Any) -> None:
    _check_finite(_small_loss(*_small_layer(device)))


def _small_layer(device: Any) -> tuple[Any, Any]:
    import torch

    return torch.nn.Conv2d(3, 4, 3).to(device), torch.ones(2, 3, 8, 8, device=device)


def _small_loss(layer: Any, images: Any) -> Any:
    layer.zero_grad(set_to_none=True)
    loss = layer(images).square().mean()
    loss.backward()
    return loss.detach()


def _check_finite(loss: Any) -> None:
    if not loss.isfinite().item():
        raise ArithmeticError("its loss is not finite")
