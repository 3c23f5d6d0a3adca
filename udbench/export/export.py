"""A run's network for one domain, written for use without udbench."""

from __future__ import annotations

import importlib.util
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn
from torch.export import ExportedProgram

from udbench.data.form import view_of
from udbench.data.store import hash_file
from udbench.errors import DataError, UdbenchError
from udbench.export.extract import Single, single
from udbench.export.fold_batchnorm import Folded, capture, fold
from udbench.files import check_writable, json_text, writing_folder
from udbench.results import RunResult
from udbench.runs.inference import DomainFacts
from udbench.runs.job import Job
from udbench.seeds import EXPORT
from udbench.train.model import UniversalModel
from udbench.train.rng import draws
from udbench.train.route import Slice
from udbench.version import __version__

Format = Literal["torch", "onnx", "both"]

SCHEMA = 1
CHECKED = 8
ONNX = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def check_export(job: Job, out: Path, format: Format) -> None:
    """Refuse at once what cannot be exported, or not there. Raises UdbenchError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already; remove it, or give another folder with --out")
    check_writable(out.parent, "give another folder with --out")
    if job.adapter.eval_stats == "batch":
        raise UdbenchError(
            f"adapter '{job.adapter.name}' normalises test images with the moments of their batch, so its answer for "
            "an image depends on the others, and no network for single images gives the same; use udbench predict "
            "with several images, or train an adapter with running moments (udbench list adapters)"
        )
    if format != "torch" and (missing := [name for name in ONNX if importlib.util.find_spec(name) is None]):
        raise UdbenchError(
            f"--format {format} needs {', '.join(missing)}, which is not here: pip install 'udbench[onnx]'"
        )


def export(
    job: Job,
    model: UniversalModel,
    result: RunResult,
    domain: str,
    facts: DomainFacts,
    out: Path,
    format: Format = "torch",
) -> dict[str, Any]:
    """Write one domain's network to a folder of its own, and return what its export.json says.

    model.pt2 (torch.export) or model.onnx takes images (N, channels, H, W), float32 of 0 to 255, and gives logits
    (N, classes); weights.safetensors holds its tensors. What was written is read again and compared with the model
    on images of noise, one at a time: log-probabilities differ by at most 1e-4 (in float64 1e-9) of the largest of
    them, or of 1. Raises UdbenchError otherwise, and leaves nothing in any case but success.
    """
    check_export(job, out, format)
    network = single(model, domain, facts.mean, facts.std)
    images = _noise(job, domain, facts)
    folded = fold(capture(network, images[:2]))
    program = capture(folded.network, images[:2])
    with writing_folder(out) as folder:
        measured: dict[str, float] = {}
        if format != "onnx":
            _write(folder / "model.pt2", _saved(program))
            measured["model.pt2"] = _difference(model, network, domain, _loaded(folder / "model.pt2"), images)
        if format != "torch":
            _write_onnx(program, images[:2], folder / "model.onnx")
            measured["model.onnx"] = _difference(model, network, domain, _Onnx(folder / "model.onnx"), images)
        tensors = {name: tensor.detach().contiguous() for name, tensor in program.state_dict.items()}
        _write(folder / "weights.safetensors", save(tensors))
        files = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
        document = _document(job, result, domain, facts, folded, measured, network.dtype, files)
        _write(folder / "export.json", (json_text(document, "export.json", indent=1) + "\n").encode())
    return document


def _document(
    job: Job,
    result: RunResult,
    domain: str,
    facts: DomainFacts,
    folded: Folded,
    measured: dict[str, float],
    dtype: torch.dtype,
    files: dict[str, str],
) -> dict[str, Any]:
    view = view_of(job.config.settings, domain)
    resize: dict[str, Any] = {"view": "whole", "size": [view.height, view.width]}
    if view.resize is not None:
        resize = {
            "view": "window",
            "side": view.side,
            "resize": view.resize,
            "window": [view.height, view.width],
            "place": "centre",
        }
    return {
        "schema": SCHEMA,
        "run": result.id,
        "weights_sha256": result.weights_sha256,
        "domain": domain,
        "arch": job.config.arch,
        "adapter": job.config.adapter,
        "sharing": job.config.sharing,
        "class_names": [facts.named(index) for index in range(facts.num_classes)],
        "input": {
            "name": "images",
            "shape": ["N", facts.channels, view.height, view.width],
            "dtype": "float32",
            "range": [0, 255],
            "colour": "grey" if facts.channels == 1 else "RGB",
            "resize": {**resize, "filter": "bilinear, antialiased"},
        },
        "whitening": {"mean": facts.mean, "std": facts.std, "done_by": "the network"},
        "output": {"name": "logits", "shape": ["N", facts.num_classes]},
        "norms": {
            "folded": folded.norms,
            "scales_folded": folded.scales,
            "kept": [{"path": kept.path, "why": kept.why} for kept in folded.kept],
        },
        "check": {
            "images": CHECKED,
            "tolerance": TOLERANCE[dtype],
            "log_probabilities_differ_by": measured,
        },
        "files_sha256": files,
        "udbench": __version__,
        "torch": torch.__version__,
    }


def _noise(job: Job, domain: str, facts: DomainFacts) -> Tensor:
    height, width = job.config.settings.size_of(domain)
    pixels = draws(EXPORT, domain).integers(0, 256, size=(CHECKED, facts.channels, height, width))
    return torch.from_numpy(pixels).float()


@torch.no_grad()
def _difference(
    model: UniversalModel, network: Single, domain: str, made: Callable[[Tensor], Tensor], images: Tensor
) -> float:
    """By how much log-probabilities of single images differ at most. Raises UdbenchError beyond the tolerance."""
    worst, largest = 0.0, 1.0
    for image in images.split(1):
        (logits,) = model(network.white(image), [Slice(domain, 1)])
        answer = made(image)
        for whose, each in (("the run's network", logits), ("the exported network", answer)):
            if not each.isfinite().all():
                raise UdbenchError(
                    f"{whose} answers an image of noise with logits that are not finite, so nothing was written"
                )
        expected, found = (F.log_softmax(each.double(), dim=1) for each in (logits, answer))
        worst = max(worst, float((expected - found).abs().max()))
        largest = max(largest, float(expected.abs().max()))
        if not worst <= (allowed := TOLERANCE[network.dtype] * largest):
            raise UdbenchError(
                f"the exported network's log-probabilities differ from the run's by {worst:.2g}, where {allowed:.2g} "
                "is allowed, so nothing was written"
            )
    return worst


def _saved(program: ExportedProgram) -> bytes:
    memory = io.BytesIO()  # not the file: on a full disk torch's own writer fails with an error of its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights in channels-last memory, which CPUs gain by, make torch warn
        torch.export.save(program, memory)
    return memory.getvalue()


def _loaded(path: Path) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path).module()


def _write_onnx(program: ExportedProgram, images: Tensor, path: Path) -> None:
    """Write the ONNX form. Raises UdbenchError for a network that has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = torch.onnx.export(
                program, (images,), dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
            )
        except torch.onnx.OnnxExporterError as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UdbenchError(f"torch.onnx cannot express this network: {reason}; use --format torch") from error
    assert made is not None
    made.save(str(path))


class _Onnx:
    """An ONNX file, called as the network it holds."""

    def __init__(self, path: Path) -> None:
        import onnxruntime  # pyright: ignore[reportMissingImports]

        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, images: Tensor) -> Tensor:
        (logits,) = self._session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
