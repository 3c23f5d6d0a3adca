"""`udbench plan`: what a run's rounds would take on several processes, here or on a machine that is described."""

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
        str, typer.Option(help="Which parts of the network are each domain's own (udbench list adapters).")
    ],
    arch: Annotated[str, typer.Option(help="The network (udbench list archs).")],
    processes: Annotated[
        str, typer.Option(metavar="N[,N…]", help="Numbers of processes, a row for each; commas between.")
    ],
    suite: Annotated[
        str | None, typer.Option(help="The domains to train on (udbench list suites).", show_default="pocket")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option(
            help="Domains by name, folder:PATH or folder:NAME=PATH for class folders of your own; commas between."
        ),
    ] = None,
    sharing: Annotated[str, typer.Option(help="deep, full, or partial:A-B for the stages to share.")] = "deep",
    recipe: Annotated[
        str | None, typer.Option(help="How to train: a recipe's name or a TOML file.", show_default="the suite's")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting (udbench show RECIPE); many times."),
    ] = None,
    device: Annotated[str, typer.Option(help="Whose rates: auto, cpu, cuda, cuda:1 …")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    group: Annotated[
        int | None, typer.Option(min=1, help="Most domains that share a forward.", show_default="all")
    ] = None,
    machine: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file with the rates of another machine: name, precision, rate (operations a second), "
            "overhead (seconds a forward), memory_rate, bandwidth (bytes a second), latency (seconds); memory (bytes)."
        ),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's rates anew.")] = False,
    deal: Annotated[bool, typer.Option("--deal", help="Say which process does what.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Predict what rounds take on several processes, from counted operations and a machine's rates. Reads no data.

    Rates of this machine are measured once for a network and kept in the cache.
    For example: udbench plan --adapter domain-bn --arch resnet38 --processes 1,2,4
    """
    numbers = _numbers(processes)
    from udbench.cli import jobs
    from udbench.errors import SettingError

    ask = jobs.ask(
        suite=suite,
        domains=domains,
        adapter=adapter,
        arch=arch,
        sharing=sharing,
        recipe=recipe,
        settings=settings or [],
        device=device,
        precision=precision,
        group=group,
    )
    jobs.check(ask)
    given = None
    if machine is None:
        job = jobs.make(ask)
    else:
        from udbench.perf.rates import read_machine

        for option, changed in (
            ("--measure", measure),
            ("--device", device != "auto"),
            ("--precision", precision != "auto"),
        ):
            if changed:
                raise SettingError(
                    f"{option} with --machine: the file says how fast its machine is, and in which number format; "
                    f"leave {option} out"
                )
        given = read_machine(machine)
        job = jobs.of_config(jobs.configuration(ask, "cpu", given.precision))
    from udbench.perf.plan import plan as predicted

    specs = {member.spec.name: member.spec for member in ask.domains}
    found = predicted(job, specs, numbers, machine=given, remake=remaking(job.config), anew=measure, log=output.note)
    if json:
        return output.emit_json(found.document())
    _show(found)
    if deal:
        _show_deal(found)
    return None


def remaking(config: RunConfig) -> functools.partial[Job]:
    """What makes a configuration's job anew in another process."""
    return functools.partial(_remade, config, context.disabled())


def _remade(config: RunConfig, disabled: Sequence[str]) -> Job:
    from udbench.cli import jobs

    context.begin(disabled)
    return jobs.of_config(config)


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
        f"{about['images_per_round']:,} images a round; {about['precision']} on {where}"
    )
    table = output.table(
        ">processes", ">ms a round", ">images/s", ">speed-up", ">idle, mean", ">worst", ">reduce, ms", ">shared, MB",
        ">private", ">norms", title="Predicted rounds, and what is reduced in each",
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
        ">processes", ">parameters", ">gradients", ">optimizer", ">images", ">activations", ">together, MB",
        title="Memory of the process that needs most",
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
        seats = f"{row.threads} thread{'s' if row.threads > 1 else ''} a process"
        seats += f", {row.rates.at_once} at once: " if row.rates.at_once else ": "
    line = (
        f"rates: {seats}{compute.rate / 1e9:,.1f} G operations/s, {1000 * compute.overhead:.1f} ms a forward besides, "
        f"{compute.memory_rate / 1e9:.1f} GB/s of updates ({told['compute']})"
    )
    if link is None:
        return line
    return line + (f"; link {link.bandwidth / 1e9:.2f} GB/s, {1e6 * link.latency:.0f} µs a message ({told['link']})")


def _show_deal(found: ScalePlan) -> None:
    batch = found.about["batch_size"]
    for row in found.rows:
        each = row.prediction
        table = output.table(
            ">process", "domains, rows", ">G operations", ">ms at work", ">ms waiting",
            title=f"Who does what of {each.processes}",
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
