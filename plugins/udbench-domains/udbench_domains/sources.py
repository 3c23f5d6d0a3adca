"""Downloads of the domains: addresses, checksums and sizes.

Addresses and checksums of mnist, cifar10, svhn, omniglot and caltech256, and of gtsrb's test images, are those of
`torchvision.datasets` (0.29), in the files mnist.py, cifar.py, svhn.py, omniglot.py, caltech.py and gtsrb.py; a test
compares them with the installed torchvision. torchvision's training images of gtsrb are an earlier and smaller set:
ours are the makers' final ones, from the same archive.

plankton has no download: the Hub's project-oceania/planktonset1.0 is all of PlanktonSet 1.0 (60,736 images), while the
paper's 30,336 are the labelled part of the competition; one set is no substitute for the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from udbench import DataError, Download, fetch_file, unpack

# Far above the content of any of these archives; their checksums ensure that they are the right ones.
MAX_BYTES, MAX_MEMBERS = 8_000_000_000, 500_000

ByteProgress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file to download: `size` is its maximum size in bytes.

    `takes` are the paths to extract from an archive, to the same paths in the domain's folder. A file that is not an
    archive has none, and is stored as `name`.
    """

    name: str
    urls: tuple[str, ...]
    md5: str
    size: int
    takes: tuple[str, ...] = ()


_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
_SVHN = "http://ufldl.stanford.edu/housenumbers/"
_OMNIGLOT = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"


def _mnist(name: str, md5: str, size: int) -> File:
    return File(name=f"MNIST/raw/{name}", urls=tuple(mirror + name for mirror in _MNIST), md5=md5, size=size)


FILES: dict[str, tuple[File, ...]] = {
    "caltech256": (
        File(
            name="256_ObjectCategories.tar",
            urls=("https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",),
            md5="67b4f42ca05d46448c6bb8ecd2220f6d",
            size=1_250_000_000,  # rounded up, as its makers state none
            takes=("256_ObjectCategories",),
        ),
    ),
    "cifar10": (
        File(
            name="cifar-10-python.tar.gz",
            urls=("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            md5="c58f30108f718f92721af3b95e74349a",
            size=170_498_071,
            takes=("cifar-10-batches-py",),
        ),
    ),
    "gtsrb": (
        File(
            name="GTSRB_Final_Training_Images.zip",
            urls=(_GTSRB + "GTSRB_Final_Training_Images.zip",),
            md5="f33fd80ac59bff73c82d25ab499e03a3",
            size=276_294_756,
            takes=("GTSRB/Final_Training",),
        ),
        File(
            name="GTSRB_Final_Test_Images.zip",
            urls=(_GTSRB + "GTSRB_Final_Test_Images.zip",),
            md5="c7e4e6327067d32654124b0fe9e82185",
            size=88_978_620,
            takes=("GTSRB/Final_Test",),
        ),
        File(
            name="GTSRB_Final_Test_GT.zip",
            urls=(_GTSRB + "GTSRB_Final_Test_GT.zip",),
            md5="fe31e9c9270bbcd7b84b7f21a9d9d9e5",
            size=99_620,
            takes=("GT-final_test.csv",),
        ),
    ),
    "mnist": (
        _mnist("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
        _mnist("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
        _mnist("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
        _mnist("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
    ),
    # The sizes of these two are rounded up: their makers state none.
    "omniglot": (
        File(
            name="images_background.zip",
            urls=(_OMNIGLOT + "images_background.zip",),
            md5="68d2efa1b9178cc56df9314c21c6e718",
            size=12_000_000,
            takes=("images_background",),
        ),
        File(
            name="images_evaluation.zip",
            urls=(_OMNIGLOT + "images_evaluation.zip",),
            md5="6b91aef0f799c5bb55b94e3f2daec811",
            size=8_000_000,
            takes=("images_evaluation",),
        ),
    ),
    "svhn": (
        File(
            name="train_32x32.mat",
            urls=(_SVHN + "train_32x32.mat",),
            md5="e26dedcc434d2e4c54c9b2d4a06d8373",
            size=182_040_794,
        ),
        File(
            name="test_32x32.mat",
            urls=(_SVHN + "test_32x32.mat",),
            md5="eb5a983be6a315427106f1b164d9cef3",
            size=64_275_384,
        ),
    ),
}

_ORIGINS = {
    "caltech256": "data.caltech.edu",
    "cifar10": "www.cs.toronto.edu",
    "gtsrb": "sid.erda.dk",
    "mnist": "ossci-datasets.s3.amazonaws.com",
    "omniglot": "github.com/brendenlake/omniglot",
    "svhn": "ufldl.stanford.edu",
}


def fetch_files(files: Sequence[File], folder: Path, progress: ByteProgress) -> None:
    """Download files into a domain's folder and unpack the archives among them; existing files are skipped."""
    folder = Path(folder)
    total, before = sum(file.size for file in files), 0
    for file in files:
        if not file.takes or not all((folder / take).exists() for take in file.takes):
            path = folder / file.name
            fetch_file(
                file.urls,
                path,
                size=file.size,
                md5=file.md5,
                progress=lambda done, _, before=before: progress(before + done, total),
            )
            if file.takes:
                _unpack(file, path, folder)
        before += file.size
        progress(before, total)


def _unpack(file: File, archive: Path, folder: Path) -> None:
    unpacked = folder / f".{file.name}.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack(archive, unpacked, max_bytes=MAX_BYTES, max_members=MAX_MEMBERS)
    for take in file.takes:
        if not (unpacked / take).exists():
            raise DataError(f"{archive}: has no {take}; get the archive again")
        (folder / take).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / take).rename(folder / take)
    shutil.rmtree(unpacked)
    archive.unlink()


def _files_download(name: str) -> Download:
    files = FILES[name]
    return Download(origin=_ORIGINS[name], size=sum(f.size for f in files), fetch=partial(fetch_files, files))


def _hub_download(name: str, repository: str, revision: str, size: int) -> Download:
    return Download(
        origin=f"the Hugging Face Hub, {repository}",
        size=size,
        fetch=partial(_fetch_from_hub, name, repository, revision),
    )


def _fetch_from_hub(name: str, repository: str, revision: str, folder: Path, progress: ByteProgress) -> None:
    """Download from the Hub, importing its library only here: that takes seconds."""
    from udbench_domains.hub import fetch_from_hub

    fetch_from_hub(name, repository, revision, folder, progress)


DOWNLOADS: dict[str, Download] = {
    **{name: _files_download(name) for name in FILES},
    # The commit "Update README.md" that the repository's page shows as its last, over its three data files.
    "sketches": _hub_download(
        "sketches", "kmewhort/tu-berlin-png", "8957daa3f265f824532bcd8187b20674e539b8ed", 590_867_064
    ),
}
