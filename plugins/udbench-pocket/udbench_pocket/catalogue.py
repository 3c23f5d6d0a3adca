"""The ten domains: their specifications and drawing functions."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from udbench import Domain, DomainSpec, Source
from udbench_pocket.spec import GeneratedSpec

HOME = "https://github.com/udbench/udbench"


def _numbered(word: str, number: int) -> tuple[str, ...]:
    return tuple(f"{word}{i:0{len(str(number - 1))}d}" for i in range(number))


WORDS = ("BIRD", "CAT", "DOG", "FISH", "LEAF", "MOON", "RAIN", "ROSE", "STAR", "SUN", "TREE", "WIND")
SIGNS = tuple(
    f"{shape}-{colour}"
    for shape in ("circle", "triangle", "diamond", "octagon", "square")
    for colour in ("red", "blue", "yellow", "green")
)
TEXTURES = (
    "blotches", "bricks", "checks", "columns", "crosses", "diagonals", "dots", "grain", "grid", "rings", "rows",
    "waves",
)  # fmt: skip
SKETCHES = (
    "boat", "bottle", "car", "cat", "chair", "cup", "fish", "flower", "house", "key", "ladder", "star", "sun", "tree",
    "umbrella",
)  # fmt: skip
OBJECTS = ("ball", "box", "crescent", "cross", "diamond", "ring", "star", "triangle")

GENERATED = (
    GeneratedSpec(
        name="glyphs",
        content="characters of an invented script, dark on light",
        classes=_numbered("glyph", 100),
        train=16,
        test=4,
        channels=1,
        flip=False,
        draw="marks:glyph",
    ),
    GeneratedSpec(
        name="signs",
        content="coloured signs in changing light and size",
        classes=SIGNS,
        train=60,
        test=25,
        channels=3,
        flip=False,
        draw="marks:sign",
    ),
    GeneratedSpec(
        name="words",
        content="short words on noisy ground",
        classes=WORDS,
        train=100,
        test=40,
        channels=1,
        flip=False,
        draw="marks:word",
    ),
    GeneratedSpec(
        name="faces",
        content="drawn faces of ten people, with changing expression and light",
        classes=_numbered("person", 10),
        train=120,
        test=50,
        channels=1,
        flip=True,
        draw="figures:face",
    ),
    GeneratedSpec(
        name="textures",
        content="coloured patterns",
        classes=TEXTURES,
        train=100,
        test=40,
        channels=3,
        flip=True,
        draw="surfaces:texture",
    ),
    GeneratedSpec(
        name="walkers",
        content="faint figures in clutter, or clutter alone",
        classes=("clutter", "walker"),
        train=600,
        test=250,
        channels=1,
        flip=True,
        draw="figures:walker",
    ),
    GeneratedSpec(
        name="drawings",
        content="wobbly line drawings of everyday things",
        classes=SKETCHES,
        train=80,
        test=32,
        channels=1,
        flip=True,
        draw="sketches:sketch",
        version="2",
    ),
    GeneratedSpec(
        name="silhouettes",
        content="light outlines of lobed shapes on dark",
        classes=_numbered("shape", 25),
        train=48,
        test=20,
        channels=1,
        flip=True,
        draw="figures:silhouette",
    ),
    GeneratedSpec(
        name="scenes",
        content="coloured objects anywhere on a coloured ground",
        classes=OBJECTS,
        train=150,
        test=60,
        channels=3,
        flip=True,
        draw="surfaces:scene",
    ),
)


def domains() -> list[Domain]:
    """The ten domains, in the suite's order."""
    return [_handwriting(), *(_domain(generated) for generated in GENERATED)]


def _domain(generated: GeneratedSpec) -> Domain:
    spec = DomainSpec(
        name=generated.name,
        num_classes=len(generated.classes),
        num_train=generated.train * len(generated.classes),
        num_test=generated.test * len(generated.classes),
        channels=generated.channels,
        flip=generated.flip,
        content=generated.content,
        licence="Apache-2.0 (generated)",
        homepage=HOME,
        citation="udbench, suite pocket",
        version=generated.version,
    )
    return Domain(spec=spec, open=partial(_open, generated), embedded=True)


def _open(generated: GeneratedSpec, root: Path) -> Source:
    from udbench_pocket.source import Drawn

    return Drawn(generated)


def _handwriting() -> Domain:
    spec = DomainSpec(
        name="handwriting",
        num_classes=10,
        num_train=1297,
        num_test=500,
        channels=1,
        flip=False,
        content="real handwritten digits of 8x8 pixels, light on dark",
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        citation="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998; as shipped with scikit-learn",
        version="2",
    )
    return Domain(spec=spec, open=_open_handwriting, embedded=True)


def _open_handwriting(root: Path) -> Source:
    from udbench_pocket.source import Handwriting

    return Handwriting()
