"""Ten small visual domains that need no download: the default suite of udbench."""

from __future__ import annotations

from udbench import Domain, Recipe, Study, Suite, hookimpl
from udbench_pocket.catalogue import domains


@hookimpl
def udbench_domains() -> list[Domain]:
    return domains()


@hookimpl
def udbench_suites() -> list[Suite]:
    return [
        Suite(
            name="pocket",
            domains=tuple(domain.spec.name for domain in domains()),
            recipe="pocket",
            summary="ten embedded domains, no download. The paper's ten: --suite universal-ten "
            "(udbench data status universal-ten)",
        )
    ]


@hookimpl
def udbench_recipes() -> list[Recipe]:
    return [
        Recipe(
            name="pocket",
            summary="the pocket suite in under three minutes on two CPU cores",
            settings={
                "rounds": 220,
                "batch_size": 8,
                "image_size": 24,
                "pad": 1,
                "optimizer": "adamw",
                "lr": 0.0015,
                "weight_decay": 0.01,
                "schedule": "cosine",
                "final_lr": 0.00002,
                "warmup_lr": 0.0005,
                "warmup_rounds": 10,
            },
        )
    ]


@hookimpl
def udbench_studies() -> list[Study]:
    return [
        Study(
            name="pocket-all",
            summary="every normalisation of the paper, and what can be shared, on the pocket suite; 27 runs",
            grid={
                "title": "Pocket: normalisations, and what is shared",
                "suite": "pocket",
                "arch": "resnet38",
                "seeds": 3,
                "row": [
                    {
                        "adapter": [
                            "universal-bn",
                            "bn-plus",
                            "domain-moments",
                            "domain-bn",
                            "universal-in",
                            "domain-in",
                        ]
                    },
                    {
                        "label": "domain-bn, sharing",
                        "adapter": "domain-bn",
                        "sharing": ["none", "partial:1-3", "partial:2-4"],
                    },
                ],
            },
        )
    ]
