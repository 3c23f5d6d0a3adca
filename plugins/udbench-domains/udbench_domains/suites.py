"""The paper's suites, of ten small domains and of two and three large ones, and its recipes."""

from __future__ import annotations

from udbench import Recipe, Suite

SUITES = (
    Suite(
        name="universal-ten",
        domains=(
            "awa",
            "caltech256",
            "cifar10",
            "daimler",
            "gtsrb",
            "mnist",
            "omniglot",
            "plankton",
            "sketches",
            "svhn",
        ),
        recipe="paper-small",
        summary="the ten small domains of Bilen and Vedaldi 2017, in the paper's order",
    ),
    Suite(
        name="large-duo",
        domains=("imagenet", "vggface"),
        recipe="paper-large",
        summary="ImageNet and VGG-Face, as Bilen and Vedaldi 2017 train AlexNet on both (--arch alexnet)",
    ),
    Suite(
        name="large-trio",
        domains=("imagenet", "vggface", "synth90k"),
        recipe="paper-large",
        summary="ImageNet, VGG-Face and Synth90k, as Bilen and Vedaldi 2017 train VGG-M-128 on all three "
        "(--arch vgg-m-128)",
    ),
)

RECIPES = (
    Recipe(
        name="paper-small",
        settings={
            "rounds": 25000,
            "batch_size": 128,
            "image_size": 64,
            "pad": 8,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0001,
            "warmup_lr": 0.01,
            "milestones": [0.5, 0.75, 0.9],
            "gamma": 0.1,
        },
        summary="Bilen and Vedaldi 2017 on ten domains at 64x64: SGD, 25,000 rounds of 128",
    ),
    Recipe(
        name="paper-large",
        settings={
            "rounds": 100000,
            "batch_size": 256,
            "image_size": 224,
            "storage": "jpeg",
            "crop": "random",
            "resize": 256,
            "aspect_jitter": 0.1,
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0005,
            "warmup_lr": 0.01,
            "milestones": [0.4, 0.7, 0.9],
            "gamma": 0.1,
            "eval_batch_size": 256,
            "checkpoint_rounds": 1000,
            "domain": {
                "vggface": {"image_size": [112, 56], "resize": 128, "resize_side": "height"},
                "synth90k": {
                    "image_size": [32, 128],
                    "resize": 32,
                    "resize_side": "height",
                    "storage": "files",
                    "flip": False,
                    "head": {"pool5": False},
                },
            },
        },
        summary="Bilen and Vedaldi 2017 on the large domains, with the usual training of AlexNet and VGG-M with batch "
        "norms where they leave it open: SGD, 100,000 rounds of 256",
    ),
)
