"""`udbench bench`: how fast a network trains here, against what the machine could do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from udbench.cli import bench_methods, output, preparing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from udbench.perf.step import Report
    from udbench.perf.timing import Ratio
    from udbench.plugin.contracts_data import DomainSpec
    from udbench.runs.job import Job


Part = Literal["step", "methods", "growth", "images", "startup", "processes"]
DOMAINS = (1, 2, 10, 50, 100, 200)
MB = 1e6


def bench(
    what: Annotated[
        Part,
        typer.Argument(
            metavar="[step|methods|growth|images|startup|processes]",
            help="step: a round beside its ceiling. methods: other adapters beside --adapter. growth: 200 images of "
            "1 to 200 domains. images: preparing and feeding beside decoding alone. startup: how soon the command "
            "line answers. processes: several processes beside one, and beside what plan predicts.",
            show_default=True,
        ),
    ] = "step",
    adapter: Annotated[str, typer.Option(help="The adapter (udbench list adapters).")] = "domain-bn",
    arch: Annotated[str, typer.Option(help="The network (udbench list archs).")] = "resnet38",
    suite: Annotated[
        str | None, typer.Option(help="Whose domains: their number, classes and channels.", show_default="pocket")
    ] = None,
    domains: Annotated[str | None, typer.Option(help="Domains by name; commas between.")] = None,
    sharing: Annotated[str, typer.Option(help="none, deep, full, or partial:A-B.")] = "deep",
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or file.", show_default="the suite's")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; many times.")
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="How often each is timed, one after another.")] = 7,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each turn.")] = 1,
    only: Annotated[
        str | None,
        typer.Option(
            help="What to time beside udbench and its ceiling: one-by-one, plain, compiled, evaluation, and on a CUDA "
            "GPU graphs and compiled-graphs.",
            show_default="all that can be",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="For methods: adapters to hold against --adapter; commas between.", show_default="all there are"
        ),
    ] = None,
    worlds: Annotated[
        str | None,
        typer.Option(
            metavar="PxT[,PxT…]", help="For processes: how many, and threads of each.", show_default="2x1,1x2,1x1"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    group: Annotated[
        int | None, typer.Option(min=1, help="Most domains that share a forward.", show_default="all")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that prepare and decode, for images.", show_default="the cores")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Write a trace of some rounds to this file (.json), and name the dearest parts.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw growth into this file (.svg).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Time the training step on made images beside its ceiling, itself one domain at a time, itself compiled,
    itself as CUDA graphs, and plain PyTorch, turn by turn in one run. Reads no data, writes to no board.

    For example: udbench bench --set image_size=64 --set batch_size=16
    """
    from udbench.cli import jobs
    from udbench.errors import SettingError
    from udbench.files import check_file_writable

    wanted = _contenders(only) if what == "step" else ()
    _check(what, only, profile, plot, workers, worlds, against)
    if what == "startup":
        return _startup(turns, json=json)
    if what == "images":
        return _images(turns, workers, json=json)
    if profile is not None:
        if profile.suffix != ".json":
            raise SettingError(f"--profile {profile}: name a .json file, which a browser shows at chrome://tracing")
        check_file_writable(profile, "give another file with --profile")
    if what == "methods":
        bench_methods.adapters(against)
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
        compile=wanted is None or any(name.startswith("compiled") for name in wanted),
    )
    if sharing == "none":
        raise SettingError(
            "--sharing none trains one network after another, which share no step; name one of --domains"
        )
    jobs.check(ask)
    job = jobs.make(ask)
    specs = {member.spec.name: member.spec for member in ask.domains}
    if what == "growth":
        return _growth(job, ask.domains[0].spec, turns, plot, json=json)
    if what == "processes":
        return _processes(job, specs, worlds, turns, rounds, json=json)
    if what == "methods":
        found = bench_methods.show(job, bench_methods.adapters(against), specs, turns, rounds, json=json)
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
    only: str | None,
    profile: Path | None,
    plot: Path | None,
    workers: int | None,
    worlds: str | None,
    against: str | None,
) -> None:
    """Refuse options that the part would not heed, and figures that cannot be drawn, before anything is timed."""
    from udbench.errors import SettingError

    for name, value, part in (
        ("--only", only, "step"),
        ("--profile", profile, "step"),
        ("--plot", plot, "growth"),
        ("--workers", workers, "images"),
        ("--worlds", worlds, "processes"),
        ("--against", against, "methods"),
    ):
        if value is not None and what != part:
            raise SettingError(f"{name} is for 'udbench bench {part}'; leave it out")
    if plot is not None:
        from udbench.files import check_file_writable
        from udbench.plots import need_matplotlib

        need_matplotlib()
        if plot.suffix != ".svg":
            raise SettingError(f"--plot {plot}: name an .svg file")
        check_file_writable(plot, "give another file with --plot")


def _growth(job: Job, spec: DomainSpec, turns: int, plot: Path | None, *, json: bool) -> None:
    from udbench.perf.growth import IMAGES, growth

    found = growth(job, spec, DOMAINS, turns=turns, log=output.note)
    if json:
        output.emit_json(found.document())
    else:
        table = output.table(">domains", ">rows of each", ">images/s", ">slowest … fastest", ">against 1", ">quartiles")
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
    from udbench import plots
    from udbench.files import atomic_write

    points = tuple(plots.Point(x=float(n), y=1000 / sample.rate) for n, sample in found.samples.items())
    figure = plots.lines(
        [plots.Series(name=f"{found.about['adapter']} on {found.about['arch']}", points=points)],
        title="Time of an image by the number of domains",
        x=plots.Axis(label="domains in a round of 200 images", log=True),
        y=plots.Axis(label="ms an image"),
        caption=[f"{found.about['precision']} on {found.about['hardware']}, medians of {turns} turns"],
    )
    atomic_write(plot, figure)
    output.note(f"figure  {plot}")


def _processes(
    job: Job, specs: Mapping[str, DomainSpec], worlds: str | None, turns: int, rounds: int, *, json: bool
) -> None:
    from udbench.cli.plan import remaking
    from udbench.launching.torchrun import check_processes
    from udbench.perf.names import WORLDS
    from udbench.perf.processes import measure, parse_worlds

    words = WORLDS if worlds is None else [word.strip() for word in worlds.split(",") if word.strip()]
    named = parse_worlds(words)
    check_processes(max(processes for processes, _ in named.values()), job.config.device)
    found = measure(job, specs, named, turns=turns, rounds=rounds, remake=remaking(job.config), log=output.note)
    if json:
        return output.emit_json(found.document())
    _say_where(found.about, turns, threads=False)
    table = output.table(
        "world", ">images/s", ">slowest … fastest", ">predicted", ">reduce, %", ">predicted", ">idle, mean, %",
        ">predicted", ">idle, worst, %", ">predicted", title="Processes x threads of each; quartiles in brackets",
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
        "world", ">most, MB", ">predicted", ">measured / predicted",
        title="Memory of the process that takes most, beyond Python and torch",
    )  # fmt: skip
    for name, world in found.worlds.items():
        most, predicted = world.most_memory, max(world.predicted_memory)
        measured = ("not told", "") if most is None else (f"{most / MB:,.0f}", f"{most / predicted:.2f}")
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
    table = output.table("command", ">CPU seconds", ">quartiles", title=f"{turns} turns each")
    for name, words in document["commands"].items():
        low, high = document["cpu_second_quartiles"][name]
        table.add_row(*output.cells(words, f"{document['cpu_seconds'][name]:.3f}", f"{low:.3f} … {high:.3f}"))
    output.answers().print(table)
    _show_ratios(found.ratios)
    return None


def _images(turns: int, workers: int | None, *, json: bool) -> None:
    from udbench.perf.images import measure

    found = measure(turns=turns, workers=preparing.cores(workers), log=output.note)
    if json:
        return output.emit_json(found.document())
    table = output.table("", ">images/s", ">slowest … fastest", title=f"{turns} turns, {found.workers} processes")
    for name, sample in found.samples.items():
        slow, fast = sample.rates
        table.add_row(*output.cells(name, f"{sample.rate:.0f}", f"{slow:.0f} … {fast:.0f}"))
    output.answers().print(table)
    _show_ratios({**found.ratios, **{f"{name}, core time": each for name, each in found.core_ratios.items()}})
    table = output.table("feed", ">of images", ">µs an image", ">first batch, s", title="one process, as images grow")
    for each in found.growth:
        table.add_row(
            *output.cells(each.kind, f"{each.images:,}", f"{1e6 / each.samples.rate:.1f}", f"{each.first:.2f}")
        )
    output.answers().print(table)
    return None


def _show_ratios(ratios: Mapping[str, Ratio]) -> None:
    table = output.table("ratio", ">median", ">quartiles", title="within a turn")
    for name, ratio in ratios.items():
        table.add_row(*output.cells(name, f"{ratio.value:.3f}", f"{ratio.low:.3f} … {ratio.high:.3f}"))
    output.answers().print(table)


def _say_where(about: Mapping[str, Any], turns: int, *, threads: bool = True) -> None:
    own = f"{about['threads']} threads, " if threads else ""
    output.say(
        f"{about['adapter']} on {about['arch']}, sharing {about['sharing']}; {about['precision']} on "
        f"{about['hardware']}, {own}torch {about['versions']['torch']}; "
        f"{turns} turns"
    )


def _contenders(only: str | None) -> tuple[str, ...] | None:
    from udbench.errors import UnknownNameError
    from udbench.perf.names import CONTENDERS

    if only is None:
        return None
    named = tuple(word.strip() for word in only.split(",") if word.strip())
    if strange := [name for name in named if name not in CONTENDERS]:
        raise UnknownNameError("contender", strange[0], CONTENDERS)
    return named


def _show(report: Report) -> None:
    about = report.about
    output.say(
        f"{about['adapter']} on {about['arch']}, sharing {about['sharing']}: {len(about['domains'])} domains, "
        f"{report.images_per_round} images a round; {about['precision']} on {about['hardware']}, "
        f"{about['threads']} threads, torch {about['versions']['torch']}"
    )
    table = output.table("", ">images/s", ">slowest … fastest", ">first turn, s", title=f"{report.turns} turns each")
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
        f"no round can take less than {1000 * floor.compute_seconds:.0f} ms for its {floor.operations / 1e9:.0f} G "
        f"operations at {floor.operations_per_second / 1e9:.0f} G/s (a large matrix product), nor, if every layer "
        f"reads and writes memory, than {1000 * floor.memory_seconds:.0f} ms for its {floor.bytes / 1e9:.2f} GB at "
        f"{floor.bytes_per_second / 1e9:.1f} GB/s (a large copy)"
    )
    if report.peak_memory is not None:
        output.say(f"most memory while a round ran: {report.peak_memory / MB:,.0f} MB")


def _profile(job: Job, specs: object, path: Path) -> None:
    from udbench.perf.breakdown import profile

    dearest = profile(job, specs, path)  # pyright: ignore[reportArgumentType]
    table = output.table("operator", ">calls", ">ms", ">%", title=f"the {len(dearest)} dearest operators")
    for each in dearest:
        table.add_row(*output.cells(each.name, each.calls, f"{each.milliseconds:.1f}", f"{each.percent:.1f}"))
    output.notes().print(table)
    output.note(f"trace   {path}")
