"""Which domain owns a parameter, determined by the module structure and never by names."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn


class PerDomainModules(nn.ModuleDict):
    """Modules by domain. Everything below a key belongs to that domain."""


def owner_of(model: nn.Module) -> dict[str, str | None]:
    """Map the path of every parameter of a model to the domain that owns it, or to None if it is shared."""
    private = {
        f"{path}.{domain}.{name}" if path else f"{domain}.{name}": domain
        for path, module in model.named_modules()
        if isinstance(module, PerDomainModules)
        for domain, part in module.items()
        for name, _ in part.named_parameters(remove_duplicate=False)
    }
    return {name: private.get(name) for name, _ in model.named_parameters()}


def owned_parameters(model: nn.Module, domain: str | None) -> list[Tensor]:
    """The parameters of one domain; with None, the shared ones."""
    owners = owner_of(model)
    return [parameter for name, parameter in model.named_parameters() if owners[name] == domain]


def owned_names(model: nn.Module, domain: str) -> set[str]:
    """The names in a model's state_dict of one domain's parameters and buffers, including running statistics."""
    return {
        f"{path}.{domain}.{name}" if path else f"{domain}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, PerDomainModules) and domain in module
        for name in module[domain].state_dict()
    }


def shared_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules with their paths, except those that belong to a domain."""
    seen: set[int] = set()

    def walk(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
        if isinstance(module, PerDomainModules) or id(module) in seen:
            return
        seen.add(id(module))
        yield path, module
        for name, child in module.named_children():
            yield from walk(child, f"{path}.{name}" if path else name)

    return walk(root, "")
