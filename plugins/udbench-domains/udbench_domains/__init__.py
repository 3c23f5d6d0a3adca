"""The paper's domains, suites and recipes for udbench, and those of the Visual Decathlon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from udbench import Domain, Recipe, Score, Study, Suite, hookimpl


@hookimpl
def udbench_domains() -> Iterable[Domain]:
    """The paper's ten domains and its three large ones, caltech101, and the ten of the Visual Decathlon."""
    from udbench_domains.catalogue import DOMAINS
    from udbench_domains.large import LARGE
    from udbench_domains.visual_decathlon import DECATHLON

    return (*DOMAINS, *LARGE, *DECATHLON)


@hookimpl
def udbench_suites() -> Iterable[Suite]:
    """`universal-ten`, `large-duo` and `large-trio`, and `visual-decathlon`."""
    from udbench_domains.suites import SUITES
    from udbench_domains.visual_decathlon import SUITE

    return (*SUITES, SUITE)


@hookimpl
def udbench_recipes() -> Iterable[Recipe]:
    """`paper-small` and `paper-large`, the paper's training, and `visual-decathlon`."""
    from udbench_domains.suites import RECIPES
    from udbench_domains.visual_decathlon import RECIPE

    return (*RECIPES, RECIPE)


@hookimpl
def udbench_studies() -> Iterable[Study]:
    """The paper's Tables 2 to 5."""
    import tomllib
    from importlib import resources

    files = sorted(resources.files("udbench_domains").joinpath("studies").iterdir(), key=lambda file: file.name)
    grids = {file.name.removesuffix(".toml"): tomllib.loads(file.read_text()) for file in files}
    return [
        Study(name=name, grid=grid, summary=f"{grid['title']} (Bilen and Vedaldi 2017)") for name, grid in grids.items()
    ]


@hookimpl
def udbench_published() -> Iterable[Path]:
    """The published tables of the paper and of the Visual Decathlon."""
    folder = Path(__file__).parent / "published"
    return [folder / "bilen2017.json", folder / "decathlon.json"]


@hookimpl
def udbench_scores() -> Iterable[Score]:
    """`decathlon`, the official score of the Visual Decathlon."""
    from udbench_domains.decathlon import SCORE

    return [SCORE]


@hookimpl
def udbench_commands() -> Mapping[str, tuple[str, str]]:
    """`udbench data make-words` and `udbench decathlon submit`."""
    words = "Draw images of words in the layout of Synth90k, for users who cannot download it."
    decathlon = "Write a run's predictions for the Visual Decathlon's test images in the format of its server."
    return {
        "data/make-words": ("udbench_domains.words.verb:make_words_verb", words),
        "decathlon": ("udbench_domains.submission.verb:app", decathlon),
    }
