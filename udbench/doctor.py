"""What this machine and this installation can do, what stands in the way of a run, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from udbench.data.locations import CACHE, DATA, cache_root, data_root, domain_root
from udbench.errors import UdbenchError, how_ended
from udbench.machine import memory, usable_cores
from udbench.plugin import hookspecs, loader
from udbench.plugin.contracts_data import Domain
from udbench.plugin.registry import KINDS, Registry
from udbench.processes.isolated import Ended, Report, Silent, run_isolated

State = Literal["good", "trouble", "stops"]

LOAD_LIMIT = 30.0
LIBRARIES = ("torch", "torchvision", "numpy", "pydantic", "pluggy", "typer")
LEAST_DISK = 1 << 30
LEAST_MEMORY = 1 << 30
FULL_DISK = 64 << 20
SLOW_LOAD = 2.0
KERNEL_LIMIT = 20.0
CONVOLUTIONS = "convolutions on cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One thing that was looked at. `state`: "good"; "trouble", where runs go on without it; "stops", where none can
    be made. `mend` says what to do about it."""

    topic: str
    what: str
    said: str
    state: State = "good"
    mend: str = ""


def look(data: Path | None, disabled: tuple[str, ...]) -> Iterator[Line]:
    """Everything, as it is seen. The plugins are loaded in a process of their own before they are loaded here."""
    yield from _versions()
    yield from _machine()
    yield from _torch()
    yield from _places(data)
    yield from _plugins(disabled, data)


def _versions() -> Iterator[Line]:
    yield Line(
        topic="versions",
        what="udbench",
        said=f"{importlib.metadata.version('udbench')}, contract v{hookspecs.CONTRACT}",
    )
    yield Line(topic="versions", what="python", said=f"{platform.python_version()} at {sys.executable}")
    for name in LIBRARIES:
        try:
            yield Line(topic="versions", what=name, said=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Line(
                topic="versions", what=name, said="not installed", state="stops", mend="pip install --upgrade udbench"
            )


def _machine() -> Iterator[Line]:
    usable = usable_cores()
    there = os.cpu_count() or usable
    yield Line(topic="machine", what="cores", said=f"{usable} of {there} usable; {platform.platform()}")
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and threads.isdigit() and int(threads) > usable:
        yield Line(
            topic="machine",
            what="OMP_NUM_THREADS",
            said=f"{threads} threads for {usable} cores, which wait for each other",
            state="trouble",
            mend=f"export OMP_NUM_THREADS={usable}, or unset it",
        )
    held = memory()
    if held is not None:
        low = held.free < LEAST_MEMORY
        yield Line(
            topic="machine",
            what="memory",
            said=f"{_size(held.free)} free of {_size(held.whole)}",
            state="trouble" if low else "good",
            mend="end what holds memory, or use fewer --workers, a smaller batch_size and --group 1" if low else "",
        )


def _torch() -> Iterator[Line]:
    began = time.perf_counter()
    try:
        import torch
    except Exception as error:
        yield Line(
            topic="torch",
            what="import",
            said=f"{type(error).__name__}: {error}",
            state="stops",
            mend="reinstall torch for this machine (https://pytorch.org/get-started), then udbench doctor again",
        )
        return
    took = time.perf_counter() - began
    yield Line(topic="torch", what="import", said=f"in {took:.1f} s; {torch.get_num_threads()} threads")
    yield from _device(torch.device("cpu"), "cpu")
    try:
        number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except Exception:
        number = 0
    for i in range(number):
        free, whole = torch.cuda.mem_get_info(i)
        name = f"{torch.cuda.get_device_name(i)}, {_size(free)} free of {_size(whole)}"
        yield from _device(torch.device("cuda", i), name)
    if not number and Path("/proc/driver/nvidia/version").exists():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Line(
            topic="torch",
            what="cuda",
            said=f"this machine has an NVIDIA driver, but torch ({built}) sees no GPU",
            state="trouble",
            mend="install torch for the driver's CUDA version, and see nvidia-smi and $CUDA_VISIBLE_DEVICES; "
            "runs use the CPU",
        )


def _device(device: Any, name: str) -> Iterator[Line]:
    """What a device can do, tried by a small step of training."""
    from udbench.train.compiled import check_compiler
    from udbench.train.precision import multiplies_bf16

    try:
        _small_step(device)
    except Exception as error:
        stops = device.type == "cpu"
        yield Line(
            topic="torch",
            what=str(device),
            said=f"{name}: a small step of training fails: {_told(error)}",
            state="stops" if stops else "trouble",
            mend="reinstall torch" if stops else "free the GPU, or see nvidia-smi; --device cpu does without it",
        )
        return
    native = multiplies_bf16(device)
    precision = "bf16" if native else "fp32; no native bf16 here, so --precision bf16 is refused"
    yield Line(topic="torch", what=str(device), said=f"{name}; trains in {precision}")
    try:
        check_compiler(device)
        yield Line(topic="torch", what=f"--compile on {device}", said="has a compiler")
    except UdbenchError as error:
        yield Line(
            topic="torch",
            what=f"--compile on {device}",
            said="no compiler",
            state="trouble",
            mend=str(error).partition(": ")[2],
        )
    if device.type == "cpu":
        yield _convolutions()
    if device.type == "cuda":
        yield _kernels(device)
        yield _graphs(device)


def _convolutions() -> Line:
    """Whether convolutions and their gradients are right, tried in a process of its own with two threads and one."""
    from udbench.train.probe import TOLERANCE, probe

    shapes: set[str] = set()
    shape, threads, by, trouble = "none was tried", 2, "udbench", ""
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
        return Line(
            topic="torch",
            what=CONVOLUTIONS,
            said=f"the backward of a convolution {trouble}",
            state="stops",
            mend="install another torch, or have oneDNN choose other kernels ($ONEDNN_MAX_CPU_ISA=AVX2, or SSE41), "
            "then udbench doctor again; runs on a GPU do without",
        )
    around = f"; torch's own {trouble}, and udbench computes that another way" if trouble else ""
    said = f"gradients of {len(shapes)} shapes are as in float64, with one thread and two{around}"
    return Line(topic="torch", what=CONVOLUTIONS, said=said)


def _kernels(device: Any) -> Line:
    """Whether norms and views are ours, or torch's piece by piece."""
    from udbench.train.norm.fused import why_not

    what = f"kernels on {device}"
    if trouble := why_not(device):
        said = f"none, so norms and views are slower: {trouble[0]}"
        return Line(topic="torch", what=what, said=said, state="trouble", mend=trouble[1])
    return Line(topic="torch", what=what, said="norms of a group and views of images run as udbench's own")


def _graphs(device: Any) -> Line:
    """Whether a small step of training can be recorded and replayed."""
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
        said = f"a small step cannot be captured: {_told(error)}"
        return Line(topic="torch", what=what, said=said, state="trouble", mend="leave --cuda-graphs out")
    return Line(topic="torch", what=what, said="a small step can be captured")


def _told(error: Exception) -> str:
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


def _places(data: Path | None) -> Iterator[Line]:
    yield _writable("here", Path.cwd(), "go to a folder that you may write to, or name others by --out and --board")
    yield _writable("cache", cache_root(), f"set ${CACHE} to a folder on another disk")
    try:
        root = data_root(data)
    except UdbenchError as error:
        mend = f"correct --data or ${DATA}, or leave both out"
        yield Line(topic="places", what="data", said=str(error), state="stops", mend=mend)
        return
    if root is None:
        yield Line(
            topic="places", what="data", said=f"no folder is named (--data, ${DATA}); embedded domains need none"
        )
        return
    try:
        number = sum(1 for place in root.iterdir() if place.is_dir())
    except OSError as error:
        said, mend = f"{root} cannot be read: {error.strerror or error}", "mend its permissions, or name another folder"
        yield Line(topic="places", what="data", said=said, state="stops", mend=mend)
    else:
        yield Line(topic="places", what="data", said=f"{root}, {number} folders")


def _writable(what: str, folder: Path, mend: str) -> Line:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        free = shutil.disk_usage(there).free
        with tempfile.TemporaryDirectory(dir=there, prefix=".udbench-doctor-"):
            pass
    except OSError as error:
        said = f"{folder} cannot be written: {error.strerror or error}"
        return Line(topic="places", what=what, said=said, state="stops", mend=mend)
    state: State = "stops" if free < FULL_DISK else "trouble" if free < LEAST_DISK else "good"
    little = f"; free some space, or {mend}" if state != "good" else ""
    return Line(topic="places", what=what, said=f"{folder}, {_size(free)} free", state=state, mend=little[2:])


def _plugins(disabled: tuple[str, ...], data: Path | None) -> Iterator[Line]:
    loading, seconds = "", dict[str, float]()
    try:
        for message in run_isolated(_load_all, disabled, limit=LOAD_LIMIT):
            match message:
                case {"loading": str() as loading}:
                    continue
                case {"took": [str() as name, float() as took]}:
                    seconds[name] = took
                case {"refused": str() as text}:
                    yield Line(
                        topic="plugins", what="choice", said=text, state="stops", mend=f"correct ${loader.DISABLE}"
                    )
                    return
    except Silent:
        yield _stuck(loading, f"is not loaded after {LOAD_LIMIT:g} s")
        return
    except Ended as ended:
        yield _stuck(loading, f"ends the process when it is loaded: it {how_ended(ended.code)}")
        return
    yield from _plugin_lines(loader.load(disabled), seconds, data)


def _stuck(name: str, how: str) -> Line:
    return Line(
        topic="plugins",
        what=name,
        said=f"{how}; the others were not looked at",
        state="stops",
        mend=f"leave it out with --no-plugin {name}, or uninstall it; udbench check {name} says more",
    )


def _load_all(tell: Report, disabled: tuple[str, ...]) -> None:
    """In a process of its own: load all plugins, telling which, and how long each took."""
    last: list[tuple[str, float]] = []

    def took() -> None:
        for name, began in last[-1:]:
            tell({"took": [name, time.perf_counter() - began]})

    def loading(owner: loader.Owner) -> None:
        took()
        tell({"loading": owner.choice})
        last.append((owner.choice, time.perf_counter()))

    try:
        loader.load(disabled, loading=loading)
    except UdbenchError as error:
        return tell({"refused": str(error)})
    return took()


def _plugin_lines(registry: Registry, seconds: dict[str, float], data: Path | None) -> Iterator[Line]:
    for owner in registry.owners:
        brings = registry.brought_by(owner)
        counted = ", ".join(f"{len(names)} {kind}" for kind, names in brings.items())
        causes = registry.failures_of(owner)
        took = seconds.get(owner.choice, 0.0)
        about = f"{owner.distribution} {owner.version}".strip()
        if causes:
            yield Line(
                topic="plugins",
                what=owner.choice,
                said=f"{about}: {'; '.join(causes)}" + (f"; brings {counted}" if counted else ""),
                state="trouble",
                mend=f"udbench check {owner.choice} says more; update or uninstall it, or --no-plugin {owner.choice}",
            )
        else:
            slow = took > SLOW_LOAD
            yield Line(
                topic="plugins",
                what=owner.choice,
                said=f"{about}: {counted}" + (f"; takes {took:.1f} s to load" if slow else ""),
                state="trouble" if slow else "good",
                mend=f"udbench check {owner.choice} says what it imports too early" if slow else "",
            )
    for clash in registry.clashes():
        yield Line(topic="plugins", what="clash", said=clash, state="trouble", mend="leave one of them out")
    for kind in ("domains", "archs", "adapters"):
        if not registry.names(kind):
            word = KINDS[kind].word
            yield Line(
                topic="plugins",
                what=kind,
                said=f"no {word} is installed",
                state="stops",
                mend=f"install a plugin that brings one, such as udbench-{_FIRST_PARTY[kind]}",
            )
    yield from _images(registry, data)


_FIRST_PARTY = {"domains": "pocket", "archs": "architectures", "adapters": "adapters"}


def _images(registry: Registry, data: Path | None) -> Iterator[Line]:
    try:
        root = data_root(data)
    except UdbenchError:
        return
    domains: list[Domain] = [item.value for item in registry.items("domains")]
    here: list[str] = []
    for domain in domains:
        try:
            if domain_root(domain, root) is not None:
                here.append(domain.spec.name)
        except UdbenchError as error:
            yield Line(topic="images", what=domain.spec.name, said=str(error), state="trouble")
    yield Line(
        topic="images",
        what="domains",
        said=f"{len(here)} of {len(domains)} have images here: {', '.join(here) or 'none'}",
        state="good" if here or not domains else "stops",
        mend="" if here else "udbench data status tells how to get them",
    )


def _size(number: float) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
