"""How large methods are against one network of one domain: what an error is weighed against."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from udbench.boards.partial_suites import cut, listed
from udbench.results import RunResult

WORD = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class OneNetwork:
    """The smallest network of one domain, trunk and head, that methods on one architecture hold; the mean over the
    domains. An adapter copies parts or adds some, so this is the plain network as soon as one of them adds nothing.

    `of`: the architecture, with its settings where it is there with several. `adapters`: who holds just that.
    """

    of: str
    parameters: float
    adapters: tuple[str, ...]

    @property
    def bits(self) -> float:
        """32 for each parameter."""
        return WORD * self.parameters

    @property
    def sentence(self) -> str:
        """How much it holds, and who says so: with one adapter alone nobody can tell what that adds."""
        alone = " alone (what that adds, if anything, is in it)" if len(self.adapters) == 1 else ""
        return f"{cut(self.of)} {self.parameters / 1e6:.2f} M parameters, as with {listed(self.adapters)}{alone}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """What a method holds for all its domains, and the network that it is held against."""

    parameters: int
    bits: int
    one: OneNetwork

    @property
    def times(self) -> float:
        """The parameters against those of one network."""
        return self.parameters / self.one.parameters if self.one.parameters else 1.0

    @property
    def bits_times(self) -> float:
        """The bits against those of one network."""
        return self.bits / self.one.bits if self.one.parameters else 1.0


def one_networks(results: Iterable[RunResult]) -> dict[str, OneNetwork]:
    """One network for each architecture that results of the same domains and images are of.

    A record holds what is shared and what is private, the adapter's own among both, and not what the architecture
    alone would hold: that is taken from whoever holds least for one domain.
    """
    held: dict[str, dict[str, float]] = {}
    archs: dict[str, tuple[str, str]] = {}
    for result in results:
        network = _network(result)
        settings = ", ".join(f"{key}={json.dumps(value)}" for key, value in result.config.arch_settings.items())
        archs[network] = (result.arch, settings)
        each = round(result.params.shared + result.params.private / len(result.domains), 3)
        adapters = held.setdefault(network, {})
        adapters[result.adapter] = min(each, adapters.get(result.adapter, each))
    names = [arch for arch, _ in archs.values()]
    return {
        network: OneNetwork(
            of=f"{arch} ({settings})" if settings and names.count(arch) > 1 else arch,
            parameters=(least := min(held[network].values())),
            adapters=tuple(sorted(name for name, each in held[network].items() if each == least)),
        )
        for network, (arch, settings) in archs.items()
    }


def size_of(result: RunResult, networks: Mapping[str, OneNetwork]) -> Size:
    """A result's size against the network of its table (`one_networks`) that it is on."""
    params = result.params
    return Size(parameters=params.shared + params.private, bits=params.bits, one=networks[_network(result)])


def _network(result: RunResult) -> str:
    """What a network is built from: its name and settings, and what each domain feeds to it and asks of its head."""
    settings = result.config.settings
    inputs = {name: (settings.size_of(name), dict(settings.head_of(name))) for name in result.domains}
    return json.dumps([result.arch, result.config.arch_settings, inputs], sort_keys=True)
