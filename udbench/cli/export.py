"""`udbench export`: the network of one domain, for use without udbench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from udbench.cli import context, output


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its id in ./runs.")],
    domain: Annotated[
        str | None, typer.Option(help="Domain whose network to export.", show_default="the only domain of the run")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder.", show_default="RUN/export-DOMAIN")] = None,
    format: Annotated[
        Literal["torch", "onnx", "both"],
        typer.Option(help="torch (model.pt2, torch.export), onnx (model.onnx), or both."),
    ] = "torch",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data folder; only needed for runs that stored no class names.", show_default="$UDBENCH_DATA"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the content of export.json.")] = False,
) -> None:
    """Export the network of one domain, its norms folded into the convolutions, for use without udbench.

    The network takes decoded images (0 to 255), normalizes them itself and returns logits. export.json describes the
    resizing of images and the class names. For example: udbench export 4f1c0a9b --domain mnist
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
    output.say(
        f"check    log-probabilities of {check['images']} images differ by at most {worst:.1g} from those of the run"
    )
    for name in sorted([*document["files_sha256"], "export.json"]):
        output.say(f"file     {folder / name}")
    return None


def _why(kept: Sequence[Mapping[str, str]]) -> str:
    reasons = sorted({each["why"] for each in kept})
    return f" ({'; '.join(reasons)})" if reasons else ""
