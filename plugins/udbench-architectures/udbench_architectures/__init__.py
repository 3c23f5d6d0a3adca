"""The paper's residual networks for udbench."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from udbench import Architecture, Input, Network, hookimpl

CITATION = (
    "K. He, X. Zhang, S. Ren, J. Sun: Identity Mappings in Deep Residual Networks, ECCV 2016; as used in "
    "H. Bilen, A. Vedaldi: Universal representations: The missing link between faces, text, planktons, and cat "
    "breeds, 2017"
)

WIDTHS = {
    "resnet38": (16, 32, 128, 256),
    "resnet38-x2": (64, 128, 256, 512),
    "resnet38-x4": (128, 256, 512, 1024),
    "resnet38-32": (32, 64, 128, 256),
}

SUMMARIES = {
    "resnet38": "the paper's pre-activation network, widths as printed: 16, 32, 128, 256",
    "resnet38-x2": "twice as wide: 64, 128, 256, 512",
    "resnet38-x4": "four times as wide: 128, 256, 512, 1024",
    "resnet38-32": "the reading of the paper that fits its parameter counts: 32, 64, 128, 256",
}


@hookimpl
def udbench_architectures() -> list[Architecture]:
    return [
        Architecture(
            name=name,
            build=partial(_resnet38, widths),
            settings=_settings(),
            summary=SUMMARIES[name],
            citation=CITATION,
        )
        for name, widths in WIDTHS.items()
    ]


def _resnet38(widths: tuple[int, ...], inputs: Mapping[str, Input], settings: object) -> Network:
    from udbench_architectures.resnet38 import build

    return build(widths, inputs, settings)


def _settings() -> type:
    from udbench_architectures.settings import ResNetSettings

    return ResNetSettings
