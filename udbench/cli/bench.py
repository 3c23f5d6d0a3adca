"""`udbench bench`: training speed on this machine, against an upper bound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from udbench.cli import bench_methods, context, output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from udbench.perf.step import Report
    from udbench.perf.timing import Ratio
    from udbench.plugin.contracts_data import DomainSpec
    from udbench.runs.job import Job


Part = Literal["step", "adapters", "domains", "images", "startup", "processes"]
DOMAINS = (1, 2, 10, 50, 100, 200)
MB = 1e6


def bench(
    what: Annotated[
        Part,
        typer.Argument(
            metavar="[step|adapters|domains|images|startup|processes]",
            help="step: a round against an upper bound. adapters: other adapters against --adapter. domains: rounds "
            "of 200 images from 1 to 200 domains. images: preparing and feeding against decoding alone. startup: the "
            "start-up time of commands. processes: several processes against one and against the prediction of plan.",
            show_default=True,
        ),
    ] = "step",
    adapter: Annotated[str, typer.Option(help="Adapter (udbench list adapters).")] = "domain-bn",
    arch: Annotated[str, typer.Option(help="Architecture (udbench list archs).")] = "resnet38",
    suite: Annotated[
        str | None,
        typer.Option(
            help="Suite; only the number, classes and channels of its domains are used.", show_default="pocket"
        ),
    ] = None,
    domains: Annotated[str | None, typer.Option(help="Domains by name, separated by commas.")] = None,
    sharing: Annotated[
        str, typer.Option(help="Layers shared by all domains: deep, full, or partial:A-B for those stages.")
    ] = "deep",
    recipe: Annotated[
        str | None, typer.Option(help="Recipe by name, or a TOML file.", show_default="the suite's")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; repeatable.")
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="Number of interleaved measurements of each variant.")] = 7,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds per measurement.")] = 1,
    variants: Annotated[
        str | None,
        typer.Option(
            help="step: variants to time besides udbench and the upper bound: one-by-one, plain, compiled, evaluation, "
            "and on a CUDA GPU graphs and compiled-graphs.",
            show_default="all supported here",
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            help="adapters: adapters to compare with --adapter, separated by commas.", show_default="all installed"
        ),
    ] = None,
    layouts: Annotated[
        str | None,
        typer.Option(
            metavar="PxT[,PxT…]",
            help="processes: numbers of processes and of threads per process.",
            show_default="2x1,1x2,1x1",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Device: auto, cpu, cuda, cuda:1, …")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision: auto, fp32 or bf16.")] = "auto",
    group: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of domains per forward pass.", show_default="all")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="images: processes that prepare and decode images.", show_default="one per core"),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="step: write a trace of some rounds to this .json file and list the slowest operators."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="domains: plot the time per image to this .svg file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Benchmark the training step on synthetic images against an upper bound, its own variants (ungrouped, compiled,
    CUDA graphs) and plain PyTorch, interleaved in one process. Reads no data and writes to no board.

    For example: udbench bench --set image_size=64 --set batch_size=16
    """
    from udbench.errors import SettingError
    from udbench.files import check_file_writable
    from udbench.resolve.job import make_job
    from udbench.resolve.request import RunRequest, resolve

    wanted = _variants(variants) if what == "step" else ()
    _check(what, variants, profile, plot, workers, layouts, compare)
    if what == "startup":
        return _startup(turns, json=json)
    if what == "images":
        return _images(turns, workers, json=json)
    if profile is not None:
        if profile.suffix != ".json":
            raise SettingError(
                f"--profile {profile}: give a file that ends in .json (a browser opens it at chrome://tracing)"
            )
        check_file_writable(profile, "give another file with --profile")
    if what == "adapters":
        bench_methods.adapters(compare)
    if sharing == "none":
        raise SettingError(
            "--sharing none trains one network per domain, so there is no shared step; choose one domain with --domains"
        )
    request = RunRequest(
        suite=suite,
        domains=domains,
        choices={"adapter": adapter, "arch": arch, "sharing": sharing},
        recipe=recipe,
        settings=settings or [],
        device=device,
        precision=precision,
        group=group,
        compile=wanted is None or any(name.startswith("compiled") for name in wanted),
    )
    resolved = resolve(context.session(), request)
    job = make_job(context.session(), resolved)
    specs = {member.spec.name: member.spec for member in resolved.domains}
    if what == "domains":
        return _growth(job, resolved.domains[0].spec, turns, plot, json=json)
    if what == "processes":
        return _processes(job, specs, layouts, turns, rounds, json=json)
    if what == "adapters":
        found = bench_methods.show(job, bench_methods.adapters(compare), specs, turns, rounds, json=json)
        return None if json else _say_where(found.about, turns)
    from udbench.perf.step import bench as measure

    report = measure(job, specs, turns=turns, rounds=rounds, only=wanted, log=output.note)
    if json:
        output.emit_json(report.document())
    else:
        _show(report)
    if profile is not None:
        _profile(job, specs, profile)
    return None


def _check(
    what: Part,
    variants: str | None,
    profile: Path | None,
    plot: Path | None,
    workers: int | None,
    layouts: str | None,
    compare: str | None,
) -> None:
    """Refuse options of another benchmark and plots that cannot be written, before anything is timed."""
    from udbench.errors import SettingError

    for name, value, part in (
        ("--variants", variants, "step"),
        ("--profile", profile, "step"),
        ("--plot", plot, "domains"),
        ("--workers", workers, "images"),
        ("--layouts", layouts, "processes"),
        ("--compare", compare, "adapters"),
    ):
        if value is not None and what != part:
            raise SettingError(f"{name} applies only to 'udbench bench {part}'; leave it out")
    if plot is not None:
        from udbench.files import check_file_writable

        if plot.suffix != ".svg":
            raise SettingError(f"--plot {plot}: give a file that ends in .svg")
        check_file_writable(plot, "give another file with --plot")


def _growth(job: Job, spec: DomainSpec, turns: int, plot: Path | None, *, json: bool) -> None:
    from udbench.perf.growth import IMAGES, growth

    found = growth(job, spec, DOMAINS, turns=turns, log=output.note)
    if json:
        output.emit_json(found.document())
    else:
        table = output.table(">domains", ">samples each", ">images/s", ">slowest … fastest", ">vs. 1", ">quartiles")
        for number, sample in found.samples.items():
            slow, fast = sample.rates
            ratio = found.ratios[number]
            table.add_row(
                *output.cells(
                    number,
                    IMAGES // number,
                    f"{sample.rate:.1f}",
                    f"{slow:.1f} … {fast:.1f}",
                    f"{ratio.value:.3f}",
                    f"{ratio.low:.3f} … {ratio.high:.3f}",
                )
            )
        _say_where(found.about, turns)
        output.answers().print(table)
    if plot is None:
        return
    from udbench.figures.series import Axis, Point, Series, lines
    from udbench.files import atomic_write

    points = tuple(Point(x=float(n), y=1000 / sample.rate) for n, sample in found.samples.items())
    figure = lines(
        [Series(name=f"{found.about['adapter']} on {found.about['arch']}", points=points)],
        title="Time per image by number of domains",
        x=Axis(label="domains per round of 200 images", log=True),
        y=Axis(label="ms per image"),
        caption=[f"{found.about['precision']} on {found.about['hardware']}, medians of {turns} measurements"],
    )
    atomic_write(plot, figure)
    output.note(f"figure  {plot}")


def _processes(
    job: Job, specs: Mapping[str, DomainSpec], layouts: str | None, turns: int, rounds: int, *, json: bool
) -> None:
    from udbench.cli.plan import remaking
    from udbench.launching.torchrun import check_processes
    from udbench.perf.names import WORLDS
    from udbench.perf.processes import measure, parse_worlds

    words = WORLDS if layouts is None else [word.strip() for word in layouts.split(",") if word.strip()]
    named = parse_worlds(words)
    check_processes(max(processes for processes, _ in named.values()), job.config.device)
    found = measure(job, specs, named, turns=turns, rounds=rounds, remake=remaking(job.config), log=output.note)
    if json:
        return output.emit_json(found.document())
    _say_where(found.about, turns, threads=False)
    table = output.table(
        "layout", ">images/s", ">slowest … fastest", ">predicted", ">all-reduce, %", ">predicted", ">mean idle, %",
        ">predicted", ">max. idle, %", ">predicted", title="Processes x threads per process; quartiles in parentheses",
    )  # fmt: skip
    for name, world in found.worlds.items():
        slow, fast = world.samples.rates
        predicted = world.prediction
        table.add_row(
            *output.cells(
                name,
                f"{world.samples.rate:.1f}",
                f"{slow:.1f} … {fast:.1f}",
                f"{predicted.rate:.1f}",
                _share(world.reduce),
                f"{100 * predicted.reduce / predicted.seconds:.1f}",
                _share(world.idle),
                f"{100 * predicted.idle_mean:.1f}",
                _share(world.idle_worst),
                f"{100 * predicted.idle_worst:.1f}",
            )
        )
    output.answers().print(table)
    _show_ratios(found.ratios)
    table = output.table(
        "layout", ">peak, MB", ">predicted", ">measured / predicted",
        title="Peak memory of the largest process, without Python and torch",
    )  # fmt: skip
    for name, world in found.worlds.items():
        most, predicted = world.most_memory, max(world.predicted_memory)
        measured = ("unknown", "") if most is None else (f"{most / MB:,.0f}", f"{most / predicted:.2f}")
        table.add_row(*output.cells(name, measured[0], f"{predicted / MB:,.0f}", measured[1]))
    output.answers().print(table)
    return None


def _share(each: Ratio) -> str:
    return f"{100 * each.value:.1f} ({100 * each.low:.1f} … {100 * each.high:.1f})"


def _startup(turns: int, *, json: bool) -> None:
    from udbench.perf.startup import measure

    found = measure(turns, output.note)
    if json:
        return output.emit_json(found.document())
    document = found.document()
    table = output.table("command", ">CPU seconds", ">quartiles", title=f"{turns} measurements each")
    for name, words in document["commands"].items():
        low, high = document["cpu_second_quartiles"][name]
        table.add_row(*output.cells(words, f"{document['cpu_seconds'][name]:.3f}", f"{low:.3f} … {high:.3f}"))
    output.answers().print(table)
    _show_ratios(found.ratios)
    return None


def _images(turns: int, workers: int | None, *, json: bool) -> None:
    from udbench.perf.images import measure
    from udbench.resolve.stores import cores

    found = measure(turns=turns, workers=cores(workers), log=output.note)
    if json:
        return output.emit_json(found.document())
    table = output.table(
        "", ">images/s", ">slowest … fastest", title=f"{turns} measurements, {found.workers} processes"
    )
    for name, sample in found.samples.items():
        slow, fast = sample.rates
        table.add_row(*output.cells(name, f"{sample.rate:.0f}", f"{slow:.0f} … {fast:.0f}"))
    output.answers().print(table)
    _show_ratios({**found.ratios, **{f"{name}, core time": each for name, each in found.core_ratios.items()}})
    table = output.table(
        "feed", ">images stored", ">µs per image", ">first batch, s", title="one process, by the size of the store"
    )
    for each in found.growth:
        table.add_row(
            *output.cells(each.kind, f"{each.images:,}", f"{1e6 / each.samples.rate:.1f}", f"{each.first:.2f}")
        )
    output.answers().print(table)
    return None


def _show_ratios(ratios: Mapping[str, Ratio]) -> None:
    table = output.table("ratio", ">median", ">quartiles", title="within a measurement")
    for name, ratio in ratios.items():
        table.add_row(*output.cells(name, f"{ratio.value:.3f}", f"{ratio.low:.3f} … {ratio.high:.3f}"))
    output.answers().print(table)


def _say_where(about: Mapping[str, Any], turns: int, *, threads: bool = True) -> None:
    own = f"{about['threads']} threads, " if threads else ""
    output.say(
        f"{about['adapter']} on {about['arch']}, sharing {about['sharing']}; {about['precision']} on "
        f"{about['hardware']}, {own}torch {about['versions']['torch']}; "
        f"{turns} measurements"
    )


def _variants(names: str | None) -> tuple[str, ...] | None:
    from udbench.errors import UnknownNameError
    from udbench.perf.names import CONTENDERS

    if names is None:
        return None
    named = tuple(word.strip() for word in names.split(",") if word.strip())
    if strange := [name for name in named if name not in CONTENDERS]:
        raise UnknownNameError("variant", strange[0], CONTENDERS)
    return named


def _show(report: Report) -> None:
    about = report.about
    output.say(
        f"{about['adapter']} on {about['arch']}, sharing {about['sharing']}: {len(about['domains'])} domains, "
        f"{report.images_per_round} images per round; {about['precision']} on {about['hardware']}, "
        f"{about['threads']} threads, torch {about['versions']['torch']}"
    )
    table = output.table(
        "", ">images/s", ">slowest … fastest", ">first measurement, s", title=f"{report.turns} measurements each"
    )
    for name, sample in report.samples.items():
        slow, fast = sample.rates
        start = report.starting[name]
        table.add_row(*output.cells(name, f"{sample.rate:.1f}", f"{slow:.1f} … {fast:.1f}", f"{start:.1f}"))
    output.answers().print(table)
    _show_ratios(report.ratios)
    whole = sum(part.median for part in report.parts.values())
    table = output.table("part of a round", ">ms", ">%")
    for name, part in report.parts.items():
        table.add_row(*output.cells(name, f"{1000 * part.median:.1f}", f"{100 * part.median / whole:.1f}"))
    output.answers().print(table)
    floor = report.floor
    output.say(
        f"roofline: a round takes at least {1000 * floor.compute_seconds:.0f} ms for {floor.operations / 1e9:.0f} G "
        f"operations at {floor.operations_per_second / 1e9:.0f} G/s (measured on a large matrix product), and at least "
        f"{1000 * floor.memory_seconds:.0f} ms if every layer reads and writes memory, {floor.bytes / 1e9:.2f} GB at "
        f"{floor.bytes_per_second / 1e9:.1f} GB/s (measured on a large copy)"
    )
    if report.peak_memory is not None:
        output.say(f"peak memory during a round: {report.peak_memory / MB:,.0f} MB")


def _profile(job: Job, specs: object, path: Path) -> None:
    from udbench.perf.breakdown import profile

    dearest = profile(job, specs, path)  # pyright: ignore[reportArgumentType]
    table = output.table("operator", ">calls", ">ms", ">%", title=f"the {len(dearest)} slowest operators")
    for each in dearest:
        table.add_row(*output.cells(each.name, each.calls, f"{each.milliseconds:.1f}", f"{each.percent:.1f}"))
    output.notes().print(table)
    output.note(f"trace   {path}")
