"""`udbench bench methods`: what adapters cost against one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from udbench.cli import context, output

if TYPE_CHECKING:
    from udbench.perf.methods import Methods
    from udbench.plugin.contracts_data import DomainSpec
    from udbench.plugin.contracts_model import Adapter
    from udbench.runs.job import Job


def adapters(against: str | None) -> dict[str, Adapter]:
    """The adapters that these words name, or all installed ones. Raises UnknownNameError, SettingError."""
    from udbench.errors import SettingError
    from udbench.plugin.contracts_model import Adapter

    known = context.registry()
    if against is None:
        return {name: known.get(Adapter, name) for name in known.names("adapters")}
    names = [word.strip() for word in against.split(",") if word.strip()]
    if not names:
        raise SettingError("--against: no adapter is named; give names with commas between (udbench list adapters)")
    return {name: known.get(Adapter, name) for name in names}


def show(
    job: Job, others: Mapping[str, Adapter], specs: Mapping[str, DomainSpec], turns: int, rounds: int, *, json: bool
) -> Methods:
    """Time them and print what came of it; what was measured."""
    from udbench.perf.methods import methods

    found = methods(job, others, specs, turns=turns, rounds=rounds, log=output.note)
    if json:
        output.emit_json(found.document())
        return found
    base = job.config.adapter
    table = output.table(
        "adapter", ">images/s", ">slowest … fastest", f">against {base}", ">quartiles", ">private parameters"
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
        output.say(f"left out: {name}: {reason}")
    return found
