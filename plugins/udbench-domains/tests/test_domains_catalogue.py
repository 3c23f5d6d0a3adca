"""What the plugin brings."""

from __future__ import annotations

import subprocess
import sys

import pytest

import udbench_domains
from udbench import Domain, Recipe, Suite
from udbench.config import RecipeSettings
from udbench.data.form import form_of, view_of
from udbench_domains.readers.common import class_list
from udbench_domains.visual_decathlon import DECATHLON

TEN = ("awa", "caltech256", "cifar10", "daimler", "gtsrb", "mnist", "omniglot", "plankton", "sketches", "svhn")


TRIO = ("imagenet", "vggface", "synth90k")


def test_the_suites_are_the_papers_ten_in_its_order_and_the_large_ones():
    suites = list(udbench_domains.udbench_suites())
    assert all(isinstance(suite, Suite) for suite in suites)
    assert [(suite.name, suite.domains, suite.recipe) for suite in suites] == [
        ("universal-ten", TEN, "paper-small"),
        ("large-duo", TRIO[:2], "paper-large"),
        ("large-trio", TRIO, "paper-large"),
        ("visual-decathlon", tuple(domain.spec.name for domain in DECATHLON), "visual-decathlon"),
    ]
    names = [domain.spec.name for domain in udbench_domains.udbench_domains()]
    assert {*TEN, *TRIO} <= set(names)
    assert len(names) == len(set(names))


def test_the_recipe_says_what_the_paper_says():
    recipe, *_ = udbench_domains.udbench_recipes()
    assert isinstance(recipe, Recipe)
    assert recipe.name == "paper-small"
    s = recipe.settings
    assert (s["rounds"], s["batch_size"], s["image_size"], s["pad"]) == (25_000, 128, 64, 8)
    assert (s["lr"], s["warmup_lr"], s["momentum"], s["weight_decay"]) == (0.1, 0.01, 0.9, 0.0001)
    assert s["lr"] * s["gamma"] ** len(s["milestones"]) == pytest.approx(0.0001)


def test_the_large_domains_have_windows_of_the_papers_sizes_and_words_are_never_mirrored():
    _, recipe, _ = udbench_domains.udbench_recipes()
    settings = RecipeSettings.model_validate(recipe.settings)
    assert [settings.size_of(name) for name in TRIO] == [(224, 224), (112, 56), (32, 128)]
    assert [view_of(settings, name).resize for name in TRIO] == [256, 128, 32]
    assert [view_of(settings, name).side for name in TRIO] == ["short", "height", "height"]
    assert all(form_of(settings, name).sharded for name in TRIO)
    assert [settings.flip_of(name, True) for name in TRIO] == [True, True, False]
    assert settings.head_of("synth90k") == {"pool5": False} and not settings.head_of("vggface")


@pytest.mark.parametrize(
    ("name", "classes", "images", "channels", "flip"),
    [
        ("awa", 50, 30_475, 3, True),
        ("caltech256", 257, 30_607, 3, True),
        ("cifar10", 10, 60_000, 3, True),
        ("daimler", 2, 49_000, 1, True),
        ("gtsrb", 43, 51_839, 3, True),
        ("mnist", 10, 70_000, 1, False),
        ("omniglot", 1_623, 32_460, 1, False),
        ("plankton", 121, 30_336, 1, True),
        ("sketches", 250, 20_000, 1, True),
        ("svhn", 10, 99_289, 3, False),
        ("caltech101", 102, 9_144, 3, True),
        ("imagenet", 1_000, 1_331_167, 3, True),
        ("vggface", 2_622, 2_600_000, 3, True),
        ("synth90k", 88_172, 8_116_539, 3, False),
    ],
)
def test_the_facts(name, classes, images, channels, flip):
    domain = {d.spec.name: d for d in udbench_domains.udbench_domains()}[name]
    assert isinstance(domain, Domain)
    spec = domain.spec
    assert (spec.num_classes, spec.num_train + spec.num_test, spec.channels, spec.flip) == (
        classes,
        images,
        channels,
        flip,
    )
    assert name in domain.instructions, "it says where the files go"
    for text in (spec.content, spec.licence, spec.homepage, spec.citation, domain.instructions):
        assert text.strip()


@pytest.mark.parametrize(
    ("name", "count"),
    [("awa", 50), ("caltech101", 102), ("caltech256", 257), ("omniglot", 1623), ("plankton", 121), ("sketches", 250)],
)
def test_class_lists_are_whole_and_sorted(name, count):
    names = class_list(name)
    assert len(set(names)) == len(names) == count
    assert list(names) == sorted(names)
    assert all(n == n.strip() and n for n in names)


def test_listing_the_domains_imports_nothing_heavy():
    code = (
        "import sys, udbench_domains as p\n["
        "list(f()) for f in (p.udbench_domains, p.udbench_suites, p.udbench_recipes)]\n"
        "print([m for m in ('numpy', 'PIL', 'torch', 'torchvision', 'timm', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
