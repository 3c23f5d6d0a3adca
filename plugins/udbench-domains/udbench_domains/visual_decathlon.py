"""The official Visual Decathlon of Rebuffi, Bilen and Vedaldi 2017: its ten domains, suite and recipe.

They are other images than those of the domains that are called alike: at least 72 pixels on the shorter side and no
more, and divided otherwise. So each has a name of its own, `vd-` before the makers'. All ten lie in one folder.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

from udbench import DataError, Domain, DomainSpec, Recipe, Source, Suite

FOLDER = "visual-decathlon"
PREFIX = "vd-"
HOMEPAGE = "https://www.robots.ox.ac.uk/~vgg/decathlon/"
MAKERS = "Rebuffi, Bilen, Vedaldi. Learning multiple visual domains with residual adapters. NeurIPS 2017"

# The makers' names, in the order of their table, with classes; images of train, val and test; whether a mirrored image
# keeps its class; what they show; and whose they are.
_FACTS: dict[str, tuple[int, tuple[int, int, int], bool, str, str]] = {
    "imagenet12": (
        1_000,
        (1_232_167, 49_000, 48_238),
        True,
        "photographs of a thousand kinds of things, of ILSVRC 2012",
        "Russakovsky et al. ImageNet large scale visual recognition challenge. International Journal of Computer "
        "Vision 115(3), 2015",
    ),
    "aircraft": (
        100,
        (3_334, 3_333, 3_333),
        True,
        "photographs of a hundred variants of aeroplanes (FGVC-Aircraft)",
        "Maji, Rahtu, Kannala, Blaschko, Vedaldi. Fine-grained visual classification of aircraft. arXiv:1306.5151, "
        "2013",
    ),
    "cifar100": (
        100,
        (40_000, 10_000, 10_000),
        True,
        "photographs of a hundred kinds of things, enlarged from 32x32 pixels",
        "Krizhevsky. Learning multiple layers of features from tiny images. Technical report, University of Toronto, "
        "2009",
    ),
    "daimlerpedcls": (
        2,
        (23_520, 5_880, 19_600),
        True,
        "grey crops from a car's camera, with and without a pedestrian, enlarged from 18x36 pixels",
        "Munder, Gavrila. An experimental study on pedestrian classification. IEEE Transactions on Pattern Analysis "
        "and Machine Intelligence 28(11), 2006",
    ),
    "dtd": (
        47,
        (1_880, 1_880, 1_880),
        True,
        "photographs of textures, by the word that describes them",
        "Cimpoi, Maji, Kokkinos, Mohamed, Vedaldi. Describing textures in the wild. CVPR 2014",
    ),
    "gtsrb": (
        43,
        (31_367, 7_842, 12_630),
        False,
        "photographs of German traffic signs",
        "Stallkamp, Schlipsing, Salmen, Igel. Man vs. computer: benchmarking machine learning algorithms for traffic "
        "sign recognition. Neural Networks 32, 2012",
    ),
    "vgg-flowers": (
        102,
        (1_020, 1_020, 6_149),
        True,
        "photographs of 102 kinds of flowers",
        "Nilsback, Zisserman. Automated flower classification over a large number of classes. Indian Conference on "
        "Computer Vision, Graphics and Image Processing, 2008",
    ),
    "omniglot": (
        1_623,
        (17_853, 6_492, 8_115),
        False,
        "handwritten characters of fifty alphabets",
        "Lake, Salakhutdinov, Tenenbaum. Human-level concept learning through probabilistic program induction. Science "
        "350(6266), 2015",
    ),
    "svhn": (
        10,
        (47_217, 26_040, 26_032),
        False,
        "house numbers, labelled by the digit in the middle, enlarged from 32x32 pixels",
        "Netzer, Wang, Coates, Bissacco, Wu, Ng. Reading digits in natural images with unsupervised feature learning. "
        "NIPS workshop on deep learning and unsupervised feature learning, 2011",
    ),
    "ucf101": (
        101,
        (7_585, 1_952, 3_783),
        True,
        "videos of 101 actions, each drawn into one dynamic image",
        "Soomro, Zamir, Shah. UCF101: a dataset of 101 human action classes from videos in the wild. CRCV-TR-12-01, "
        "2012; Bilen, Fernando, Gavves, Vedaldi, Gould. Dynamic image networks for action recognition. CVPR 2016",
    ),
}

CLASSES = {name: facts[0] for name, facts in _FACTS.items()}


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


def _holds(name: str, root: Path) -> bool:
    from udbench_domains.readers.decathlon import holds

    return holds(name, Path(root))


def _example(name: str, root: Path) -> None:
    """As the readers, the writer is loaded when it is called."""
    importlib.import_module("udbench_domains.trees.decathlon").decathlon(Path(root), [name])


def _obtain(name: str) -> str:
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
    classes, (train, val, test), flip, content, citation = _FACTS[name]
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
        instructions=_obtain(name),
        example=partial(_example, name),
        folder=FOLDER,
        is_present=partial(_holds, name),
    )


DECATHLON = tuple(_domain(name) for name in _FACTS)

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
