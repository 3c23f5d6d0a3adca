"""`udbench eval`: evaluate the weights of a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from udbench.cli import context, output, preparing


def eval_(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a run, or its id in ./runs.")],
    data: Annotated[
        Path | None, typer.Option(help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA")
    ] = None,
    eval_on: Annotated[
        Literal["test", "val"] | None, typer.Option(help="Images to evaluate on.", show_default="as the run")
    ] = None,
    eval_order: Annotated[
        Literal["shuffled", "class"] | None,
        typer.Option(
            help="Order of the images in batches, for adapters that normalize with batch statistics.",
            show_default="as the run",
        ),
    ] = None,
    domains: preparing.Moved = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, …")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluate the weights of a finished run again, on its test or validation images. Writes nothing.

    Images whose sha256 differs from the recorded one are refused. For example: udbench eval 4f1c0a9b --eval-on val
    """
    from udbench.config import RecipeSettings
    from udbench.overrides import validated
    from udbench.resolve.finished import check_classifier, find
    from udbench.resolve.job import job_of_config
    from udbench.resolve.stores import cores, moved_folders, of_run
    from udbench.runs.folder import read_folders
    from udbench.runs.inference import rescore
    from udbench.runs.initialize import check_weights
    from udbench.train.precision import choose_device

    finished = find(run)
    check_classifier(finished)
    folder, result, config = finished.folder, finished.result, finished.config
    check_weights(folder, result.weights_sha256)
    changed = {"eval_on": eval_on, "eval_order": eval_order}
    settings = validated(
        RecipeSettings,
        {**config.settings.model_dump(), **{key: value for key, value in changed.items() if value is not None}},
        "eval",
    )
    config = config.model_copy(update={"settings": settings, "device": str(choose_device(device))})
    session = context.session()
    moved = moved_folders(session, result, domains)
    stores = of_run(session, result, data, read_folders(folder), moved, progress=preparing.Bars())
    scores = rescore(job_of_config(session, config), stores, folder, cores(None))
    if json:
        return output.emit_json([score.model_dump(mode="json") for score in scores])
    table = output.table("domain", ">images", ">error %", ">95 % interval", ">chance")
    for score in scores:
        table.add_row(
            *output.cells(
                score.domain,
                f"{score.n:,}",
                f"{score.error:.2f}",
                f"{score.low:.1f} … {score.high:.1f}",
                f"{score.chance:.1f}",
            )
        )
    output.answers().print(table)
    output.say(f"mean error {sum(score.error for score in scores) / len(scores):.2f} % on {settings.eval_on}")
    return None
