"""`udbench plan`: predicted speed and memory of a run on several processes, here or on a described machine."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udbench.cli import context, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from udbench.config import RunConfig
    from udbench.perf.plan import Row, ScalePlan
    from udbench.runs.job import Job

MB = 1e6


def plan(
    adapter: Annotated[
        str,
        typer.Option(
            help="Adapter: which parts of the network each domain has its own copy of (udbench list adapters)."
        ),
    ],
    arch: Annotated[str, typer.Option(help="Architecture of the network (udbench list archs).")],
    processes: Annotated[
        str, typer.Option(metavar="N[,N…]", help="Numbers of processes to predict, separated by commas.")
    ],
    suite: Annotated[
        str | None, typer.Option(help="Suite of domains to train on (udbench list suites).", show_default="pocket")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option(
            help="Domains, separated by commas: names, or folder:PATH or folder:NAME=PATH for your own images."
        ),
    ] = None,
    sharing: Annotated[
        str,
        typer.Option(
            help="Layers shared by all domains: deep (all but the heads), full, or partial:A-B for those stages."
        ),
    ] = "deep",
    recipe: Annotated[
        str | None,
        typer.Option(help="Training recipe: a name (udbench list recipes) or a TOML file.", show_default="the suite's"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting (udbench show RECIPE); repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device whose rates are used: auto, cpu, cuda, cuda:1, …")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")] = "auto",
    group: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of domains per forward pass.", show_default="all")
    ] = None,
    machine: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with the rates of another machine: name, precision, rate (operations per second), overhead "
            "(seconds per forward pass), memory_rate and bandwidth (bytes per second), latency (seconds), memory "
            "(bytes)."
        ),
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Measure the rates of this machine again.")
    ] = False,
    show_assignment: Annotated[
        bool, typer.Option("--show-assignment", help="Print which process trains which domains.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict speed and memory on several processes from operation counts and hardware rates. Reads no data.

    The rates of this machine are measured once per network and kept in the cache.
    For example: udbench plan --adapter domain-bn --arch resnet38 --processes 1,2,4
    """
    numbers = _numbers(processes)
    from udbench.errors import SettingError
    from udbench.resolve.job import job_of_config, make_config, make_job
    from udbench.resolve.request import RunRequest, resolve

    request = RunRequest(
        suite=suite,
        domains=domains,
        choices={"adapter": adapter, "arch": arch, "sharing": sharing},
        recipe=recipe,
        settings=settings or [],
        device=device,
        precision=precision,
        group=group,
    )
    session = context.session()
    resolved = resolve(session, request)
    given = None
    if machine is None:
        job = make_job(session, resolved)
    else:
        from udbench.perf.rates import read_machine

        for option, changed in (
            ("--recalibrate", recalibrate),
            ("--device", device != "auto"),
            ("--precision", precision != "auto"),
        ):
            if changed:
                raise SettingError(
                    f"{option} cannot be combined with --machine, whose file gives the rates and the precision; "
                    f"leave {option} out"
                )
        given = read_machine(machine)
        job = job_of_config(session, make_config(resolved, "cpu", given.precision))
    from udbench.perf.plan import plan as predicted

    specs = {member.spec.name: member.spec for member in resolved.domains}
    found = predicted(
        job, specs, numbers, machine=given, remake=remaking(job.config), anew=recalibrate, log=output.note
    )
    if json:
        return output.emit_json(found.document())
    _show(found)
    if show_assignment:
        _show_assignment(found)
    return None


def remaking(config: RunConfig) -> functools.partial[Job]:
    """A picklable function that creates the job of a configuration in another process."""
    return functools.partial(_remade, config, context.disabled())


def _remade(config: RunConfig, disabled: Sequence[str]) -> Job:
    from udbench.plugin.session import Session
    from udbench.resolve.job import job_of_config

    return job_of_config(Session(disabled), config)


def _numbers(text: str) -> list[int]:
    from udbench.errors import SettingError

    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or any(not word.isascii() or not word.isdigit() or int(word) < 1 for word in words):
        raise SettingError(f"--processes {text}: give one or more numbers of processes, such as 1,2,4")
    return list(dict.fromkeys(int(word) for word in words))


def _show(found: ScalePlan) -> None:
    about = found.about
    where = about["hardware"] if found.machine else f"{about['device']} ({about['hardware']})"
    output.say(
        f"{about['adapter']} on {about['arch']}, sharing {about['sharing']}: {len(about['domains'])} domains, "
        f"{about['images_per_round']:,} images per round; {about['precision']} on {where}"
    )
    table = output.table(
        ">processes", ">ms per round", ">images/s", ">speed-up", ">mean idle", ">max. idle", ">all-reduce, ms",
        ">shared, MB", ">private, MB", ">norms, MB", title="Predicted rounds, and the bytes reduced in each",
    )  # fmt: skip
    for row in found.rows:
        each = row.prediction
        table.add_row(
            *output.cells(
                each.processes,
                f"{1000 * each.seconds:,.1f}",
                f"{each.rate:,.1f}",
                f"{row.speedup:.2f}",
                f"{100 * each.idle_mean:.1f} %",
                f"{100 * each.idle_worst:.1f} %",
                f"{1000 * each.reduce:,.1f}",
                f"{each.bytes.shared / MB:,.2f}",
                f"{each.bytes.private / MB:,.2f}",
                f"{each.bytes.norms / MB:,.3f}",
            )
        )
    output.answers().print(table)
    table = output.table(
        ">processes", ">parameters", ">gradients", ">optimizer", ">images", ">activations", ">total, MB",
        title="Memory of the largest process",
    )  # fmt: skip
    for row in found.rows:
        memory = row.prediction.memory
        parts = (memory.parameters, memory.gradients, memory.optimizer, memory.images, memory.activations)
        table.add_row(
            *output.cells(
                row.prediction.processes,
                *(f"{part / MB:,.0f}" for part in parts),
                f"{memory.together / MB:,.0f}{'' if row.fits is not False else ' does not fit'}",
            )
        )
    output.answers().print(table)
    for line in dict.fromkeys(_rates_line(row) for row in found.rows):
        output.say(line)


def _rates_line(row: Row) -> str:
    compute, link, told = row.rates.compute, row.rates.link, row.rates.told
    seats = ""
    if row.threads is not None:
        seats = f"{row.threads} thread{'s' if row.threads > 1 else ''} per process"
        seats += f", {row.rates.at_once} processes at once: " if row.rates.at_once else ": "
    line = (
        f"rates: {seats}{compute.rate / 1e9:,.1f} G operations/s, {1000 * compute.overhead:.1f} ms overhead per "
        f"forward pass, {compute.memory_rate / 1e9:.1f} GB/s for optimizer updates ({told['compute']})"
    )
    if link is None:
        return line
    return line + (f"; link {link.bandwidth / 1e9:.2f} GB/s, {1e6 * link.latency:.0f} µs per message ({told['link']})")


def _show_assignment(found: ScalePlan) -> None:
    batch = found.about["batch_size"]
    for row in found.rows:
        each = row.prediction
        table = output.table(
            ">process", "domains, samples", ">G operations", ">ms busy", ">ms waiting",
            title=f"Assignment to {each.processes} processes",
        )  # fmt: skip
        for rank, part in enumerate(each.parts):
            table.add_row(
                *output.cells(
                    rank,
                    ", ".join(_slice(own.domain, own.first, own.rows, batch[own.domain]) for own in part.slices),
                    f"{part.operations / 1e9:,.1f}",
                    f"{1000 * (part.compute + part.norms):,.1f}",
                    f"{1000 * part.wait:,.1f}",
                )
            )
        output.answers().print(table)


def _slice(domain: str, first: int, rows: int, batch: int) -> str:
    return f"{domain} {rows}" if rows == batch else f"{domain} {first}-{first + rows - 1} of {batch}"
