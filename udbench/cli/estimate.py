"""`udbench run --dry-run`: estimated cost of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from udbench.cli import output

if TYPE_CHECKING:
    from udbench.plugin.contracts_data import Domain
    from udbench.runs.job import Job


def show(job: Job, domains: Sequence[Domain], *, json: bool) -> None:
    """Print the estimated cost of a run of these domains. Reads no images and writes nothing."""
    from udbench.cli.progress import clock
    from udbench.runs.estimate import plan

    specs = {domain.spec.name: domain.spec for domain in domains}
    figures = plan(job, specs)
    if json:
        return output.emit_json(figures.document())
    settings = job.config.settings
    table = output.table("domain", ">classes", "size", ">batch", ">epochs", ">private parameters")
    for name, spec in specs.items():
        height, width = settings.size_of(name)
        epochs = f"{figures.epochs[name]:.1f}" if name in figures.epochs else "?"
        table.add_row(
            *output.cells(
                name,
                spec.num_classes,
                f"{height}x{width}",
                settings.batch_of(name),
                epochs,
                f"{figures.private[name]:,}",
            )
        )
    output.answers().print(table)
    output.say(f"{figures.shared:,} shared and {sum(figures.private.values()):,} private parameters")
    output.say(f"{figures.flops / 1e6:.1f} M operations per image (forward)")
    output.say(
        f"memory: {figures.model_bytes / 2**20:.0f} MB for parameters, gradients and optimizer, "
        f"{figures.store_bytes / 2**20:.0f} MB for the images; activations not included"
    )
    output.say(f"{figures.rounds} rounds of {figures.images_per_round} images in {figures.forwards} forward passes")
    output.say(
        f"about {clock(figures.seconds)} of training at {figures.images_per_second:.0f} images/s "
        f"({job.config.precision} on {job.config.device}; median of {figures.timed_rounds} timed rounds)"
    )
    if encoded := [name for name in specs if settings.storage_of(name) != "pixels"]:
        output.say(f"images of {', '.join(encoded)} are decoded during training, which this estimate does not include")
    return None
