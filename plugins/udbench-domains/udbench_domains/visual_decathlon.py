"""The official Visual Decathlon of Rebuffi, Bilen and Vedaldi 2017: its ten domains, suite and recipe.

The images differ from those of the domains with similar names: the shorter side has at most 72 pixels, and the splits
are others. So each domain has a separate name, `vd-` before the makers'. All ten are in one folder.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

from udbench import DataError, Domain, DomainSpec, Recipe, Source, Suite
from udbench_domains.visual_decathlon_facts import FACTS

FOLDER = "visual-decathlon"
PREFIX = "vd-"
HOMEPAGE = "https://www.robots.ox.ac.uk/~vgg/decathlon/"
MAKERS = "Rebuffi, Bilen, Vedaldi. Learning multiple visual domains with residual adapters. NeurIPS 2017"


def name_of(domain: str) -> str:
    """What the makers call one of these domains."""
    return domain.removeprefix(PREFIX)


def _open(name: str, root: Path) -> Source:
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{PREFIX}{name}: there is no folder {root} (how to get the images: udbench show {PREFIX}{name})"
        )
    from udbench_domains.readers.decathlon import open_domain

    return open_domain(name, PREFIX + name, root)


def _is_present(name: str, root: Path) -> bool:
    from udbench_domains.readers.decathlon import is_present

    return is_present(name, Path(root))


def _example(name: str, root: Path) -> None:
    """As the readers, the writer is loaded when it is called."""
    importlib.import_module("udbench_domains.trees.decathlon").decathlon(Path(root), [name])


def _instructions(name: str) -> str:
    archive, where = "decathlon-1.0-data.tar.gz", "the homepage"
    if name == "imagenet12":
        archive, where = "decathlon-1.0-data-imagenet.tar", "image-net.org (an account is needed)"
    return (
        f"Get {archive} from {where} and decathlon-1.0-devkit.tar.gz from the homepage, and put both into {FOLDER}/ as "
        f"they are, or unpacked: {FOLDER}/data/{name}/… (or {name}.tar), {FOLDER}/annotations/{name}_train.json and so "
        f"on. With the labels of the test images, {FOLDER}/annotations/{name}_test.json (from labels_test.zip in the "
        "makers' repository srebuffi/residual_adapters), these are scored and the validation images trained on too; "
        "without them the validation images are scored."
    )


def _domain(name: str) -> Domain:
    classes, (train, val, test), flip, content, citation = FACTS[name]
    return Domain(
        spec=DomainSpec(
            name=PREFIX + name,
            num_classes=classes,
            num_train=train + val,
            num_test=test,
            channels=3,
            flip=flip,
            content=f"{content}; as the Visual Decathlon has them, 72 pixels on the shorter side",
            licence="that of the original set; research and education",
            homepage=HOMEPAGE,
            citation=f"{citation}. As divided and resized by: {MAKERS}",
        ),
        open=partial(_open, name),
        instructions=_instructions(name),
        example=partial(_example, name),
        folder=FOLDER,
        is_present=partial(_is_present, name),
    )


DECATHLON = tuple(_domain(name) for name in FACTS)

SUITE = Suite(
    name="visual-decathlon",
    domains=tuple(domain.spec.name for domain in DECATHLON),
    recipe="visual-decathlon",
    score="decathlon",
    summary="the official Visual Decathlon of Rebuffi, Bilen and Vedaldi 2017, in its order and with its score",
)

# Of what a domain owns: the fewer its images, the more. The step from 0.0001 to 0.0005 and 0.005 is ours.
_DECAYS = {
    0.0001: ("imagenet12",),
    0.0005: ("cifar100", "daimlerpedcls", "gtsrb", "omniglot", "svhn"),
    0.005: ("aircraft", "dtd", "vgg-flowers", "ucf101"),
}


def _settings() -> dict[str, Any]:
    return {
        # 120 epochs of cifar100's 50,000 images; the makers train for one domain at a time, each for 120 of its own
        "rounds": 46_875,
        "batch_size": 128,
        "image_size": 64,
        "storage": "files",
        "crop": "random",
        "resize": 72,
        "aspect_jitter": 0.0,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0001,
        "schedule": "steps",
        "milestones": [80 / 120, 100 / 120],
        "gamma": 0.1,
        "warmup_rounds": 0,
        "checkpoint_rounds": 1000,
        "domain": {PREFIX + name: {"weight_decay": decay} for decay, names in _DECAYS.items() for name in names},
    }


RECIPE = Recipe(
    name="visual-decathlon",
    settings=_settings(),
    summary="Rebuffi, Bilen and Vedaldi 2017 and 2018: 72 pixels, crops of 64, SGD 0.1, x0.1 at 80 and 100 of 120 "
    "epochs, more weight decay for domains of fewer images; 46,875 rounds of 128",
)
