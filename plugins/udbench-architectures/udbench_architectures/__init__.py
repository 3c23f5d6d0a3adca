"""Architectures for udbench: the paper's ResNet-38, AlexNet and VGG-M-128, the decathlon's ResNet-26, and timm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from udbench import Architecture, Input, Network, UdbenchError, hookimpl

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

TOWERS = {
    "alexnet": (
        "five convolutions in two groups of filters, batch norm after each; private fc6 to fc8",
        "A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional neural networks, "
        "NIPS 2012",
    ),
    "vgg-m-128": (
        "five convolutions, batch norm after each; private fc6 to fc8, of which fc7 has 128 outputs",
        "K. Chatfield, K. Simonyan, A. Vedaldi, A. Zisserman: Return of the devil in the details, BMVC 2014",
    ),
}

DECATHLON = "S.-A. Rebuffi, H. Bilen, A. Vedaldi: Learning multiple visual domains with residual adapters, NIPS 2017"

TIMM = (
    "R. Wightman: PyTorch Image Models, 2019, doi:10.5281/zenodo.4414861; timm's documentation names each network's own"
)


@hookimpl
def udbench_architectures() -> list[Architecture]:
    return [
        *_residual(),
        *_towers(),
        Architecture(
            name="timm/*",
            build=_build_family,
            settings=_timm_settings(),
            summary="any classification network of timm: timm/resnet18, timm/vit_tiny_patch16_224",
            citation=TIMM,
            member=_timm_member,
            names=_timm_names,
            example="mobilenetv3_small_050",
        ),
    ]


def _residual() -> list[Architecture]:
    return [
        Architecture(
            name=name,
            build=partial(_resnet38, widths),
            settings=_settings(),
            summary=SUMMARIES[name],
            citation=CITATION,
        )
        for name, widths in WIDTHS.items()
    ] + [
        Architecture(
            name="resnet26",
            build=_resnet26,
            settings=_settings(),
            summary="the Visual Decathlon's network: twelve units in three stages of 64, 128 and 256 channels",
            citation=DECATHLON,
        )
    ]


def _towers() -> list[Architecture]:
    return [
        Architecture(
            name=f"{tower}{'-third' if third else ''}",
            build=partial(_tower, tower),
            settings=_tower_settings(third),
            head_settings=_tower_head_settings(),
            summary=summary + (", widths times 1/sqrt(3): a third of the convolutions' weights" if third else ""),
            citation=citation,
        )
        for tower, (summary, citation) in TOWERS.items()
        for third in (False, True)
    ]


def _resnet38(widths: tuple[int, ...], inputs: Mapping[str, Input], settings: object) -> Network:
    from udbench_architectures.resnet38 import build

    return build(widths, inputs, settings)


def _settings() -> type:
    from udbench_architectures.settings import ResNetSettings

    return ResNetSettings


def _tower(name: str, inputs: Mapping[str, Input], settings: object) -> Network:
    from udbench_architectures.towers import TOWERS, build

    return build(TOWERS[name], inputs, settings)


def _tower_settings(third: bool) -> type:
    from udbench_architectures.settings import ThirdTowerSettings, TowerSettings

    return ThirdTowerSettings if third else TowerSettings


def _tower_head_settings() -> type:
    from udbench_architectures.settings import TowerHeadSettings

    return TowerHeadSettings


def _resnet26(inputs: Mapping[str, Input], settings: object) -> Network:
    from udbench_architectures.resnet26 import build

    return build(inputs, settings)


def _build_family(inputs: Mapping[str, Input], settings: object) -> Network:
    raise UdbenchError("timm/* is a family of networks; name one of them, such as timm/resnet18")


def _timm_member(name: str) -> Architecture:
    from udbench_architectures.timm_networks import build, summary

    return Architecture(
        name=f"timm/{name}",
        build=partial(build, name),
        settings=_timm_settings(),
        summary=summary(name),
        citation=TIMM,
    )


def _timm_names() -> list[str]:
    from udbench_architectures.timm_networks import names

    return names()


def _timm_settings() -> type:
    from udbench_architectures.settings import TimmSettings

    return TimmSettings
