from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import udbench_pocket
from udbench import Domain, Source
from udbench.plugin.loader import load
from udbench_pocket.catalogue import domains

DOMAINS = {domain.spec.name: domain for domain in domains()}
GOLDEN = Path(__file__).with_name("golden.json")
HERE = Path("anywhere")
THIS = Path(__file__)

# Every 47th drawn image, some of each class that has many, with sines, cosines and lengths a bit further up or down.
NUDGED = """
import runpy, sys
import numpy as np
path, towards = sys.argv[1], float(sys.argv[2])
if towards:
    for name in ("sin", "cos", "hypot"):
        setattr(np, name, lambda *args, real=getattr(np, name): np.nextafter(real(*args), towards))
test = runpy.run_path(path)
for name in sorted(set(test["DOMAINS"]) - {"handwriting"}):
    source = test["opened"](name)
    for i in range(0, len(source.index.name), 47):
        print(name, i, test["hashlib"].sha256(np.asarray(source.read(i)).tobytes()).hexdigest()[:16])
"""


def opened(name: str) -> Source:
    return DOMAINS[name].open(HERE)


def digest(name: str) -> str:
    """All images' shapes and bytes, and the index."""
    source, total = opened(name), hashlib.sha256()
    index = source.index
    for i in range(len(index.name)):
        image = np.asarray(source.read(i))
        total.update(f"{index.name[i]} {index.label[i]} {index.split[i]} {image.shape}".encode() + image.tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("name", DOMAINS)
def test_every_image_is_the_same_on_every_machine(name: str) -> None:
    assert digest(name) == json.loads(GOLDEN.read_text())[name], (
        "images changed; if they were meant to, raise the domain's version and record them anew: "
        "python plugins/udbench-pocket/tests/test_pocket.py"
    )


@pytest.mark.parametrize("name", DOMAINS)
def test_an_image_does_not_depend_on_those_read_before_it(name: str) -> None:
    source = opened(name)
    backwards = [np.array(source.read(i)) for i in reversed(range(0, len(source.index.name), 97))]
    fresh = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 20_000
    for i, image in zip(reversed(range(0, len(source.index.name), 97)), backwards, strict=True):
        assert (np.asarray(fresh.read(i)) == image).all()


def test_no_image_hangs_on_the_last_bit_of_a_sine() -> None:
    """Machines' sines differ by a last bit. Run apart, as the shapes drawn are computed when modules load."""
    plain, up, down = (
        subprocess.run([sys.executable, "-c", NUDGED, str(THIS), towards], capture_output=True, text=True, check=True)
        for towards in ("0", "inf", "-inf")
    )
    assert len(plain.stdout) > 1000
    assert plain.stdout == up.stdout == down.stdout


def test_no_test_image_is_also_a_training_image() -> None:
    for name in DOMAINS:
        source = opened(name)
        index = source.index
        assert index.split is not None
        seen = {"train": set[bytes](), "test": set[bytes]()}
        for i in range(0, len(index.name), 3):
            seen[str(index.split[i])].add(np.asarray(source.read(i)).tobytes())
        assert not seen["train"] & seen["test"], name


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_each_domain_is_what_its_facts_say(domain: Domain) -> None:
    spec, source = domain.spec, domain.open(HERE)
    index = source.index
    assert domain.embedded and spec.licence and spec.citation
    assert len(set(index.name.tolist())) == len(index.name)
    assert len(source.class_names) == spec.num_classes
    assert index.split is not None
    for split, number in (("train", spec.num_train), ("test", spec.num_test)):
        labels = index.label[index.split == split]
        assert len(labels) == number
        assert set(labels.tolist()) == set(range(spec.num_classes))
    image = np.asarray(source.read(0))
    assert image.dtype == np.uint8 and image.ndim == (2 if spec.channels == 1 else 3)


def test_the_ten_differ_as_widely_as_the_papers_do() -> None:
    assert len(DOMAINS) == 10
    classes = {domain.spec.num_classes for domain in DOMAINS.values()}
    assert min(classes) == 2 and max(classes) >= 100
    samples = {name: [np.asarray(opened(name).read(i)) for i in range(0, 1200, 60)] for name in DOMAINS}
    sides = {side for images in samples.values() for image in images for side in image.shape[:2]}
    assert min(sides) == 8 and max(sides) == 96
    means = {name: np.mean([image.mean() for image in images]) for name, images in samples.items()}
    spreads = {name: np.mean([image.std() for image in images]) for name, images in samples.items()}
    assert min(means.values()) < 80 and max(means.values()) > 200, "light on dark and dark on light"
    assert min(spreads.values()) < 25 and max(spreads.values()) > 70, "faint and strong"
    assert {domain.spec.channels for domain in DOMAINS.values()} == {1, 3}
    assert {domain.spec.flip for domain in DOMAINS.values()} == {True, False}


def test_none_is_named_after_a_real_set() -> None:
    real = {"awa", "caltech", "cifar", "daimler", "gtsrb", "mnist", "omniglot", "plankton", "sketches", "svhn"}
    assert not [name for name in DOMAINS if any(name.startswith(word) for word in real)]


def test_the_suite_names_them_in_order_and_its_recipe() -> None:
    (suite,) = udbench_pocket.udbench_suites()
    assert suite.name == "pocket" and suite.domains == tuple(DOMAINS)
    assert suite.recipe in [recipe.name for recipe in udbench_pocket.udbench_recipes()]


def test_the_frozen_study_is_on_the_domains_that_its_trunk_has_not_seen() -> None:
    (study,) = [study for study in udbench_pocket.udbench_studies() if study.name == "pocket-frozen"]
    assert sorted((*udbench_pocket.FIRST, *udbench_pocket.SECOND)) == sorted(DOMAINS)
    assert tuple(study.grid["domains"]) == udbench_pocket.SECOND


def test_its_studies_name_every_adapter_that_serves_convolutions_with_norms() -> None:
    others = {"domain-scale", "lora", "domain-ln"}
    assert set(udbench_pocket.ADAPTERS) == set(load().names("adapters")) - others


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'PIL', 'sklearn', 'scipy', 'torch'}"
    code = f"import udbench_pocket, sys; udbench_pocket.udbench_domains(); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: digest(name) for name in DOMAINS}, indent=1) + "\n")
