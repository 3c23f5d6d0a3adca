"""The domains as the plugin brings them, and the real images where there are some."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from udbench import DataError, Source

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal, though the tests may run in the background


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of real images."""
    named = os.environ.get("UDBENCH_DATA")
    if not named:
        pytest.skip("set UDBENCH_DATA to a folder of real images")
    return Path(named)


@pytest.fixture
def opened():
    """open(name, root): a domain's Source, through the plugin's hook."""
    import udbench_domains

    domains = {domain.spec.name: domain for domain in udbench_domains.udbench_domains()}
    return lambda name, root: domains[name].open(root)


@pytest.fixture(scope="session")
def large():
    """How the large domains' tests look at a source: opened, table, value, digest, refused."""
    from udbench_domains.large import LARGE

    domains = {domain.spec.name: domain for domain in LARGE}
    look = partial(_opened, domains)
    return SimpleNamespace(opened=look, table=_table, value=_value, digest=_digest, refused=partial(_refused, domains))


def _opened(domains, name, root):
    source = domains[name].open(root)
    index = source.index
    assert isinstance(source, Source)
    assert (index.name.dtype.kind, index.label.dtype) == ("S", np.int64)
    assert index.split is None or index.split.dtype.kind == "S"
    assert index.group is None
    return source


def _table(source):
    """{name: (class, split, SHA-256 of the bytes)}, as another process reads them."""
    code = (
        "import hashlib, pickle, sys\n"
        "source = pickle.load(sys.stdin.buffer)\n"
        "print(*[hashlib.sha256(source.read(i)).hexdigest() for i in range(len(source.index.name))])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(source), capture_output=True, check=True)
    index = source.index
    labels = [source.class_names[label] for label in index.label]
    splits = [
        "" if index.split is None else split.decode() for split in (index.split if index.split is not None else labels)
    ]
    rows = zip(labels, splits, done.stdout.decode().split(), strict=True)
    return dict(zip([name.decode() for name in index.name.tolist()], rows, strict=True))


def _value(source, i):
    image = Image.open(io.BytesIO(source.read(i)))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image.getpixel((0, 0))[0]


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _refused(domains, name, root):
    with pytest.raises(DataError) as error:
        domains[name].open(root)
    text = str(error.value)
    assert text.startswith(f"{name}: ")
    assert "\n" not in text
    return text
