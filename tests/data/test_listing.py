from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from udbench.data.form import StoreFormat
from udbench.data.listing import list_images
from udbench.data.prepare import prepare
from udbench.data.store import StoreRequest
from udbench.errors import DataError
from udbench.plugin.contracts_data import Domain, DomainSpec, Index, Source


@dataclass
class Listed:
    """A source that is nothing but an index."""

    index: Index
    class_names: tuple[str, ...] = ("a", "b")

    def read(self, i: int) -> np.ndarray:
        return np.full((4, 4), i, np.uint8)


def listed(names: list[str], labels: list[int], **columns: object) -> Domain:
    class_names = columns.pop("class_names", ("a", "b"))
    index = Index(name=np.array(names), label=np.array(labels), **columns)
    spec = DomainSpec(
        name="odd",
        num_classes=2,
        num_train=0,
        num_test=0,
        channels=1,
        flip=False,
        content="",
        licence="",
        homepage="",
        citation="",
    )
    return Domain(spec=spec, open=lambda root: Listed(index, class_names))


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (listed(["x"], [0]), "1 image;"),
        (listed([], []), "0 images"),
        (listed(list("vwxyz"), [1] * 5), r"one class only \(b\)"),
        (listed(list("vwxyz"), [0, 1, 2, 0, 1]), "labels from 0 to 2 for 2 classes"),
        (listed(list("vwxyz"), [0, 1, 2, 0, 1], class_names=("a", "b", "c")), "3 classes; the domain has 2"),
        (listed(list("vwxyv"), [0, 1, 0, 0, 1]), "'v' occurs twice"),
        (listed(list("vw"), [0, 1]), "no test images"),
        (listed(list("vw"), [0, 1], split=np.array(["test", "test"])), "no training images"),
        (listed(list("vw"), [0, 1], split=np.array(["train", "dev"])), "'dev'"),
        (listed(list("vw"), [0, 1], group=np.array(["g"])), "2 names and 1 values of group"),
    ],
)
def test_sources_that_cannot_be_used_are_refused_in_one_sentence(domain: Domain, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        prepare([StoreRequest(domain=domain, root=tmp_path, form=StoreFormat(height=4, width=4))], workers=1)


def test_a_folder_that_may_not_be_read_is_not_taken_for_one_that_may_not_be_written(tmp_path: Path) -> None:
    def refuse(root: Path) -> Source:
        raise PermissionError(13, "Permission denied", str(root / "b"))

    domain = replace(listed(list("vw"), [0, 1]), open=refuse)
    with pytest.raises(DataError, match=r"'odd': .*/b cannot be read: Permission denied"):
        prepare([StoreRequest(domain=domain, root=tmp_path, form=StoreFormat(height=4, width=4))], workers=1)


def test_a_listing_has_training_rows_first_each_split_by_name() -> None:
    split = np.array(["test", "train", "test", "train", "train"])
    domain = listed(list("vwxyz")[::-1], [0, 1, 1, 0, 1], split=split, group=np.array(list("kmmll")))
    listing = list_images(domain.open(Path()), domain.spec, Path())
    assert listing.names.tolist() == ["v", "w", "y", "x", "z"] and listing.num_train == 3
    assert listing.labels.tolist() == [1, 0, 1, 1, 0] and listing.rows.tolist() == [4, 3, 1, 2, 0]
    assert listing.groups is not None and listing.groups.tolist() == [1, 1, 2, 2, 0]
