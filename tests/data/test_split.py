from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from udbench.data.split import split_index, validation_mask
from udbench.plugin.contracts_data import Index


def index(labels: list[int], names: list[str] | None = None, **columns: np.ndarray) -> Index:
    names = names or [f"{label}/{i:04d}.png" for i, label in enumerate(labels)]
    return Index(name=np.array(names), label=np.array(labels), **columns)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_the_split_is_by_name_whatever_the_order_of_the_rows(labels: list[int], random) -> None:
    whole = index(labels)
    mask = split_index(whole, "d", 6)
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = split_index(Index(name=whole.name[order], label=whole.label[order]), "d", 6)
    assert (mask[order] == shuffled).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80))
def test_each_class_gives_a_fifth_and_a_single_image_is_only_trained_on(labels: list[int]) -> None:
    mask = split_index(index(labels), "d", 6)
    for label in set(labels):
        own = mask[np.array(labels) == label]
        assert own.sum() == min(round(0.2 * len(own)), len(own) - 1)


def test_the_split_is_the_same_on_every_machine_and_version() -> None:
    mask = split_index(index([0] * 50 + [1] * 50), "omniglot", 2)
    assert hashlib.sha256(mask.tobytes()).hexdigest()[:16] == GOLDEN
    assert (split_index(index([0] * 50 + [1] * 50), "sketches", 2) != mask).any()


GOLDEN = "22562b7c2260747e"


def test_omniglots_twenty_images_of_a_character_are_sixteen_and_four() -> None:
    mask = split_index(index([c for c in range(30) for _ in range(20)]), "omniglot", 30)
    assert (mask.reshape(30, 20).sum(1) == 4).all()


def test_a_split_that_the_source_brings_is_kept() -> None:
    given_split = np.array(["train", "test", "test"])
    assert split_index(index([0, 0, 1], split=given_split), "d", 2).tolist() == [False, True, True]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=6, max_size=120))
def test_groups_are_kept_whole_and_no_class_is_lost(rows: list[tuple[int, int]]) -> None:
    labels, tracks = (np.array(column) for column in zip(*rows, strict=True))
    names = np.array([f"{i}" for i in range(len(rows))])
    mask = validation_mask(labels, tracks, names, 0.3, "gtsrb")
    for label in set(labels.tolist()):
        of_class = labels == label
        for track in set(tracks[of_class].tolist()):
            assert len(set(mask[of_class & (tracks == track)].tolist())) == 1
        assert not mask[of_class].all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=80))
def test_groups_of_several_classes_are_kept_whole_too(rows: list[tuple[int, int]]) -> None:
    labels, writers = (np.array(column) for column in zip(*rows, strict=True))
    names = np.array([f"{i}" for i in range(len(rows))])
    mask = validation_mask(labels, writers, names, 0.3, "words")
    for writer in set(writers.tolist()):
        assert len(set(mask[writers == writer].tolist())) == 1
    for label in set(labels.tolist()):
        assert not mask[labels == label].all()
    order = np.random.RandomState(0).permutation(len(rows))
    assert (validation_mask(labels[order], writers[order], names[order], 0.3, "words") == mask[order]).all()


def test_groups_of_several_classes_come_near_the_fraction() -> None:
    labels, writers = np.tile(np.arange(10), 50), np.repeat(np.arange(50), 10)
    mask = validation_mask(labels, writers, np.array([f"{i}" for i in range(500)]), 0.2, "words")
    assert np.bincount(labels[mask]).tolist() == [10] * 10


def test_validation_takes_about_its_fraction_of_each_class_and_not_the_test_rule() -> None:
    labels = np.repeat(np.arange(4), 100)
    names = np.array([f"{i:03d}" for i in range(400)])
    mask = validation_mask(labels, None, names, 0.25, "d")
    assert (mask.reshape(4, 100).sum(1) == 25).all()
    assert (mask != split_index(Index(name=names, label=labels), "d", 4)).any()
