"""The rates of a machine: read from a file, or measured once and kept in the cache."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from udbench.data.locations import cache_root
from udbench.files import atomic_write, json_text
from udbench.overrides import read_toml, validated

FILE, FORMAT = "rates.json", 1

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Kept = TypeVar("Kept", "Compute", "Link")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Compute(_Frozen):
    """The rates of one process.

    `rate`: operations per second in forwards and backwards. `overhead`: further seconds of each forward and backward.
    `memory_rate`: bytes per second that the optimizer's update reads and writes.
    """

    rate: Positive
    overhead: NotNegative
    memory_rate: Positive


class Link(_Frozen):
    """The link between two processes: bytes per second, and seconds of latency per message."""

    bandwidth: Positive
    latency: NotNegative


class Machine(_Frozen):
    """The rates of any machine, for `udbench plan --machine FILE.toml`.

    `rate`, `overhead`, `memory_rate`: of one process, see `Compute`, in the given `precision`. `bandwidth`, `latency`:
    of the slowest link in the ring of all processes, see `Link`. `memory`: the bytes of a process; with it, a plan says
    what does not fit.
    """

    name: str = Field(min_length=1)
    precision: Literal["fp32", "bf16"]
    rate: Positive
    overhead: NotNegative
    memory_rate: Positive
    bandwidth: Positive
    latency: NotNegative
    memory: Positive | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The rates of a prediction.

    `at_once`: how many processes can compute at the same time without slowing each other; None for no limit. `told`:
    the source of each rate, in words.
    """

    compute: Compute
    link: Link | None
    at_once: int | None = None
    told: Mapping[str, str]


def read_machine(path: Path) -> Machine:
    """Read a machine's rates from a TOML file. Raises SettingError for an unreadable or invalid file."""
    what = f"--machine {path}"
    return validated(Machine, read_toml(path, what), what)


def rates_of(machine: Machine) -> Rates:
    """The rates of a given machine."""
    return Rates(
        compute=Compute(rate=machine.rate, overhead=machine.overhead, memory_rate=machine.memory_rate),
        link=Link(bandwidth=machine.bandwidth, latency=machine.latency),
        told={"compute": "given", "link": "given"},
    )


class KeptRates:
    """The measured rates of the machines that share a cache folder, each under everything that it depends on."""

    def __init__(self) -> None:
        self.path = cache_root() / FILE
        self.trouble = ""
        self._entries = self._read()

    def find(self, kind: type[Kept], key: Mapping[str, Any]) -> tuple[Kept, str] | None:
        """The rates measured under a key, and the time of the measurement; None if there are none."""
        for entry in self._entries:
            if entry["kind"] == kind.__name__.lower() and entry["key"] == _plain(key):
                return kind.model_validate(entry["rates"]), str(entry["measured"])
        return None

    def keep(self, rates: Compute | Link, key: Mapping[str, Any]) -> str:
        """Save rates under a key, replacing older ones. Returns the time of the measurement."""
        kind, now = type(rates).__name__.lower(), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        own = _plain(key)
        self._entries = [e for e in self._read() if (e["kind"], e["key"]) != (kind, own)]
        self._entries.append({"kind": kind, "key": own, "rates": rates.model_dump(), "measured": now})
        document = {"format": FORMAT, "entries": self._entries}
        atomic_write(self.path, json_text(document, str(self.path), indent=1) + "\n")
        return now

    def _read(self) -> list[dict[str, Any]]:
        """Read the entries. A damaged file is described in `trouble`, and its rates are measured again."""
        try:
            document = json.loads(self.path.read_text())
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}, not {FORMAT}")
            entries = list(document["entries"])
            for entry in entries:
                {"compute": Compute, "link": Link}[entry["kind"]].model_validate(entry["rates"])
                if not isinstance(entry["key"], dict) or not isinstance(entry["measured"], str):
                    raise ValueError("an entry without a key or a date")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.trouble = f"{self.path} is damaged ({reason}); its rates are measured again"
            return []
        return entries


def _plain(key: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(key))
