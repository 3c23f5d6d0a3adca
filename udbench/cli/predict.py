"""`udbench predict`: classify image files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import context, output


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its id in ./runs.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE…",
            help="Image files, folders (searched recursively), or - to read paths from standard input.",
            show_default=False,
        ),
    ],
    domain: Annotated[
        str | None, typer.Option(help="Domain to classify into.", show_default="the only domain of the run")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to print per image.")] = 5,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, …")] = "auto",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data folder; only needed for runs that stored no class names.", show_default="$UDBENCH_DATA"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify image files with the network of a finished run, and print the most probable classes.

    Images of a folder are sorted by path. Paths on standard input are separated by newlines or by zero bytes
    (find -print0). For example: udbench predict 4f1c0a9b photo.png --domain mnist
    """
    import numpy as np

    from udbench.cli.preparing import Bars
    from udbench.resolve.finished import find_classifier
    from udbench.resolve.job import job_of_config
    from udbench.runs.inference import image_files, load, predict_files
    from udbench.train.precision import choose_device, multiplies_bf16

    found = find_classifier(context.session(), run, domain, data, Bars())
    facts, config = found.facts[found.domain], found.config
    paths = image_files(images, sys.stdin.buffer)
    place = choose_device(device)
    precision = config.precision
    if precision == "bf16" and not multiplies_bf16(place):
        output.note(f"predicting in fp32: this {place.type} device has no native bf16, in which the run was evaluated")
        precision = "fp32"
    job = job_of_config(context.session(), config.model_copy(update={"device": str(place), "precision": precision}))
    if job.adapter.eval_stats == "batch" and len(paths) > 1:
        output.note(f"{job.adapter.name} normalizes with the statistics of these {len(paths)} images as one batch")
    model = load(job, found.folder, found.facts, found.result)
    probabilities = np.concatenate(list(predict_files(job, model, found.domain, facts, paths)))
    best = (-probabilities).argsort(axis=1, kind="stable")[:, :top]
    if json:
        return output.emit_json(
            {
                "run": found.result.id,
                "domain": found.domain,
                "images": [
                    {
                        "image": str(path),
                        "classes": [
                            {"class": facts.named(int(i)), "index": int(i), "probability": float(row[i])} for i in first
                        ],
                    }
                    for path, row, first in zip(paths, probabilities, best, strict=True)
                ],
            }
        )
    table = output.table("image", "class", ">probability")
    for path, row, first in zip(paths, probabilities, best, strict=True):
        for rank, i in enumerate(first.tolist()):
            name = facts.named(i)
            name = f"(class {i}, without training images)" if name is None else name
            table.add_row(*output.cells("" if rank else path, name, f"{100 * row[i]:.1f} %"))
    output.answers().print(table)
    return None
