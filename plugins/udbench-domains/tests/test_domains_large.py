"""The facts and examples of imagenet, vggface and synth90k."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from udbench_domains.large import LARGE
from udbench_domains.readers.common import class_list

DOMAINS = {domain.spec.name: domain for domain in LARGE}


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("imagenet", (1_000, 1_281_167, 50_000, 3, True)),
        ("vggface", (2_622, 2_080_000, 520_000, 3, True)),
        ("synth90k", (88_172, 7_224_612, 891_927, 3, False)),
    ],
)
def test_the_facts(name, facts):
    domain = DOMAINS[name]
    spec = domain.spec
    assert (spec.num_classes, spec.num_train, spec.num_test, spec.channels, spec.flip) == facts
    for text in (spec.content, spec.licence, spec.homepage, spec.citation, domain.instructions):
        assert text.strip()
    assert f"{name}/" in domain.instructions, "it says where the files go"


def test_listing_the_large_domains_imports_nothing_heavy():
    code = (
        "import sys, udbench_domains.large\n"
        "print([m for m in ('numpy', 'PIL', 'torch', 'timm', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", DOMAINS)
def test_an_example_has_what_a_run_needs(large, name, tmp_path):
    DOMAINS[name].example(tmp_path)
    source = large.opened(name, tmp_path)
    split, label = source.index.split, source.index.label
    if split is None:
        assert np.bincount(label).tolist() == [5, 5, 5], "a fifth of each class is scored"
    else:
        for part, least in ((b"train", 4), (b"test", 2)):
            assert (split == part).sum() >= least
            assert len(np.unique(label[split == part])) >= 2
    assert len({large.value(source, i) for i in range(len(label))}) == len(label)


@pytest.mark.parametrize("name", DOMAINS)
def test_an_empty_folder_is_told_what_was_looked_for(large, name, tmp_path):
    assert "the folder is empty" in large.refused(name, tmp_path)
    assert "there is no folder" in large.refused(name, tmp_path / "none")


def test_the_thousand_classes():
    names = class_list("imagenet")
    assert len(set(names)) == len(names) == 1000
    assert list(names) == sorted(names)
    assert all(len(name) == 9 and name[0] == "n" and name[1:].isdigit() for name in names)
    assert (names[0], names[-1]) == ("n01440764", "n15075141")
