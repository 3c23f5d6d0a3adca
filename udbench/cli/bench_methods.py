"""`udbench bench adapters`: the cost of adapters relative to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.perf.methods import Methods
    from udbench.plugin.contracts_data import DomainSpec
    from udbench.plugin.contracts_model import Adapter
    from udbench.runs.job import Job


def adapters(compare: str | None) -> dict[str, Adapter]:
    """The adapters with these comma-separated names, or all installed ones. Raises UnknownNameError, SettingError."""
    from udbench.errors import SettingError
    from udbench.plugin.contracts_model import Adapter

    known = context.registry()
    if compare is None:
        return {name: known.get(Adapter, name) for name in known.names("adapters")}
    names = [word.strip() for word in compare.split(",") if word.strip()]
    if not names:
        raise SettingError("--compare: no adapter given; give names separated by commas (udbench list adapters)")
    return {name: known.get(Adapter, name) for name in names}


def show(
    job: Job, others: Mapping[str, Adapter], specs: Mapping[str, DomainSpec], turns: int, rounds: int, *, json: bool
) -> Methods:
    """Benchmark the adapters, print the table, and return the measurements."""
    from udbench.perf.methods import methods

    found = methods(job, others, specs, turns=turns, rounds=rounds, log=output.note)
    if json:
        output.emit_json(found.document())
        return found
    base = job.config.adapter
    table = output.table(
        "adapter", ">images/s", ">slowest … fastest", f">vs. {base}", ">quartiles", ">private parameters"
    )
    for name, sample in sorted(found.samples.items(), key=lambda item: -item[1].rate):
        slow, fast = sample.rates
        each = found.ratios.get(name)
        table.add_row(
            *output.cells(
                name,
                f"{sample.rate:.1f}",
                f"{slow:.1f} … {fast:.1f}",
                f"{each.value:.3f}" if each else "1",
                f"{each.low:.3f} … {each.high:.3f}" if each else "",
                f"{found.private[name]:,.0f}",
            )
        )
    output.answers().print(table)
    for name, reason in found.refused.items():
        output.say(f"skipped: {name}: {reason}")
    return found
