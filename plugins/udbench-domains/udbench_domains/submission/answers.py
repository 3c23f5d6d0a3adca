"""A run's predictions for the test images of the Visual Decathlon, in the format of its server.

The format is that of the makers' code (srebuffi/residual_adapters, utils_pytorch.py): a JSON list with
{"image_id": number, "category_id": number} for each image, by the numbers of the annotations.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from udbench import DataError, SettingError
from udbench_domains.visual_decathlon import DECATHLON, FOLDER, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from udbench_domains.readers.decathlon import TestImages

TEN = tuple(domain.spec.name for domain in DECATHLON)

Answers = Sequence[Mapping[str, int]]


class Classifier(Protocol):
    """What of a trained run is asked here: udbench.LoadedRun."""

    @property
    def domains(self) -> tuple[str, ...]: ...

    def class_names(self, domain: str) -> tuple[str, ...]: ...

    def predict_proba(self, images: Iterable[tuple[str, bytes]], domain: str) -> NDArray[np.floating]: ...


def available_domains(domains: Sequence[str], *, partial: bool) -> tuple[str, ...]:
    """Those of the ten domains, in their order, that a run of these domains can classify.

    SettingError: none of them, or (unless `partial`) not all.
    """
    available = tuple(name for name in TEN if name in domains)
    if not available:
        raise SettingError(
            f"this run has none of the Visual Decathlon's domains; it has {', '.join(domains)} (udbench run --suite "
            f"{FOLDER} trains on them)"
        )
    lacking = [name for name in TEN if name not in available]
    if lacking and not partial:
        raise SettingError(
            f"this run lacks {', '.join(lacking)} of the ten domains of a submission; train on all ten, or write the "
            "available ones with --partial"
        )
    return available


def answers(
    run: Classifier, data: Path, names: Sequence[str], progress: Callable[[str, int], None] = lambda *_: None
) -> Answers:
    """The run's predictions for all test images of these domains, by increasing number within each.

    `data` is the folder that holds `visual-decathlon/`. `progress(domain, images)` is called after each domain.
    DataError: the images or their list are missing, or their classes are not those of the run.
    """
    from udbench_domains.readers.decathlon import open_test

    root = data / FOLDER
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; the test images and their annotations belong there")
    found: dict[int, int] = {}
    for name in names:
        test = open_test(name_of(name), name, root)
        predictions = _answers_of(run, name, test)
        if twice := predictions.keys() & found.keys():
            raise DataError(
                f"{name}: its image {min(twice)} has the number of one of another domain; get the devkit again"
            )
        found |= predictions
        progress(name, len(predictions))
    return [{"image_id": image, "category_id": category} for image, category in found.items()]


def _answers_of(run: Classifier, name: str, test: TestImages) -> dict[int, int]:
    if run.class_names(name) != tuple(test.class_names):
        raise DataError(
            f"{name}: the classes that this run was trained on are not those of {FOLDER}/annotations; name the folder "
            "of images that it was trained on"
        )
    # Shuffled: an adapter that uses batch statistics must not get the images class by class.
    order = sorted(range(len(test.names)), key=lambda i: hashlib.sha256(os.fsencode(test.names[i])).digest())
    probabilities = run.predict_proba(((test.names[i], test.places.read(i)) for i in order), name)
    labels = probabilities[:, : len(test.class_names)].argmax(axis=1).tolist()
    return dict(sorted((test.image_ids[i], test.category_ids[label]) for i, label in zip(order, labels, strict=True)))
