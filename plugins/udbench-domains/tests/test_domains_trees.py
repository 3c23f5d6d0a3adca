"""Every domain's example: read whole by its own reader, and prepared like the real images."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import udbench_domains
from udbench import Domain
from udbench.data.form import StoreFormat
from udbench.data.image import decode, to_pixels
from udbench.data.listing import list_images
from udbench.data.locations import domain_root
from udbench.data.prepare import prepare
from udbench.data.store import StoreRequest, verify_store
from udbench.testing import write_example
from udbench_domains.trees import TREES
from udbench_domains.trees.arrays import cifar10, mnist

DOMAINS = {domain.spec.name: domain for domain in udbench_domains.udbench_domains()}
WIRED = any(domain.example for domain in DOMAINS.values())


def example_of(name: str) -> Domain:
    """The domain with its example, also before the catalogue gives it."""
    domain = DOMAINS[name]
    return domain if WIRED else replace(domain, example=TREES.get(name))


EXAMPLES = [name for name in DOMAINS if example_of(name).example]


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_domain_has_an_example():
    assert set(TREES) <= set(EXAMPLES)
    if WIRED:
        assert [name for name, domain in DOMAINS.items() if domain.example is None] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_and_prepared_whole(name, tmp_path, monkeypatch):
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    domain, data = example_of(name), tmp_path / "data"
    root = write_example(domain, data)
    assert root == domain_root(domain, data)
    source = domain.open(root)
    listing = list_images(source, domain.spec, root)
    images = len(listing.rows)
    assert 4 <= listing.num_train <= images - 2
    for part in (listing.labels, listing.labels[: listing.num_train], listing.labels[listing.num_train :]):
        assert len(np.unique(part)) >= 2, "something to learn and to score"
    assert "images" in listing.missing(domain.spec), "nobody takes it for the whole domain"
    pixels = [to_pixels(source.read(i), domain.spec.channels, 16, 16) for i in range(images)]
    assert len({array.tobytes() for array in pixels}) == images, "an image's content tells which one it is"
    (store,) = prepare([StoreRequest(domain=domain, root=root, form=StoreFormat(height=16, width=16))], workers=1)
    assert (verify_store(store), store.damaged) == ([], [])
    assert (store.images == np.stack([pixels[row] for row in listing.rows])).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_small_and_always_the_same(name, tmp_path):
    one, two = (bytes_of(write_example(example_of(name), tmp_path / place)) for place in ("a", "b"))
    assert one == two
    assert len(one) < 200
    assert sum(path.stat().st_size for path in (tmp_path / "a").rglob("*")) < 2_000_000


@pytest.mark.parametrize("name", sorted(TREES))
def test_images_have_the_channels_of_their_domain(name, tmp_path):
    domain = DOMAINS[name]
    TREES[name](tmp_path)
    source = domain.open(tmp_path)
    for i in range(len(source.index.name)):
        assert decode(source.read(i), domain.spec.channels).mode == ("L" if domain.spec.channels == 1 else "RGB")


def test_torchvision_reads_the_idx_files_alike(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    ours = DOMAINS["mnist"].open(mnist(tmp_path / "MNIST", gz=False, place="raw"))
    theirs = datasets.MNIST(tmp_path, train=False)
    assert [(np.asarray(image).tobytes(), label) for image, label in theirs] == [
        (ours.read(12 + i).tobytes(), ours.index.label[12 + i]) for i in range(5)
    ]


def test_both_forms_of_the_batches_are_read_alike(tmp_path):
    one, two = (DOMAINS["cifar10"].open(cifar10(tmp_path / str(binary), binary=binary)) for binary in (False, True))
    assert one.index.name.tolist() == two.index.name.tolist()
    assert one.index.label.tolist() == two.index.label.tolist()
    assert all((one.read(i) == two.read(i)).all() for i in range(18))


def test_the_trees_import_nothing_heavy_until_one_is_written():
    code = (
        "import sys, udbench_domains.trees\n"
        "print([m for m in ('numpy', 'PIL', 'torch', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
