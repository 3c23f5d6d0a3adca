"""The writers of formats, read back by whoever else reads these formats; and examples of domains."""

from __future__ import annotations

import csv
import gzip
import io
import pickle
import pickletools
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udbench.data.folders import ClassFolders
from udbench.errors import UdbenchError, UnknownNameError
from udbench.plugin.contracts_data import Domain, DomainSpec
from udbench.testing import (
    encoded,
    idx,
    pickled,
    write_annotations,
    write_bytes,
    write_class_folders,
    write_example,
    write_idx,
    write_lines,
    write_mat,
    write_pickle,
    write_picture,
    write_shard,
    write_table,
    write_tar,
    write_zip,
)

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
FILES = {"a/one.txt": b"one", "b.txt": b"", "../out.txt": b"outside"}


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".bmp", ".tif", ".PNG"])
def test_pictures_keep_their_pixels(suffix: str) -> None:
    image = Image.open(io.BytesIO(encoded(PIXELS, suffix)))
    assert image.mode == "RGB" and (np.asarray(image) == PIXELS).all()


@pytest.mark.parametrize(("suffix", "form"), [(".png", "PNG"), (".jpg", "JPEG"), (".pgm", "PPM"), (".ppm", "PPM")])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("value", [0, 7, 130, 255])
def test_a_pictures_value_tells_which_one_it_is(tmp_path: Path, suffix: str, form: str, mode: str, value: int) -> None:
    with Image.open(write_picture(tmp_path / "new" / f"a{suffix}", value, (7, 3), mode)) as image:
        assert (image.format, image.mode, image.size) == (form, mode, (7, 3))
        assert (np.asarray(image) == value).all()


def test_idx_is_a_big_endian_header_and_the_values(tmp_path: Path) -> None:
    data = idx(PIXELS)
    assert data == struct.pack(">4B3I", 0, 0, 8, 3, 4, 5, 3) + PIXELS.tobytes()
    assert write_idx(tmp_path / "a-ubyte", PIXELS).read_bytes() == data
    assert gzip.decompress(write_idx(tmp_path / "a-ubyte.gz", PIXELS).read_bytes()) == data


def test_torchvision_reads_an_idx_file(tmp_path: Path) -> None:
    mnist = pytest.importorskip("torchvision.datasets.mnist")
    read = mnist.read_sn3_pascalvincent_tensor(str(write_idx(tmp_path / "a-ubyte", PIXELS[..., 0])))
    assert read.tolist() == PIXELS[..., 0].tolist()


def test_pickles_hold_what_was_given_and_what_python_2_would_write(tmp_path: Path) -> None:
    value = {"labels": [0, 255, 256, 70_000, -1], "data": PIXELS, "names": ["é", "x" * 300], "inner": {"a": 1, "b": []}}
    found = pickle.loads(write_pickle(tmp_path / "a", value).read_bytes(), encoding="latin1")
    assert (found.pop("data") == PIXELS).all()
    assert found == {key: part for key, part in value.items() if key != "data"}
    opcodes = list(pickletools.genops(pickled(value)))
    assert [arg for op, arg, _ in opcodes if op.name == "GLOBAL"] == [
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    ]
    assert max(op.proto for op, _, _ in opcodes) == 2
    assert "BINUNICODE" not in {op.name for op, _, _ in opcodes}, "Python 2 wrote text as bytes"


@pytest.mark.parametrize("value", [None, 1.5, {"a": {1, 2}}, [object()]])
def test_pickles_of_other_things_are_not_written(value: object) -> None:
    with pytest.raises(TypeError, match="has no place"):
        pickled(value)


@pytest.mark.parametrize("packed", [True, False])
def test_mat_files_are_read_by_scipy(tmp_path: Path, packed: bool) -> None:
    from scipy.io import loadmat

    labels = np.array([[1.0], [10.0]])
    path = write_mat(tmp_path / "a.mat", packed=packed, X=PIXELS, y=labels)
    found = loadmat(path)
    assert found["X"].dtype == np.uint8 and (found["X"] == PIXELS).all() and (found["y"] == labels).all()
    kind = struct.unpack_from("<I", path.read_bytes(), 128)[0]
    assert kind == (15 if packed else 14)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_and_lists(tmp_path: Path, end: str) -> None:
    path = write_table(tmp_path / "a.csv", ("File", "Class"), [("a.ppm", 7), ("b c.ppm", 0)], end=end)
    assert path.read_bytes() == f"File;Class{end}a.ppm;7{end}b c.ppm;0{end}".encode()
    with path.open(newline="") as lines:
        assert list(csv.reader(lines, delimiter=";"))[2] == ["b c.ppm", "0"]
    assert write_annotations(tmp_path / "a.txt", [("a/1.jpg", 3), ("2.jpg", 0)]).read_text() == "a/1.jpg 3\n2.jpg 0\n"
    assert write_lines(tmp_path / "b.txt", ["é", ""]).read_bytes() == b"\xc3\xa9\n\n"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_tars_hold_what_was_given(tmp_path: Path, name: str) -> None:
    path = write_tar(tmp_path / name, FILES)
    with tarfile.open(path, "r:" if name == "a.tar" else "r:gz") as tar:
        assert tar.getnames() == list(FILES)
        assert all(entry.isreg() and entry.mode == 0o644 for entry in tar)
        assert [tar.extractfile(entry).read() for entry in tar] == list(FILES.values())  # type: ignore[union-attr]


def test_zips_hold_what_was_given(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_zip(tmp_path / "a.zip", FILES)) as packed:
        assert {entry.filename: packed.read(entry) for entry in packed.infolist()} == FILES
        assert packed.testzip() is None


def test_shards_are_tars_of_keys(tmp_path: Path) -> None:
    samples = [("n01/0", b"jpeg", 3), ("n01/1", b"", 0)]
    with tarfile.open(write_shard(tmp_path / "train-000000.tar", samples)) as tar:
        assert tar.getnames() == ["n01/0.jpg", "n01/0.cls", "n01/1.jpg", "n01/1.cls"]
        assert tar.extractfile("n01/0.cls").read() == b"3"  # type: ignore[union-attr]
    with tarfile.open(write_shard(tmp_path / "b.tar", samples, form="png")) as tar:
        assert tar.getnames()[0] == "n01/0.png"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.gz": lambda path: write_idx(path, PIXELS),
    "a.mat": lambda path: write_mat(path, X=PIXELS),
    "a.tar": lambda path: write_tar(path, FILES),
    "a.tgz": lambda path: write_tar(path, FILES),
    "a.zip": lambda path: write_zip(path, FILES),
    "a.jpg": lambda path: write_picture(path, 9),
    "a.pickle": lambda path: write_pickle(path, {"data": PIXELS}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_content_gives_the_same_bytes_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    one = WRITERS[name](tmp_path / "one" / name).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: 2e9)
        patch.setattr("time.asctime", lambda *_: "Wed May 18 03:33:20 2033")
        assert WRITERS[name](tmp_path / "two" / name).read_bytes() == one


def test_class_folders_are_the_same_for_the_same_names(tmp_path: Path) -> None:
    layout = {"train/cat": 2, "test/cat": 1, "train/dog": 2, "test/dog": 1}
    source = ClassFolders(write_class_folders(tmp_path / "a", layout))
    again = ClassFolders(write_class_folders(tmp_path / "b", layout))
    images = [source.read(i) for i in range(6)]
    assert images == [again.read(i) for i in range(6)] and len(set(images)) == 6
    assert np.asarray(Image.open(io.BytesIO(images[0])))[0, 0].tolist() == [54, 40, 74]
    grey = ClassFolders(write_class_folders(tmp_path / "c", layout, size=(3, 4), grey=True))
    assert np.asarray(Image.open(io.BytesIO(grey.read(0)))).shape == (3, 4)


def domain(**changed: object) -> Domain:
    spec = DomainSpec(
        name="shells",
        num_classes=2,
        num_train=8,
        num_test=2,
        channels=3,
        flip=True,
        content="shells",
        licence="",
        homepage="",
        citation="",
    )
    return Domain(**{"spec": spec, "open": ClassFolders, **changed})  # type: ignore[arg-type]


def test_an_example_lies_where_the_domain_is_looked_for(tmp_path: Path) -> None:
    def example(root: Path) -> None:
        write_class_folders(root, {"cone": 5, "spiral": 5})

    root = write_example(domain(example=example), tmp_path / "data")
    assert root == tmp_path / "data" / "shells"
    assert len(ClassFolders(root).index.name) == 10
    with pytest.raises(UdbenchError, match=r"data/shells is not empty; an example of 'shells' .* new folder"):
        write_example(domain(example=example), tmp_path / "data")


def test_an_example_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UdbenchError, match="'shells' has no example to write: its plugin gives none"):
        write_example(domain(), tmp_path)
    with pytest.raises(UdbenchError, match="'shells' has no example to write: it makes its images itself"):
        write_example(domain(embedded=True), tmp_path)
    with pytest.raises(UnknownNameError, match="no domain 'shels'"):
        write_example("shels", tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing is made before it is sure"


def test_installed_domains_with_an_example_write_it(tmp_path: Path, registry) -> None:
    for item in registry.items("domains"):
        if item.value.example is not None:
            root = write_example(item.name, tmp_path)
            assert root == tmp_path / (item.value.folder or item.name)
            assert len(item.value.open(root).index.name) >= 6


def test_bytes_make_the_folders_that_lead_to_them(tmp_path: Path) -> None:
    assert write_bytes(tmp_path / "a" / "b" / "c", b"d").read_bytes() == b"d"


def test_the_public_names_import_no_torch() -> None:
    code = (
        "import sys\n"
        "from udbench.testing import *\n"
        "from udbench.testing import write_example\n"
        "print([m for m in ('torch', 'scipy', 'pandas', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
