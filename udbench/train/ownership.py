"""Whose a parameter is, asked of structure and never of a name."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn


class PerDomainModules(nn.ModuleDict):
    """Modules by domain: all that lies below a key is that domain's own."""


def owner_of(model: nn.Module) -> dict[str, str | None]:
    """The owner of every parameter of a model by its path: a domain, or None where it is shared."""
    private = {
        f"{path}.{domain}.{name}" if path else f"{domain}.{name}": domain
        for path, module in model.named_modules()
        if isinstance(module, PerDomainModules)
        for domain, part in module.items()
        for name, _ in part.named_parameters(remove_duplicate=False)
    }
    return {name: private.get(name) for name, _ in model.named_parameters()}


def owned_parameters(model: nn.Module, domain: str | None) -> list[Tensor]:
    """The parameters of one domain, or with None the shared ones."""
    whose = owner_of(model)
    return [parameter for name, parameter in model.named_parameters() if whose[name] == domain]


def owned_names(model: nn.Module, domain: str) -> set[str]:
    """The names in a model's state of all that one domain owns, moments included."""
    return {
        f"{path}.{domain}.{name}" if path else f"{domain}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, PerDomainModules) and domain in module
        for name in module[domain].state_dict()
    }


def shared_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules with their paths, leaving out all that is a domain's own."""
    seen: set[int] = set()

    def walk(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
        if isinstance(module, PerDomainModules) or id(module) in seen:
            return
        seen.add(id(module))
        yield path, module
        for name, child in module.named_children():
            yield from walk(child, f"{path}.{name}" if path else name)

    return walk(root, "")
