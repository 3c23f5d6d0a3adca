"""The paper's suite of ten domains, and how it trains them."""

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
)
