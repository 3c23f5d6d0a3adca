"""Reading synth90k in each of its layouts, and what is refused of it."""

from __future__ import annotations

import gzip
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from udbench import DataError
from udbench.testing import write_annotations, write_bytes, write_lines, write_tar
from udbench_domains.readers import columns, synth90k
from udbench_domains.trees import large as trees_large
from udbench_domains.trees.large import WORDS, photograph
from udbench_domains.words.make import make_words
from udbench_domains.words.plan import Counts

OFFICIAL = "mnt/ramdisk/max/90kDICT32px"


def expected_words(large, train=3, val=1, test=2):
    rows, n = {}, 0
    for split, number in (("train", train), ("", val), ("test", test)):
        for label, word in [(label, word) for _ in range(number) for label, word in enumerate(WORDS)]:
            image = photograph(5 * n, (8 + 6 * len(word), 31))
            if split:
                rows[f"{1 + n // 8}/{1 + n // 4 % 2}/{1 + n % 4}_{word}_{label}.jpg"] = (
                    word,
                    split,
                    large.digest(image),
                )
            n += 1
    return rows


def word_tar(made, path, top=f"{OFFICIAL}/"):
    """A tar of a tree, images first."""
    files = sorted((p for p in made.rglob("*") if p.is_file()), key=lambda p: (p.suffix != ".jpg", p))
    return write_tar(path, {f"{top}{p.relative_to(made).as_posix()}": p.read_bytes() for p in files})


@pytest.mark.parametrize("top", [OFFICIAL, "90kDICT32px", ""])
def test_synth90k_folders(large, tmp_path, top):
    source = large.opened("synth90k", trees_large.synth90k(tmp_path, top=top))
    assert source.class_names == WORDS
    assert large.table(source) == expected_words(large)


@pytest.mark.parametrize("top", [f"./{OFFICIAL}/", "90kDICT32px/", ""])
def test_synth90k_tar(large, tmp_path, top):
    made = trees_large.synth90k(tmp_path / "made", top="")
    word_tar(made, tmp_path / "synth90k" / "mjsynth.tar", top)
    source = large.opened("synth90k", tmp_path / "synth90k")
    assert source.class_names == WORDS
    assert large.table(source) == expected_words(large)


def test_synth90k_reads_the_lists_in_blocks(large, tmp_path, monkeypatch):
    trees_large.synth90k(tmp_path)
    for size in (1, 7, 30, 64, 1000):
        monkeypatch.setattr(synth90k, "_AT_ONCE", max(size, 30))
        assert {name.decode() for name in large.opened("synth90k", tmp_path).index.name.tolist()} == set(
            expected_words(large)
        )


def test_synth90k_counts_lines_over_blocks(large, tmp_path, monkeypatch):
    trees_large.synth90k(tmp_path, top="")
    monkeypatch.setattr(synth90k, "_AT_ONCE", 50)
    for name, lines in (("annotation_test.txt", 8), ("annotation_train.txt", 12)):
        for line, says in (("./9.jpg 9", "names word 9"), ("9.jpg", "is '9.jpg'")):
            write_lines(tmp_path / name, [*(tmp_path / name).read_text().splitlines()[:lines], line])
            assert f"{name}: line {lines + 1} {says}" in large.refused("synth90k", tmp_path)


def test_synth90k_takes_lines_as_other_systems_end_them(large, tmp_path):
    trees_large.synth90k(tmp_path, top="")
    for name in ("annotation_train.txt", "annotation_test.txt", "lexicon.txt"):
        text = (tmp_path / name).read_text().removesuffix("\n").replace("\n", "\r\n").replace("./", "")
        (tmp_path / name).write_text(text, newline="")
    source = large.opened("synth90k", tmp_path)
    assert source.class_names == WORDS
    assert large.table(source) == expected_words(large)


@pytest.mark.parametrize("lexicon", [True, False])
def test_synth90k_class_folders(large, tmp_path, lexicon):
    for split, n in (("train", 2), ("test", 1)):
        for word in WORDS:
            for i in range(n):
                write_bytes(tmp_path / split / word / f"{i}.jpg", photograph(i))
    if lexicon:
        write_lines(tmp_path / "lexicon.txt", ["first", *WORDS])
    source = large.opened("synth90k", tmp_path)
    assert source.class_names == (("first", *WORDS) if lexicon else tuple(sorted(WORDS)))
    assert {row[:2] for row in large.table(source).values()} == {
        (word, split) for word in WORDS for split in ("train", "test")
    }


def test_synth90k_reads_what_make_words_draws(large, tmp_path):
    lexicon = write_lines(tmp_path / "words.txt", ["cat", "Dog", "it's", "over90"])
    made = make_words(lexicon, tmp_path / "out", counts=Counts(train=3, val=1, test=2), fonts="built-in")
    source = large.opened("synth90k", made.folder)
    assert source.class_names == ("cat", "Dog", "it's", "over90")
    assert np.bincount(source.index.label).tolist() == [5] * 4
    assert (source.index.split == b"train").sum() == 12
    rows = large.table(source)
    for name, (word, _, sha256) in rows.items():
        assert f"_{word}_" in name
        assert large.digest((made.folder / OFFICIAL / name).read_bytes()) == sha256
    word_tar(made.folder / OFFICIAL, tmp_path / "tarred" / "mjsynth.tar")
    assert large.table(large.opened("synth90k", tmp_path / "tarred")) == rows


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("./1/1/9_x_4.jpg 4", "line 3 names word 4, and lexicon.txt has 4 words"),
        ("./1/1/9_x_4.jpg 999999999", "line 3 names word 999999999, and"),
        ("./1/1/9_x_4.jpg 9999999999", "line 3 is './1/1/9_x_4.jpg 9999999999'; a path"),
        ("./1/1/9_x_0.jpg -1", "line 3 is './1/1/9_x_0.jpg -1'; a path"),
        ("./1/1/9_x_0.jpg", "line 3 is './1/1/9_x_0.jpg'; a path"),
        ("./1/1/9_x_0.jpg 0 0x", "line 3 is './1/1/9_x_0.jpg 0 0x'; a path"),
        ("", "line 3 is ''; a path"),
        (" 0", "line 3 is ' 0'; a path"),
        ("x" * 401 + " 0", "line 3 is 'xxx"),
        ("../1/9_x_0.jpg 0", "line 3 has an unsafe path: '../1/9_x_0.jpg 0'"),
        ("./1/../../9_x_0.jpg 0", "line 3 has an unsafe path"),
        ("./.. 0", "line 3 has an unsafe path"),
        ("/etc/9_x_0.jpg 0", "line 3 has an unsafe path"),
        (".//etc/9_x_0.jpg 0", "line 3 has an unsafe path"),
        ("C:/9_x_0.jpg 0", "line 3 has an unsafe path"),
        ("./..\\9_x_0.jpg 0", "line 3 has an unsafe path"),
        ("././1/1/9_x_0.jpg 0", "line 3 has an unsafe path"),
        ("./1//9_x_0.jpg 0", "line 3 has an unsafe path"),
        ("./1/ 0", "line 3 has an unsafe path"),
        ("./1/9\0.jpg 0", "line 3 has an unsafe path"),
        ("./1/1/2_Slinking_1.jpg 1", "1/1/2_Slinking_1.jpg occurs in annotation_"),
        ("./9/1/9_x_0.jpg 0", " names 9/1/9_x_0.jpg, and "),
    ],
    ids=range(22),
)
def test_synth90k_refuses_lines_by_their_number(large, tmp_path, line, says, packed):
    made = trees_large.synth90k(tmp_path / "made", top="")
    for name in ("annotation_test.txt", "annotation_train.txt"):
        lines = (made / name).read_text().splitlines()
        write_lines(made / name, [*lines[:2], line, *lines[2:]])
        if packed:
            word_tar(made, tmp_path / "tarred" / "mjsynth.tar")
        text = large.refused("synth90k", tmp_path / "tarred" if packed else made)
        assert says in text
        assert name in text
        write_lines(made / name, lines)


def test_synth90k_takes_names_that_only_look_odd(large, tmp_path):
    write_annotations(tmp_path / "annotation_train.txt", [("./1/wait..._0.jpg", 0), ("1/a:b é_1.jpg", 1)])
    write_annotations(tmp_path / "annotation_test.txt", [(".hidden.jpg", 0)])
    write_lines(tmp_path / "lexicon.txt", ["wait...", "a:b é"])
    for n, name in enumerate(("1/wait..._0.jpg", "1/a:b é_1.jpg", ".hidden.jpg")):
        write_bytes(tmp_path / name, photograph(n))
    source = large.opened("synth90k", tmp_path)
    assert [large.value(source, i) for i in range(3)] == [0, 1, 2]


def test_synth90k_names_what_is_no_text(large, tmp_path):
    trees_large.synth90k(tmp_path, top="")
    (tmp_path / "annotation_test.txt").write_bytes(b"./1/\xff.jpg 0\n")
    assert "annotation_test.txt: line 1 is not UTF-8" in large.refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(b"a\n\xff\n")
    assert "lexicon.txt: line 2 is not UTF-8" in large.refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(b"a\n\nb\n")
    assert "lexicon.txt: line 2 is empty" in large.refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_bytes(b"")
    assert "lexicon.txt: line 1 is empty" in large.refused("synth90k", tmp_path)
    (tmp_path / "lexicon.txt").write_text("".join(f"w{n}\n" for n in range(88_173)))
    assert "has more than 88,172 words" in large.refused("synth90k", tmp_path)


def test_synth90k_knows_the_files_it_needs(large, tmp_path):
    trees_large.synth90k(tmp_path)
    for name in ("lexicon.txt", "annotation_test.txt"):
        (tmp_path / OFFICIAL / name).rename(tmp_path / name)
        assert f"{OFFICIAL}/{name} is missing; unpack the images again" in large.refused("synth90k", tmp_path)
        (tmp_path / name).rename(tmp_path / OFFICIAL / name)
    (tmp_path / OFFICIAL / "annotation_train.txt").write_bytes(b"")
    assert "annotation_train.txt names no image" in large.refused("synth90k", tmp_path)


def test_synth90k_images_that_are_missing_are_told_when_read_where_there_are_many(large, tmp_path, monkeypatch):
    home = trees_large.synth90k(tmp_path) / OFFICIAL
    monkeypatch.setattr(synth90k, "_LOOKED_FOR", 19)
    (home / "1/1/2_Slinking_1.jpg").unlink()
    shutil.rmtree(home / "3" / "2")
    source = large.opened("synth90k", tmp_path)
    names = source.index.name.tolist()
    for file, name in (("annotation_train.txt", "1/1/2_Slinking_1.jpg"), ("annotation_test.txt", "3/2/1_lube_0.jpg")):
        with pytest.raises(DataError) as error:
            source.read(names.index(name.encode()))
        assert str(error.value) == (
            f"synth90k: {file} names {name}, and {home / name} is missing; unpack the images again"
        )
    monkeypatch.setattr(synth90k, "_LOOKED_FOR", 20)
    assert "annotation_train.txt names 1/1/2_Slinking_1.jpg, and" in large.refused("synth90k", tmp_path)


def test_synth90k_tars_that_will_not_do_are_refused(large, tmp_path):
    made, root = trees_large.synth90k(tmp_path / "made", top=""), tmp_path / "synth90k"
    path = word_tar(made, root / "mjsynth.tar")
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    assert "mjsynth.tar: cut short: it ends at byte 2000" in large.refused("synth90k", root)
    path.write_bytes(gzip.compress(whole))
    assert "mjsynth.tar: compressed (gzip)" in large.refused("synth90k", root)
    path.rename(root / "mjsynth.tar.gz")
    assert "mjsynth.tar.gz is compressed" in (text := large.refused("synth90k", root))
    assert "gunzip" in text
    path.write_bytes(whole)
    shutil.copy(path, root / "other.tar")
    assert "holds mjsynth.tar and other.tar; keep the one" in large.refused("synth90k", root)
    (root / "other.tar").unlink()
    write_tar(path, {"a/annotation_train.txt": b"", "b/annotation_train.txt": b""})
    assert "holds 'a/annotation_train.txt' and 'b/annotation_train.txt'" in large.refused("synth90k", root)
    write_tar(path, {"a/annotation_train.txt": b"", "b/annotation_test.txt": b"", "a/lexicon.txt": b"a"})
    assert "holds its lists in 'a' and 'b'" in large.refused("synth90k", root)
    write_tar(path, {"a/annotation_train.txt": b"", "a/lexicon.txt": b"a"})
    assert "holds no annotation_test.txt" in large.refused("synth90k", root)
    lists = {"annotation_train.txt": b"./a.jpg 0\n", "annotation_test.txt": b"./b.jpg 0\n", "lexicon.txt": b"a"}
    write_tar(path, lists)
    assert "annotation_train.txt names a.jpg, and" in (text := large.refused("synth90k", root))
    assert "does not hold it" in text
    write_tar(path, {**lists, "a.jpg": b"a", "b.jpg": b"b", "../c.jpg": b"c"})
    assert "holds '../c.jpg', which points outside" in large.refused("synth90k", root)


def test_names_and_labels_take_little_room(large, tmp_path):
    """A pickle holds the names once, and no object for an image."""
    count = 20_000
    write_annotations(tmp_path / "annotation_train.txt", ((f"./1/{n:06d}.jpg", 0) for n in range(count)))
    write_annotations(tmp_path / "annotation_test.txt", [("./2/1.jpg", 0)])
    write_lines(tmp_path / "lexicon.txt", ["a"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth90k, "_LOOKED_FOR", 0)
        source = large.opened("synth90k", tmp_path)
    assert source.index.name.dtype.itemsize == 12
    assert len(pickle.dumps(source)) < count * (12 + 8 + 5 + 1)
    assert source.parts[0].path is source.index.name
    assert isinstance(source, columns.Large)
    assert isinstance(source.parts[0].root, Path)
