"""Export of a run's network for one domain, for use without udbench."""

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
    """Raise UdbenchError for a method that cannot be exported, or a folder that cannot be written."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already; remove it, or give another folder with --out")
    check_writable(out.parent, "give another folder with --out")
    if job.adapter.eval_stats == "batch":
        raise UdbenchError(
            f"adapter '{job.adapter.name}' normalises test images with the mean and variance of their batch, so the "
            "prediction for an image depends on the others, and no network for single images can give the same; use "
            "udbench predict with several images, or an adapter with running statistics (udbench list adapters)"
        )
    if format != "torch" and (missing := [name for name in ONNX if importlib.util.find_spec(name) is None]):
        raise UdbenchError(
            f"--format {format} needs {', '.join(missing)}, which is not installed: pip install 'udbench[onnx]'"
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
    """Write one domain's network to a new folder, and return the content of its export.json.

    model.pt2 (torch.export) or model.onnx maps images (N, channels, H, W), float32 of 0 to 255, to logits (N, classes).
    weights.safetensors holds its tensors. The written files are read back and compared with the model on images of
    noise, one at a time: log-probabilities may differ by at most 1e-4 (in float64, 1e-9) of the largest of them, or of
    1. Raises UdbenchError otherwise. The folder exists only after success.
    """
    check_export(job, out, format)
    network = single(model, domain, facts.mean, facts.std)
    images = _noise(job, domain, facts)
    folded = fold(capture(network, images[:2]))
    program = capture(folded.network, images[:2])
    with writing_folder(out) as folder:
        differences: dict[str, float] = {}
        if format != "onnx":
            _write(folder / "model.pt2", _saved(program))
            differences["model.pt2"] = _difference(model, network, domain, _loaded(folder / "model.pt2"), images)
        if format != "torch":
            _write_onnx(program, images[:2], folder / "model.onnx")
            differences["model.onnx"] = _difference(model, network, domain, _Onnx(folder / "model.onnx"), images)
        tensors = {name: tensor.detach().contiguous() for name, tensor in program.state_dict.items()}
        _write(folder / "weights.safetensors", save(tensors))
        files = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
        document = _document(job, result, domain, facts, folded, differences, network.dtype, files)
        _write(folder / "export.json", (json_text(document, "export.json", indent=1) + "\n").encode())
    return document


def _document(
    job: Job,
    result: RunResult,
    domain: str,
    facts: DomainFacts,
    folded: Folded,
    differences: dict[str, float],
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
            "log_probabilities_differ_by": differences,
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
    model: UniversalModel, network: Single, domain: str, exported: Callable[[Tensor], Tensor], images: Tensor
) -> float:
    """The largest difference of the log-probabilities of single images. Raises UdbenchError above the tolerance."""
    worst, largest = 0.0, 1.0
    for image in images.split(1):
        (logits,) = model(network.white(image), [Slice(domain, 1)])
        exported_logits = exported(image)
        for name, values in (("the run's network", logits), ("the exported network", exported_logits)):
            if not values.isfinite().all():
                raise UdbenchError(f"{name} returns logits that are not finite for noise, so nothing was written")
        expected, actual = (F.log_softmax(values.double(), dim=1) for values in (logits, exported_logits))
        worst = max(worst, float((expected - actual).abs().max()))
        largest = max(largest, float(expected.abs().max()))
        if not worst <= (allowed := TOLERANCE[network.dtype] * largest):
            raise UdbenchError(
                f"the exported network's log-probabilities differ from the run's by {worst:.2g}, where {allowed:.2g} "
                "is allowed, so nothing was written"
            )
    return worst


def _saved(program: ExportedProgram) -> bytes:
    memory = io.BytesIO()  # not the file: on a full disk, torch's writer raises an unclear error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of weights in channels-last memory, which is faster on CPUs
        torch.export.save(program, memory)
    return memory.getvalue()


def _loaded(path: Path) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path).module()


def _write_onnx(program: ExportedProgram, images: Tensor, path: Path) -> None:
    """Write an ONNX file. Raises UdbenchError for a network that ONNX cannot express."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            onnx_program = torch.onnx.export(
                program, (images,), dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
            )
        except torch.onnx.OnnxExporterError as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UdbenchError(f"torch.onnx cannot express this network: {reason}; use --format torch") from error
    assert onnx_program is not None
    onnx_program.save(str(path))


class _Onnx:
    """The network of an ONNX file, as a callable."""

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
