"""Which adapter works on which kind of network: what the table in the docs says is what is found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import udbench_adapters
from udbench import Architecture, Input, Network, Stage, UdbenchError
from udbench.plugin.loader import load
from udbench.train.model import build_model

HERE = Path(__file__).parents[1]
PAGES = [HERE / "README.md", HERE.parents[1] / "docs" / "adapters.md"]
ADAPTERS = {adapter.name: adapter for adapter in udbench_adapters.udbench_adapters()}
BEGIN, END = "<!-- which adapter on which network -->", "<!-- to here -->"


def narrow(name: str, width: float) -> tuple[Architecture, Any]:
    arch = load().get(Architecture, name)
    assert arch.settings is not None
    return arch, arch.settings.model_validate({"width": width})


def of_timm(name: str, **options: Any) -> tuple[Architecture, Any]:
    def build(inputs: Mapping[str, Input], settings: object) -> Network:
        import timm

        net = Whole(timm.create_model(name, num_classes=0, **options))
        return Network(trunk=net, stages=(Stage(name="all", modules=("net",)),), head=head)

    return Architecture(name=name, build=build), None


class Whole(nn.Module):
    """A network that holds tensors of its own, as a part of another."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        return self.net(x)


def head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Linear(shape[0], given.num_classes)


# The columns of the table: a network of the kind, narrow or short, and the size of its images.
NETWORKS = {
    "convolutional (resnet38)": lambda: (*narrow("resnet38", 0.25), 16),
    "depthwise (MobileNetV3)": lambda: (*of_timm("mobilenetv3_small_050"), 64),
    "transformer (ViT)": lambda: (*of_timm("vit_tiny_patch16_224", img_size=32, depth=2), 32),
}


def tried(network: str) -> dict[str, str]:
    """What each adapter says to a network: nothing, or why it refuses it. A rehearsal in training is part of this."""
    arch, settings, size = NETWORKS[network]()
    given = {name: Input(height=size, width=size, channels=3, num_classes=3) for name in ("reds", "blues")}
    found: dict[str, str] = {}
    for name, adapter in ADAPTERS.items():
        own = adapter.settings() if adapter.settings else None
        try:
            build_model(arch, adapter, given, arch_settings=settings, adapter_settings=own)
        except UdbenchError as error:
            found[name] = str(error)
        else:
            found[name] = ""
    return found


def block(found: Mapping[str, Mapping[str, str]]) -> str:
    """The table and the reasons below it."""
    reasons: list[str] = []
    lines = [f"| adapter | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for name in ADAPTERS:
        cells = []
        for column in found.values():
            if column[name] and column[name] not in reasons:
                reasons.append(column[name])
            cells.append(f"no ({reasons.index(column[name]) + 1})" if column[name] else "yes")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    notes = [f"{i}. {reason}" for i, reason in enumerate(reasons, 1)]
    return "\n".join([BEGIN, "", *lines, "", *notes, "", END])


def written(page: Path) -> str:
    text = page.read_text()
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def column(text: str, network: str) -> dict[str, str]:
    """A column of a written table, each cell with its reason."""
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    at = rows[0].index(network)
    cells = {row[0].strip("`"): row[at] for row in rows[2:]}
    return {name: reasons[cell[4:-1]] if cell.startswith("no") else "" for name, cell in cells.items()}


@pytest.mark.parametrize("network", NETWORKS)
def test_each_adapter_works_on_each_kind_of_network_or_refuses_it_as_the_table_says(network: str) -> None:
    assert column(written(PAGES[0]), network) == tried(network)


def test_the_docs_hold_the_same_table() -> None:
    if not PAGES[1].exists():
        pytest.skip("the docs are in a clone of the repository only, and this is none")
    assert written(PAGES[1]) == written(PAGES[0])


def test_the_docs_have_a_section_for_each_adapter_with_its_source() -> None:
    if not PAGES[1].exists():
        pytest.skip("the docs are in a clone of the repository only, and this is none")
    text = PAGES[1].read_text()
    for name, adapter in ADAPTERS.items():
        assert f"`{name}`" in text
        first = adapter.citation.split(",")[0].split(": ")[0]
        assert first in text, f"{name}: {first}"
        for field in adapter.settings.model_fields if adapter.settings else ():
            assert f"`{field}`" in text, f"{name}: {field}"
