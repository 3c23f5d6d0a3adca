"""Which installed domains have images on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from udbench.data.locations import data_root, domain_root
from udbench.doctor.check import Check
from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import Domain
from udbench.plugin.registry import Registry


def images(registry: Registry, data: Path | None) -> Iterator[Check]:
    """Report the domains with images; none at all is an error."""
    try:
        root = data_root(data)
    except UdbenchError:
        return
    domains: list[Domain] = [item.value for item in registry.items("domains")]
    here: list[str] = []
    for domain in domains:
        try:
            if domain_root(domain, root) is not None:
                here.append(domain.spec.name)
        except UdbenchError as error:
            yield Check(topic="images", name=domain.spec.name, detail=str(error), state="warning")
    yield Check(
        topic="images",
        name="domains",
        detail=f"{len(here)} of {len(domains)} have images on this machine: {', '.join(here) or 'none'}",
        state="ok" if here or not domains else "error",
        fix="" if here else "udbench data status explains how to get them",
    )
