"""Recomputing what an entry says of itself, from its predictions and the labels of the stores on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from udbench.boards.entry import Entry, board_folder
from udbench.boards.imports import Suites, check_suite
from udbench.boards.marks import Mark, now
from udbench.boards.prediction_file import read_capped
from udbench.boards.predictions import Answers, draws_of, read_predictions
from udbench.boards.scoring import score_domain
from udbench.data.store import Store, content_hash, hash_file
from udbench.errors import DataError, UdbenchError, shown
from udbench.results import TOLERANCE, DomainScore, RunResult, parse_result, read_bytes

Compute = Callable[[Mapping[str, float]], float]
Find = Callable[[RunResult, str], Store | str]
"""The store of a result's domain on this machine, or why there is none."""

NEAR_TIE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyContext:
    """What entries are checked with on this machine: its stores, the scores and suites that are installed, and the
    version of udbench."""

    find: Find
    scores: Mapping[str, Compute]
    suites: Suites
    udbench: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What came of checking an entry. `problems`: what is not as the entry says, a sentence each. `missing`: what could
    not be checked here. `faults`: stores of this machine that are damaged, which says nothing of the entry. `notes`:
    what else was seen. `mark`: what may be kept beside the entry, where all of it was checked and is right. `answers`:
    its predictions, where they could be read."""

    path: Path
    result: RunResult | None = None
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mark: Mark | None = None
    answers: Mapping[str, Answers] | None = None


def verify_entry(root: Path, path: Path, here: VerifyContext) -> Finding:
    """Check an entry of the boards below `root`: its hashes, and every score anew.

    Labels are those of the stores, whose own sha256 binds them: an entry, its predictions, the labels or a store that
    was changed is named. What is amiss with a store of this machine is never held against the entry.
    """
    try:
        record = read_bytes(path)
        result = parse_result(record, str(path))
    except DataError as error:
        return Finding(path=path, problems=(str(error),))
    problems = list(_of_record(root, path, result, here.suites))
    if not path.with_suffix(".npz").is_file():
        return Finding(path=path, result=result, problems=tuple(problems), missing=("its predictions are missing",))
    try:
        content = read_capped(path.with_suffix(".npz"))
        answers = read_predictions(content, result, str(path.with_suffix(".npz")))
    except DataError as error:
        return Finding(path=path, result=result, problems=(*problems, str(error)))
    missing: list[str] = []
    faults: list[str] = []
    labels: dict[str, str] = {}
    for name in result.domains:
        store = here.find(result, name)
        if isinstance(store, str):
            missing.append(store)
        elif fault := store_problem(store):
            faults.append(fault)
        elif other := _other_store(result, name, store):
            missing.append(other)
        else:
            problems += _of_store(result, name, store) or _of_domain(result, name, store, answers[name])
        labels[name] = label_hash(answers[name])
    computed, lacking = _of_score(result, here.scores)
    problems += computed
    missing += lacking
    if problems or missing or faults:
        return Finding(
            path=path,
            result=result,
            problems=tuple(problems),
            missing=tuple(missing),
            faults=tuple(faults),
            answers=answers,
        )
    mark = Mark(
        schema=1,
        id=result.id,
        record=hashlib.sha256(record).hexdigest(),
        predictions=hashlib.sha256(content).hexdigest(),
        stores={name: store.sha256 for name, store in result.stores.items()},
        labels=labels,
        verified=now(),
        udbench=here.udbench,
    )
    return Finding(path=path, result=result, mark=mark, answers=answers)


def with_copies(findings: Sequence[Finding], entries: Iterable[Entry]) -> list[Finding]:
    """The findings, with a note where an entry has the very predictions of one of another configuration.

    Two methods may be the same by nature (of one domain, say), so it is for people to judge.
    """
    same: dict[str, list[RunResult]] = {}
    for entry in entries:
        same.setdefault(entry.result.predictions_sha256, []).append(entry.result)

    def noted(finding: Finding) -> Finding:
        of = finding.result
        others = [] if of is None else same.get(of.predictions_sha256, [])
        copies = [other.id for other in others if of is not None and other.config.identity() != of.config.identity()]
        if not copies:
            return finding
        return replace(finding, notes=(*finding.notes, f"has the very predictions of {', '.join(copies)}"))

    return [noted(finding) for finding in findings]


def label_hash(answers: Answers) -> str:
    """The sha256 of a domain's test labels, int32 and little endian."""
    return hashlib.sha256(answers.labels.astype("<i4").tobytes()).hexdigest()


def store_problem(store: Store) -> str:
    """What is wrong with a store's labels, or nothing: whether they are the ones that its sha256 was made of.

    Images are not read again: their recorded hashes and the labels' make up the sha256 that entries name.
    """
    recorded: dict[str, str] = store.facts["files_sha256"]
    if hash_file(store.path / "labels.npy") != recorded.get("labels.npy"):
        return f"{store.path / 'labels.npy'} was changed: its sha256 is not the one that store.json records"
    images = store.shards.tars if store.form.sharded else ("images.npy",)
    if content_hash(recorded, images) != store.sha256:
        return f"{store.path / 'store.json'} was changed: its sha256 is not that of images and labels"
    return ""


def _of_record(root: Path, path: Path, result: RunResult, suites: Suites) -> list[str]:
    """What is amiss in where an entry lies and what it is of."""
    problems: list[str] = []
    if result.id != path.stem:
        problems.append(f"{path}: its id is '{result.id}', not its file's name")
    if result.split != "test":
        problems.append(f"{path}: boards take test scores only, and this was scored on '{result.split}'")
    try:
        if (place := board_folder(root, result)).resolve() != path.parent.resolve():
            problems.append(f"{path}: it belongs into {place}")
        check_suite(result, suites, str(path))
    except DataError as error:
        problems.append(str(error))
    return problems


def _other_store(result: RunResult, name: str, store: Store) -> str:
    """How the store here is another one than the entry's, or nothing: it cannot tell whether the entry is right."""
    said = result.stores[name]
    if store.sha256 != said.sha256:
        return (
            f"'{name}': the store here, {store.path}, holds other images or labels than the entry's (sha256 "
            f"{store.sha256[:12]}…, the entry says {said.sha256[:12]}…)"
        )
    facts = {
        "is of version": (said.version, store.spec.version),
        "left out damaged images:": (said.damaged, len(store.damaged)),
    }
    for what, (theirs, ours) in facts.items():
        if theirs != ours:
            return f"'{name}': the store here, {store.path}, {what} {ours}, and the entry's {theirs}"
    return ""


def _of_store(result: RunResult, name: str, store: Store) -> list[str]:
    said = result.stores[name]
    facts = {
        "num_train": (said.num_train, store.num_train),
        "num_test": (said.num_test, store.num_test),
        "missing": (said.missing, store.missing),
    }
    return [
        f"'{name}': the entry's store has {key} {shown(theirs)}, the store here {shown(ours)}"
        for key, (theirs, ours) in facts.items()
        if theirs != ours
    ]


def _of_domain(result: RunResult, name: str, store: Store, answers: Answers) -> list[str]:
    labels = store.labels[store.num_train :]
    if len(labels) != len(answers.labels):
        return [f"'{name}': predictions of {len(answers.labels)} images, and the store has {len(labels)} test images"]
    if differing := int((labels != answers.labels).sum()):
        return [f"'{name}': {differing} of {len(labels)} labels in the predictions are not the store's"]
    if (highest := int(answers.predicted.max())) >= store.spec.num_classes:
        return [f"'{name}': class {highest} is predicted, and there are {store.spec.num_classes} classes"]
    return _unlikely(name, answers, store.spec.num_classes) or _other_scores(result, name, store, answers)


def _unlikely(name: str, answers: Answers, classes: int) -> list[str]:
    """Images whose predicted class and whose label's probability cannot both be.

    A class that is the most probable of C has at least 1/C; a label that is not has at most a half.
    """
    right = answers.label == answers.predicted
    too_low = right & (answers.log_probability < -np.log(classes) - NEAR_TIE)
    too_high = ~right & (answers.log_probability > np.log(0.5) + NEAR_TIE)
    if not (number := int(too_low.sum() + too_high.sum())):
        return []
    first = int(np.argmax(too_low | too_high))
    probability = float(np.exp(answers.log_probability[first]))
    told = "rightly" if right[first] else "wrongly"
    return [
        f"'{name}': {number} predictions do not go with the probabilities beside them; image {first} is told {told}, "
        f"and its label has a probability of {probability:.3f}"
    ]


def _other_scores(result: RunResult, name: str, store: Store, answers: Answers) -> list[str]:
    (said,) = [score for score in result.scores if score.domain == name]
    draws = draws_of(result)
    made = score_domain(name, answers.label, answers.predicted, store.train_counts, store.complete, draws)
    return [
        f"'{name}': {field} is {shown(getattr(said, field))}, recomputed {shown(getattr(made, field))}"
        for field in DomainScore.model_fields
        if field != "domain" and not _same(getattr(said, field), getattr(made, field))
    ]


def _of_score(result: RunResult, scores: Mapping[str, Compute]) -> tuple[list[str], list[str]]:
    if result.score not in scores:
        return [], [f"the score '{result.score}' is not installed here"]
    try:
        made = float(scores[result.score]({score.domain: score.error for score in result.scores}))
    except UdbenchError as error:
        return [f"the score '{result.score}' cannot be computed of its errors: {error}"], []
    except Exception as error:  # a plugin's formula, which may raise anything
        return [], [f"the score '{result.score}' failed here: {type(error).__name__}: {error}"]
    if _same(result.score_value, made):
        return [], []
    return [f"score_value is {shown(result.score_value)}, recomputed {made}"], []


def _same(said: float | str, made: float | str) -> bool:
    if isinstance(said, str) or isinstance(made, str):
        return said == made
    return abs(said - made) <= TOLERANCE
