"""The official Visual Decathlon: its archives and annotations, its ten domains, its recipe."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from udbench import DataError, Suite
from udbench.config import RecipeSettings
from udbench.data.form import form_of, view_of
from udbench.data.listing import list_images
from udbench.data.locations import domain_root
from udbench.plugin.loader import load
from udbench.testing import coco, write_example, write_tar
from udbench_domains.readers.coco import class_names, read_annotations
from udbench_domains.readers.decathlon import open_test
from udbench_domains.trees.decathlon import APART, annotation_files, archives, decathlon, image_files
from udbench_domains.visual_decathlon import DECATHLON, RECIPE

DOMAINS = {domain.spec.name: domain for domain in DECATHLON}
AIRCRAFT = DOMAINS["vd-aircraft"]
ORDER = (
    "imagenet12", "aircraft", "cifar100", "daimlerpedcls", "dtd", "gtsrb", "vgg-flowers", "omniglot", "svhn", "ucf101"
)  # fmt: skip
# As published: what intervals are computed from.
TEST_SIZES = (48_238, 3_333, 10_000, 19_600, 1_880, 12_630, 6_149, 8_115, 26_032, 3_783)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))


def table(source, root: Path, spec=AIRCRAFT.spec) -> dict[str, tuple[str, str, str]]:
    """{name: (class, split, SHA-256 of the bytes)}, of a source that went through a pickle."""
    there = pickle.loads(pickle.dumps(source))
    listing = list_images(there, spec, root)
    rows = {}
    for place, row in enumerate(listing.rows.tolist()):
        split = "train" if place < listing.num_train else "test"
        digest = hashlib.sha256(there.read(row)).hexdigest()
        rows[there.index.name[row].decode()] = (there.class_names[there.index.label[row]], split, digest)
    return rows


def refused(root: Path, domain=AIRCRAFT) -> str:
    with pytest.raises(DataError) as error:
        domain.open(root)
    text = str(error.value)
    assert text.startswith(f"{domain.spec.name}: ") and "\n" not in text
    return text


def edited(path: Path, **changed: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_the_ten_are_in_the_official_order_with_the_official_counts():
    assert load().get(Suite, "visual-decathlon").domains == tuple(f"vd-{name}" for name in ORDER) == tuple(DOMAINS)
    assert tuple(domain.spec.num_test for domain in DECATHLON) == TEST_SIZES
    # Counts of original sets that train and val divide.
    whole = {"imagenet12": 1_281_167, "cifar100": 50_000, "gtsrb": 39_209, "svhn": 73_257, "ucf101": 9_537}
    assert {name: DOMAINS[f"vd-{name}"].spec.num_train for name in whole} == whole
    omniglot = DOMAINS["vd-omniglot"].spec
    assert omniglot.num_train + omniglot.num_test == 32_460 and omniglot.num_classes == 1_623
    assert [name for name in ORDER if not DOMAINS[f"vd-{name}"].spec.flip] == ["gtsrb", "omniglot", "svhn"]
    for domain in DECATHLON:
        assert "visual-decathlon/" in domain.instructions and domain.folder == "visual-decathlon"


def test_the_recipe_is_the_official_one():
    settings = RecipeSettings.model_validate(RECIPE.settings)
    assert settings.rounds * settings.batch_size == 120 * 50_000
    assert [round(120 * part) for part in settings.milestones] == [80, 100]
    assert (settings.lr, settings.gamma, settings.momentum, settings.warmup_rounds) == (0.1, 0.1, 0.9, 0)
    for name in DOMAINS:
        view = view_of(settings, name)
        assert (view.height, view.width, view.resize, view.side, view.aspect_jitter) == (64, 64, 72, "short", 0.0)
        assert form_of(settings, name).storage == "files"
    assert set(RECIPE.settings["domain"]) == set(DOMAINS)
    few = [name for name in DOMAINS if settings.decay_of(name) == 0.005]
    assert all(DOMAINS[name].spec.num_train < 10_000 for name in few) and len(few) == 4
    assert settings.decay_of(None) == settings.decay_of("vd-imagenet12") == 0.0001


def test_test_images_are_scored_and_validation_images_trained_on_where_the_labels_are(tmp_path):
    rows = table(AIRCRAFT.open(decathlon(tmp_path)), tmp_path)
    given = image_files("aircraft")
    assert {name: digest for name, (_, _, digest) in rows.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in given.items()
    }
    for name, (label, split, _) in rows.items():
        part, *folders = name.split("/")[1:-1]
        assert split == ("test" if part == "test" else "train")
        assert part == "test" or label == f"class {int(folders[0])}"
    assert [rows[f"aircraft/test/{i:06d}.jpg"][0] for i in (1, 2, 3)] == ["class 3", "class 2", "class 1"]


def test_without_their_labels_validation_images_are_scored_and_it_is_said(tmp_path):
    source = AIRCRAFT.open(decathlon(tmp_path, labelled=False))
    splits = {name: split for name, (_, split, _) in table(source, tmp_path).items()}
    assert {name.split("/")[1] for name, split in splits.items() if split == "test"} == {"val"}
    assert {name.split("/")[1] for name, split in splits.items() if split == "train"} == {"train"}
    lacks = list_images(source, AIRCRAFT.spec, tmp_path).missing(AIRCRAFT.spec)
    assert lacks.startswith("no test labels (validation images are scored), 3 of 100 classes")


def test_an_empty_list_of_test_labels_is_none(tmp_path):
    decathlon(tmp_path)
    edited(tmp_path / "annotations" / "aircraft_test.json", annotations=[])
    assert AIRCRAFT.open(tmp_path).index.missing


@pytest.mark.parametrize("labelled", [True, False])
def test_archives_tars_and_folders_are_read_alike(tmp_path, labelled):
    places = [
        decathlon(tmp_path / "folders", labelled=labelled),
        decathlon(tmp_path / "tars", tars=True, labelled=labelled),
        archives(tmp_path / "archives", labelled=labelled),
        decathlon(tmp_path / "below" / "decathlon-1.0", labelled=labelled).parent,
    ]
    first, *others = [table(AIRCRAFT.open(place), place) for place in places]
    assert all(other == first for other in others)
    before = sorted(path for path in (tmp_path / "archives").rglob("*"))
    AIRCRAFT.open(tmp_path / "archives")
    assert sorted((tmp_path / "archives").rglob("*")) == before, "nothing is written where the images are"


def test_labels_of_test_images_may_lie_beside_the_devkits_archive(tmp_path):
    archives(tmp_path, labelled=False)
    labels = tmp_path / "annotations" / "aircraft_test.json"
    labels.parent.mkdir()
    labels.write_bytes(annotation_files("aircraft")["annotations/aircraft_test.json"])
    assert not AIRCRAFT.open(tmp_path).index.missing


def test_an_archive_is_unpacked_once_and_anew_when_it_is_another(tmp_path):
    archives(tmp_path / "a")
    AIRCRAFT.open(tmp_path / "a")
    unpacked = tmp_path / "cache" / "unpacked"
    before = {path: path.stat().st_mtime_ns for path in unpacked.rglob("*.json")}
    AIRCRAFT.open(tmp_path / "a")
    assert before and {path: path.stat().st_mtime_ns for path in unpacked.rglob("*.json")} == before
    shutil.rmtree(tmp_path / "a")
    archives(tmp_path / "a", parts={"train": 3, "val": 1, "test": 1})
    assert len(AIRCRAFT.open(tmp_path / "a").index.name) == 15


def test_imagenet_is_read_from_its_own_tar_and_grey_domains_have_two_classes(tmp_path):
    root = archives(tmp_path, ["imagenet12", "daimlerpedcls"])
    imagenet, daimler = DOMAINS["vd-imagenet12"], DOMAINS["vd-daimlerpedcls"]
    assert len(table(imagenet.open(root), root, imagenet.spec)) == 12
    assert set(daimler.open(root).class_names) == {"class 1", "class 2"}
    assert len(imagenet.open(root).class_names) == 1_000


def test_a_domain_is_here_where_its_own_images_are(tmp_path):
    data = tmp_path / "data"
    decathlon(data / "visual-decathlon", ["aircraft", "dtd"], tars=True)
    assert [name for name, domain in DOMAINS.items() if domain_root(domain, data)] == ["vd-aircraft", "vd-dtd"]
    write_tar(data / "visual-decathlon" / "decathlon-1.0-data.tar.gz", {"svhn.tar": b""})
    assert [name for name, domain in DOMAINS.items() if not domain_root(domain, data)] == ["vd-imagenet12"]
    (data / "imagenet12").mkdir()
    assert domain_root(DOMAINS["vd-imagenet12"], data) is None


def test_examples_share_the_folder(tmp_path):
    roots = {write_example(DOMAINS[name], tmp_path) for name in ("vd-aircraft", "vd-dtd")}
    assert roots == {tmp_path / "visual-decathlon"}


def test_test_images_without_labels_are_numbered_as_in_the_annotations(tmp_path):
    root = decathlon(tmp_path, labelled=False)
    test = open_test("aircraft", "vd-aircraft", root)
    assert test.image_ids == [2 * APART + 10, 2 * APART + 11, 2 * APART + 12]
    assert test.names == [f"aircraft/test/{i:06d}.jpg" for i in (1, 2, 3)]
    assert test.category_ids == [2 * APART + c + 1 for c in range(100)] and len(test.class_names) == 100
    assert test.places.read(1) == image_files("aircraft")["aircraft/test/000002.jpg"]
    assert Image.open(io.BytesIO(test.places.read(0))).size == (90, 72)


def test_annotations_that_name_missing_images_say_so_in_one_sentence(tmp_path):
    root = decathlon(tmp_path)
    (root / "data/aircraft/train/0002/000001.jpg").unlink()
    shutil.rmtree(root / "data/aircraft/train/0003")
    assert refused(root) == (
        f"vd-aircraft: {root}/annotations/aircraft_train.json names 'aircraft/train/0002/000001.jpg', which is not in "
        f"{root}/data/aircraft (3 such of 6); get the images again"
    )
    files = image_files("aircraft")
    del files["aircraft/test/000002.jpg"]
    shutil.rmtree(root / "data/aircraft")
    tar = write_tar(root / "data/aircraft.tar", files)
    assert f"which is not in {tar} (1 such of 3)" in refused(root)


def test_what_is_not_there_is_named(tmp_path):
    root = decathlon(tmp_path)
    (root / "annotations/aircraft_val.json").unlink()
    assert refused(root) == (
        f"vd-aircraft: {root} has no annotations/aircraft_val.json; put decathlon-1.0-devkit.tar.gz there, or what it "
        "unpacks to"
    )
    decathlon(root)
    shutil.rmtree(root / "data/aircraft")
    assert "looked for data/aircraft/* or aircraft.tar or decathlon-1.0-data.tar.gz" in refused(root)
    write_tar(root / "decathlon-1.0-data.tar.gz", {"dtd.tar": b""})
    assert "decathlon-1.0-data.tar.gz holds no aircraft.tar" in refused(root)
    assert "there is no folder" in refused(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no annotations/dtd_test_stripped\.json"):
        open_test("dtd", "vd-dtd", root)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.jpg", "data/aircraft/../../x.jpg", "data\\x.jpg"])
def test_a_name_that_points_outside_is_refused(tmp_path, path):
    root = decathlon(tmp_path)
    edited(root / "annotations/aircraft_train.json", images=[{"id": 1, "file_name": path}], annotations=[])
    edited(
        root / "annotations/aircraft_train.json", annotations=[{"image_id": 1, "category_id": 2 * APART + 1, "id": 1}]
    )
    assert "points outside; do not trust this file" in refused(root)


def test_archives_that_are_no_archives_are_refused(tmp_path):
    root = archives(tmp_path)
    (root / "decathlon-1.0-devkit.tar.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="is neither a zip nor a tar"):
        AIRCRAFT.open(root)


IMAGES = [{"id": 1, "file_name": "data/a/1.jpg"}, {"id": 2, "file_name": "data/a/2.jpg"}]
CATEGORIES = [{"id": 5, "name": "x"}, {"id": 4, "name": "y"}]
LABELS = [{"id": 1, "image_id": 1, "category_id": 5}, {"id": 2, "image_id": 2, "category_id": 4}]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected an object"),
        ({"images": None}, 'no list "images"'),
        ({"images": []}, 'its list "images" is empty'),
        ({"images": [3]}, 'images[0] needs a number "id" and a text "file_name"'),
        ({"images": [{"id": "1", "file_name": "a"}]}, 'images[0] needs a number "id"'),
        ({"images": [{"id": True, "file_name": "a"}]}, 'images[0] needs a number "id"'),
        ({"images": [{"id": 1, "file_name": ""}]}, 'a text "file_name"'),
        ({"images": [IMAGES[0], IMAGES[0]]}, 'two of its images have the "id" 1'),
        ({"categories": [{"id": 1}]}, 'categories[0] needs a number "id" and a text "name"'),
        ({"annotations": {"a": 1}}, 'no list "annotations"'),
        ({"annotations": [{"image_id": 1}]}, 'annotations[0] needs numbers "image_id" and "category_id"'),
        ({"annotations": [{**LABELS[0], "image_id": 9}]}, "annotations[0] is of 9, which is none of its images"),
        ({"annotations": [{**LABELS[0], "category_id": 9}]}, "is of 9, which is none of its categories"),
        ({"annotations": [LABELS[0], LABELS[0]]}, "the image 'data/a/1.jpg' has two annotations"),
        ({"annotations": LABELS[:1]}, "1 of its images have no annotation, such as 'data/a/2.jpg'"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(tmp_path, changed, said):
    path = tmp_path / "a_train.json"
    whole = {"images": IMAGES, "categories": CATEGORIES, "annotations": LABELS}
    path.write_text(changed if isinstance(changed, str) else json.dumps({**whole, **changed}))
    with pytest.raises(DataError) as error:
        read_annotations("vd-a", path)
    assert str(error.value).startswith(f"vd-a: {path}: ") and said in str(error.value)


def test_annotations_are_read_in_their_order_and_categories_by_number(tmp_path):
    path = tmp_path / "a_train.json"
    path.write_bytes(coco({7: "data/a/2.jpg", 3: "data/a/1.jpg"}, {5: "crane", 4: "crane", 6: "z"}, {3: 5, 7: 4}))
    read = read_annotations("vd-a", path)
    assert (read.image_ids, read.files, read.category_ids) == ([7, 3], ["data/a/2.jpg", "data/a/1.jpg"], [4, 5])
    assert list(read.categories) == [4, 5, 6]
    assert class_names(read.categories) == ("crane (4)", "crane (5)", "z")


def test_parts_of_different_categories_are_refused(tmp_path):
    root = decathlon(tmp_path)
    edited(
        root / "annotations/aircraft_val.json", categories=[{"id": 2 * APART + c + 1, "name": "a"} for c in range(9)]
    )
    assert "list different categories" in refused(root)


def test_listing_them_imports_nothing_heavy():
    code = (
        "import sys, udbench_domains.visual_decathlon\n"
        "print([m for m in ('numpy', 'PIL', 'torch', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
