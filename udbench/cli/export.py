"""`udbench export`: a run's network for one domain, for use without udbench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from udbench.cli import context, output


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, or its id in ./runs.")],
    domain: Annotated[
        str | None, typer.Option(help="Whose network it is to be.", show_default="the run's, if it has one only")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write.", show_default="RUN/export-DOMAIN")] = None,
    format: Annotated[
        Literal["torch", "onnx", "both"], typer.Option(help="model.pt2 of torch.export, model.onnx, or both.")
    ] = "torch",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of images, for runs that kept no class names.", show_default="$UDBENCH_DATA"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what export.json says.")] = False,
) -> None:
    """Write one domain's network with its norms folded into its convolutions, to be used without udbench.

    It takes images as they are decoded, 0 to 255, whitens them itself, and gives logits. export.json says how images
    are to be resized and what the classes are called. For example: udbench export 4f1c0a9b --domain mnist
    """
    from udbench.cli.preparing import Bars
    from udbench.export.export import check_export
    from udbench.export.export import export as write
    from udbench.resolve.finished import find_classifier
    from udbench.resolve.job import job_of_config
    from udbench.runs.inference import load

    found = find_classifier(context.session(), run, domain, data, Bars())
    precision = "fp64" if found.config.precision == "fp64" else "fp32"
    job = job_of_config(context.session(), found.config.model_copy(update={"device": "cpu", "precision": precision}))
    folder = out or found.folder / f"export-{found.domain}"
    check_export(job, folder, format)
    model = load(job, found.folder, found.facts, found.result)
    document = write(job, model, found.result, found.domain, found.facts[found.domain], folder, format)
    if json:
        return output.emit_json({"folder": str(folder), **document})
    norms, check = document["norms"], document["check"]
    output.say(f"{found.domain} of run {found.result.id}: {found.config.adapter} on {found.config.arch}")
    scales = f", {norms['scales_folded']} scales" if norms["scales_folded"] else ""
    output.say(f"norms    {norms['folded']} folded{scales}, {len(norms['kept'])} kept" + _why(norms["kept"]))
    worst = max(check["log_probabilities_differ_by"].values())
    output.say(f"check    log-probabilities of {check['images']} images differ by at most {worst:.1g} from the run's")
    for name in sorted([*document["files_sha256"], "export.json"]):
        output.say(f"file     {folder / name}")
    return None


def _why(kept: Sequence[Mapping[str, str]]) -> str:
    reasons = sorted({each["why"] for each in kept})
    return f" ({'; '.join(reasons)})" if reasons else ""
