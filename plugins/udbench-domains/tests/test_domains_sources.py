"""Downloads: torchvision's own facts, archives that end as what the readers read, and data sets of the Hub."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import json
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import udbench_domains
from support.server import closed_address, serving
from udbench import DataError, UdbenchError, UnreachableError
from udbench_domains import hub, sources
from udbench_domains.readers import common
from udbench_domains.trees import TREES

DOMAINS = {domain.spec.name: domain for domain in udbench_domains.udbench_domains()}


def silent(_done: int, _total: int) -> None:
    pass


# --- what torchvision says -------------------------------------------------------------------------------------------


class Torchvision:
    """A class of `torchvision.datasets` as its source says it: importing it would bring torch."""

    def __init__(self, file: str, name: str) -> None:
        package = importlib.util.find_spec("torchvision")
        assert package and package.origin
        text = (Path(package.origin).parent / "datasets" / f"{file}.py").read_text()
        (found,) = (n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == name)
        self.strings = [n.value for n in ast.walk(found) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        self.facts = {
            target.id: ast.literal_eval(n.value)
            for n in found.body
            if isinstance(n, ast.Assign)
            for target in n.targets
            if isinstance(target, ast.Name)
        }


def test_addresses_and_checksums_are_those_of_the_torchvision_that_is_installed():
    stated = {name: [(file.urls, file.md5) for file in files] for name, files in sources.FILES.items()}
    facts = Torchvision("mnist", "MNIST").facts
    assert stated["mnist"] == [(tuple(m + name for m in facts["mirrors"]), md5) for name, md5 in facts["resources"]]
    facts = Torchvision("cifar", "CIFAR10").facts
    assert stated["cifar10"] == [((facts["url"],), facts["tgz_md5"])]
    facts = Torchvision("svhn", "SVHN").facts["split_list"]
    assert stated["svhn"] == [((facts[split][0],), facts[split][2]) for split in ("train", "test")]
    facts = Torchvision("omniglot", "Omniglot").facts
    assert stated["omniglot"] == [
        ((f"{facts['download_url_prefix']}/{name}.zip",), md5) for name, md5 in facts["zips_md5"].items()
    ]
    (((url,), md5),) = stated["caltech256"]
    assert {url, md5} <= set(Torchvision("caltech", "Caltech256").strings)
    strings = Torchvision("gtsrb", "GTSRB").strings
    (base,) = (text for text in strings if text.startswith("https://sid"))
    for (url,), md5 in stated["gtsrb"][1:]:
        assert url.startswith(base) and {url.removeprefix(base), md5} <= set(strings)
    assert stated["gtsrb"][0][0][0].startswith(base)


def test_what_can_be_downloaded_and_what_cannot():
    ten = {"caltech256", "cifar10", "gtsrb", "mnist", "omniglot", "sketches", "svhn"}
    assert set(sources.DOWNLOADS) == ten <= set(DOMAINS)
    for download in sources.DOWNLOADS.values():
        assert download.size > 1_000_000 and download.origin
    for file in (file for files in sources.FILES.values() for file in files):
        assert re.fullmatch("[0-9a-f]{32}", file.md5) and all(url.startswith("http") for url in file.urls)


# --- archives --------------------------------------------------------------------------------------------------------


def pack(file: sources.File, tree: Path) -> bytes:
    """The archive that the makers would have packed of a tree, or the file itself."""
    if not file.takes:
        return (tree / file.name).read_bytes()
    if file.takes == ("GT-final_test.csv",):
        tree = next(tree.rglob("GT-final_test.csv")).parent
    below = [p for take in file.takes for p in sorted([tree / take, *(tree / take).rglob("*")]) if p.is_file()]
    target = io.BytesIO()
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(target, "w") as packed:
            packed.writestr("Readme.txt", "not wanted")
            for path in below:
                packed.write(path, path.relative_to(tree).as_posix())
    else:
        with tarfile.open(fileobj=target, mode="w:gz" if file.name.endswith("gz") else "w") as packed:
            for path in below:
                packed.add(path, path.relative_to(tree).as_posix())
    return target.getvalue()


@pytest.mark.parametrize("name", sorted(sources.FILES))
def test_downloads_end_as_the_domains_images_even_when_they_break_off_at_first(tmp_path, name):
    tree, folder = tmp_path / "tree", tmp_path / "folder"
    TREES[name](tree)
    packed = {file.name: pack(file, tree) for file in sources.FILES[name]}
    with serving(packed) as server:
        files = [
            replace(
                file,
                urls=(server.url + file.name,),
                md5=hashlib.md5(packed[file.name]).hexdigest(),
                size=len(packed[file.name]),
            )
            for file in sources.FILES[name]
        ]
        first = len(packed[files[0].name])
        server.cut = first - 1
        with pytest.raises(UdbenchError, match="they are kept"):
            sources.fetch_files(files, folder, silent)
        with pytest.raises(DataError):
            DOMAINS[name].open(folder)
        server.cut = None
        told = []
        sources.fetch_files(files, folder, lambda *at: told.append(at))
        assert server.asked[1] == (f"/{files[0].name}", f"bytes={first - 1}-")
        asked = len(server.asked)
        sources.fetch_files(files, folder, silent)
        assert len(server.asked) == asked, "what is there is not fetched again"
    done = [at for at, _ in told]
    assert done == sorted(done) and told[-1] == (sum(map(len, packed.values())),) * 2
    got, made = DOMAINS[name].open(folder), DOMAINS[name].open(tree)
    assert got.index.name.tolist() == made.index.name.tolist() and len(got.index.name) > 5
    assert got.index.label.tolist() == made.index.label.tolist()
    assert all(np.array_equal(got.read(i), made.read(i)) for i in range(len(got.index.name)))
    left = {p.name for p in folder.rglob("*")}
    assert not left & {file.name for file in files if file.takes} and not any("unpacked" in each for each in left)


def test_an_archive_without_what_it_should_hold_is_named(tmp_path):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr("other/x", "")
    with serving({"a.zip": target.getvalue()}) as server:
        file = sources.File(
            name="a.zip",
            urls=(server.url + "a.zip",),
            md5=hashlib.md5(target.getvalue()).hexdigest(),
            size=1000,
            takes=("images",),
        )
        with pytest.raises(DataError, match=r"a\.zip: has no images"):
            sources.fetch_files([file], tmp_path / "folder", silent)


# --- the Hub ---------------------------------------------------------------------------------------------------------


def picture(value: int, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new("L", (8, 6), value).save(target, kind)
    return target.getvalue()


def rows(images, labels, names, *, columns=("image", "label"), paths=None):
    """A data set as it is pushed to the Hub."""
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as Picture

    records = [{"bytes": image, "path": paths[i] if paths else None} for i, image in enumerate(images)]
    features = Features({columns[0]: Picture(), columns[1]: ClassLabel(names=list(names))})
    return Dataset.from_dict({columns[0]: records, columns[1]: labels}, features=features)


def parquet(dataset, path: Path) -> bytes:
    import datasets

    datasets.disable_progress_bars()
    dataset.to_parquet(str(path))
    return path.read_bytes()


IMAGES = [picture(1), picture(2), picture(3), picture(4, "JPEG")]
SKETCHES = ["airplane", "alarm clock", "train"]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of two data files at one commit, behind a server of our own."""
    (tmp_path / "parquet").mkdir()
    paths = ["11.png", "12.png", "12.png", "x.jpg"]
    first = parquet(rows(IMAGES, [0, 0, 2, 1], SKETCHES, paths=paths), tmp_path / "parquet" / "0")
    second = parquet(rows([picture(9)], [2], SKETCHES, paths=["77.png"]), tmp_path / "parquet" / "1")
    with serving({"c1/data/0.parquet": first, "c1/data/1.parquet": second}) as server:
        resolved = []

        def current(repository, revision):
            resolved.append(revision)
            files = tuple(
                hub.DataFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
                for name, content in (("data/0.parquet", first), ("data/1.parquet", second))
            )
            return hub.Snapshot(repository=repository, revision=revision or "c1", files=files)

        monkeypatch.setattr(hub, "current", current)
        monkeypatch.setattr(hub, "address", lambda snapshot, file: f"{server.url}{snapshot.revision}/{file.name}")
        yield server, resolved


def test_a_data_set_of_the_hub_becomes_class_folders_with_its_source_beside(repository, tmp_path):
    server, resolved = repository
    folder, told = tmp_path / "sketches", []
    hub.fetch_from_hub("sketches", "some/one", None, folder, lambda *at: told.append(at))
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*g")}
    assert found == {
        "airplane/11.png": IMAGES[0],
        "airplane/12.png": IMAGES[1],
        "train/12.png": IMAGES[2],
        "alarm clock/x.jpg": IMAGES[3],
        "train/77.png": picture(9),
    }
    assert sorted(p.name for p in folder.iterdir()) == ["airplane", "alarm clock", "source.json", "train"]
    source = json.loads((folder / "source.json").read_text())
    assert (source["repository"], source["revision"], source["images"], source["repeated"]) == ("some/one", "c1", 5, 0)
    assert [hashlib.sha256(server.files[f"/c1/{f['name']}"]).hexdigest() for f in source["files"]] == [
        f["sha256"] for f in source["files"]
    ]
    assert told[-1][0] == told[-1][1] == sum(map(len, server.files.values())) and resolved == [None]
    opened = DOMAINS["sketches"].open(folder)
    assert len(opened.index.name) == 5 and opened.read(0) == IMAGES[0]


def test_a_fetch_that_goes_on_keeps_to_the_recorded_commit(repository, tmp_path):
    server, resolved = repository
    folder = tmp_path / "sketches"
    server.answers["/c1/data/1.parquet"] = 500
    with pytest.raises(UdbenchError, match="500"):
        hub.fetch_from_hub("sketches", "some/one", None, folder, silent)
    server.answers.clear()
    hub.fetch_from_hub("sketches", "some/one", None, folder, silent)
    assert resolved == [None] and [path for path, _ in server.asked] == [
        "/c1/data/0.parquet",
        "/c1/data/1.parquet",
        "/c1/data/1.parquet",
    ]


def test_changed_data_files_are_refused_and_a_pinned_commit_is_begun_anew(repository, tmp_path):
    server, resolved = repository
    folder = tmp_path / "sketches"
    server.answers["/c1/data/0.parquet"] = 500
    with pytest.raises(UdbenchError, match="500"):
        hub.fetch_from_hub("sketches", "some/one", None, folder, silent)
    server.answers.clear()
    content = server.files["/c1/data/0.parquet"]
    server.files["/c1/data/0.parquet"] = content[:-1] + b"?"
    with pytest.raises(DataError, match=r"its sha256 is .*, expected"):
        hub.fetch_from_hub("sketches", "some/one", None, folder, silent)
    assert not common.subfolders(folder)
    server.files |= {path.replace("c1", "c2"): kept for path, kept in server.files.items()}
    server.files["/c2/data/0.parquet"] = content
    hub.fetch_from_hub("sketches", "some/one", "c2", folder, silent)
    assert resolved == [None, "c2"] and json.loads((folder / "source.json").read_text())["revision"] == "c2"


def test_a_damaged_record_is_named(repository, tmp_path):
    (tmp_path / "source.json").write_text("{}")
    with pytest.raises(DataError, match=r"source\.json: is damaged; delete"):
        hub.fetch_from_hub("sketches", "some/one", None, tmp_path, silent)


def test_names_are_the_rows_where_the_images_have_none_of_their_own(tmp_path):
    for paths in (None, ["a.png", "a.png", "b.png", "c.jpg"], ["a.png", "../../b.png", "", "d.jpg"]):
        folder = tmp_path / str(paths)[:9].replace("/", "")
        counts = hub.write_class_folders(
            "sketches", rows(IMAGES, [0, 0, 0, 2], SKETCHES, paths=paths), folder, SKETCHES
        )
        assert counts == {"images": 4, "repeated": 0}
        assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*")) == [
            "airplane/000000.png",
            "airplane/000001.png",
            "airplane/000002.png",
            "train/000003.jpg",
        ]


def test_an_image_that_is_twice_in_a_class_is_written_once(tmp_path):
    twice = rows([IMAGES[0], IMAGES[0], IMAGES[0]], [0, 0, 1], SKETCHES)
    assert hub.write_class_folders("sketches", twice, tmp_path, SKETCHES) == {"images": 2, "repeated": 1}


def test_what_does_not_fit_the_domain_is_named_and_nothing_is_written(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def refused(dataset, words: str) -> None:
        with pytest.raises(DataError, match=words):
            hub.write_class_folders("sketches", dataset, folder, SKETCHES)
        assert list(folder.iterdir()) == []

    refused(rows(IMAGES[:1], [0], ["airplane", "../evil"]), r"classes that the domain does not have: '\.\./evil'")
    refused(rows(IMAGES[:1], [-1], SKETCHES), "classes that the domain does not have: 'number -1'")
    refused(rows(IMAGES[:1], [0], SKETCHES, columns=("img", "label")), r"expected .* found img \(Image\), label")
    refused(rows(IMAGES[:1], [0], SKETCHES, columns=("image", "fine")), "found image .*, fine")
    refused(rows([*IMAGES[:1], b"GIF89a"], [0, 1], SKETCHES), "row 1 of the data set is neither a PNG nor a JPEG")


def test_classes_may_be_words(tmp_path):
    from datasets import Dataset, Features, Value
    from datasets import Image as Picture

    features = Features({"image": Picture(), "label": Value("string")})
    named = {"image": [{"bytes": IMAGES[0], "path": None}], "label": ["train"]}
    hub.write_class_folders("sketches", Dataset.from_dict(named, features=features), tmp_path, SKETCHES)
    assert [p.name for p in tmp_path.iterdir()] == ["train"]
    named["label"] = ["engine"]
    with pytest.raises(DataError, match="'engine'"):
        hub.write_class_folders("sketches", Dataset.from_dict(named, features=features), tmp_path, SKETCHES)


def test_without_a_network_the_hub_is_named(monkeypatch):
    import huggingface_hub

    client = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: client(endpoint=closed_address().rstrip("/")))
    with pytest.raises(UnreachableError, match=r"cannot fetch some/one from huggingface\.co: there is no network"):
        hub.current("some/one", None)


def test_what_the_hub_says_of_a_repository_is_read(monkeypatch):
    import huggingface_hub

    client = huggingface_hub.HfApi
    answer = {
        "id": "some/one",
        "sha": "c" * 40,
        "siblings": [
            {"rfilename": "README.md", "size": 5, "blobId": "b"},
            {
                "rfilename": "data/b.parquet",
                "size": 7,
                "blobId": "b",
                "lfs": {"sha256": "d" * 64, "size": 7, "pointerSize": 1},
            },
        ],
    }
    path = "api/datasets/some/one"
    with serving({f"{path}?blobs=true": json.dumps(answer).encode(), f"{path}?blobs=True": b""}) as server:
        server.files[f"/{path}?blobs=True"] = server.files[f"/{path}?blobs=true"]
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: client(endpoint=server.url.rstrip("/")))
        found = hub.current("some/one", None)
        assert found.files == (hub.DataFile(name="data/b.parquet", size=7, sha256="d" * 64),)
        assert found.revision == "c" * 40
        with pytest.raises(UdbenchError, match="the Hugging Face Hub does not give some/other at c2") as said:
            hub.current("some/other", "c2")
        assert not isinstance(said.value, UnreachableError)
    there = hub.address(found, found.files[0])
    assert there == f"https://huggingface.co/datasets/some/one/resolve/{'c' * 40}/data/b.parquet"
