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


SETTINGS = {
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
}
ADAPTERS = [
    "universal-bn", "bn-plus", "domain-moments", "domain-bn", "universal-in", "domain-in",
    "feature", "bn-only", "bitfit", "finetune", "series", "parallel", "tsa", "piggyback", "affine-mask", "taps",
    "lora-conv", "ssf", "task-routing",
]  # fmt: skip
FIRST = ("handwriting", "signs", "textures", "drawings", "scenes")
SECOND = ("glyphs", "words", "faces", "walkers", "silhouettes")


@hookimpl
def udbench_recipes() -> list[Recipe]:
    return [
        Recipe(
            name="pocket",
            summary="the pocket suite in under three minutes on two CPU cores",
            settings=SETTINGS,
        ),
        Recipe(
            name="pocket-short",
            summary="as pocket, in about a minute: to hold many methods side by side",
            settings={**SETTINGS, "rounds": 60, "warmup_rounds": 4},
        ),
        Recipe(
            name="pocket-frozen",
            summary="as pocket-short, by what each domain owns alone, on the trunk of a trained network (--from RUN)",
            settings={"rounds": 60, "warmup_rounds": 4, "train": "private"},
            requires_checkpoint=True,
        ),
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
        ),
        Study(
            name="pocket-adapters",
            summary="every adapter on the pocket suite, all domains jointly, about a minute a run; 3 seeds",
            grid={
                "title": "Pocket: adapters, all domains jointly",
                "note": "A short recipe: what is best here need not be best with more rounds.",
                "suite": "pocket",
                "arch": "resnet38",
                "recipe": "pocket-short",
                "seeds": 3,
                "adapter": ADAPTERS,
            },
        ),
        Study(
            name="pocket-frozen",
            summary="every adapter on five domains of pocket, on the frozen trunk of a run on the others (--from RUN)",
            grid={
                "title": "Pocket: adapters on a frozen trunk",
                "note": "--from names a run on " + ", ".join(FIRST) + ", with the recipe pocket.",
                "suite": "pocket",
                "domains": list(SECOND),
                "arch": "resnet38",
                "recipe": "pocket-frozen",
                "adapter": ADAPTERS,
            },
        ),
    ]
