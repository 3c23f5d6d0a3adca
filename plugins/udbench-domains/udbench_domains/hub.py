"""Domains that are kept as a data set on the Hugging Face Hub, turned into class folders.

Which bytes were fetched is recorded: `source.json` beside the images names the repository, the commit and the sha256
of every data file. Where a domain's `revision` is None, the first fetch takes the repository's current commit; a fetch
that goes on after an interruption keeps to the recorded one, and refuses data files that are no longer the same. To
pin a domain in code, set its `revision` to a commit.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from udbench import DataError, UdbenchError, UnreachableError, fetch_file
from udbench_domains.readers import common

if TYPE_CHECKING:
    from datasets import Dataset

SOURCE = "source.json"
FILES, GROWING = ".files", ".growing"
SECONDS = 10

ByteProgress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFile:
    """A parquet file of a repository, and what it has to be."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A repository's data files at one commit."""

    repository: str
    revision: str
    files: tuple[DataFile, ...]


def fetch_from_hub(domain: str, repository: str, revision: str | None, folder: Path, progress: ByteProgress) -> None:
    """Fetch a repository's parquet files and write them as `<class>/<id>.png` (or `.jpg`) into a folder.

    The images' bytes are kept. Raises DataError for files that are not as the Hub states, columns that are not `image`
    and `label`, or a class that the domain has not; UnreachableError where there is no network.
    """
    folder = Path(folder)
    snapshot = _recorded(folder, repository, revision)
    if snapshot is None:
        for leftover in (FILES, GROWING):
            shutil.rmtree(folder / leftover, ignore_errors=True)
        snapshot = current(repository, revision)
        _record(folder, asdict(snapshot))
    total = sum(file.size for file in snapshot.files)
    before, paths = 0, []
    for number, file in enumerate(snapshot.files):
        path = folder / FILES / f"{number:04d}.parquet"
        fetch_file(
            address(snapshot, file),
            path,
            size=file.size,
            sha256=file.sha256,
            progress=lambda done, _, before=before: progress(before + done, total),
        )
        before += file.size
        paths.append(path)
    rows = _opened(paths, folder / FILES / "cache", repository)
    counts = write_class_folders(domain, rows, folder, common.class_list(domain))
    _record(folder, {**asdict(snapshot), **counts})
    shutil.rmtree(folder / FILES)


def write_class_folders(domain: str, dataset: Dataset, folder: Path, known: Sequence[str]) -> dict[str, int]:
    """Write the rows of a data set (`image`, `label`) as class folders, and count them: `images`, `repeated`.

    An image keeps its file's name where all have one, and is else named by its row. One that is there twice in a
    class, byte for byte, is written once: it would be trained on and scored. Raises DataError, and writes nothing that
    stays, for other columns, a class that is not `known`, and what is neither PNG nor JPEG.
    """
    from datasets import Image

    classes = _classes(domain, dataset, known)
    labels = [classes(label) for label in dataset.data.column("label").to_pylist()]
    if strange := sorted({str(label) for label in labels} - set(known)):
        raise DataError(f"{domain}: the data set has classes that the domain has not: {_few(strange)}")
    names = _names(dataset, labels)
    growing = folder / GROWING
    shutil.rmtree(growing, ignore_errors=True)
    written: set[tuple[str, bytes]] = set()
    records = cast("Any", dataset.cast_column("image", Image(decode=False)))
    try:
        for row, record in enumerate(records):
            content = record["image"]["bytes"] or b""
            mark = (labels[row], hashlib.sha256(content).digest())
            if mark in written:
                continue
            written.add(mark)
            path = growing / labels[row] / (names[row] + _suffix(domain, row, content))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for folder_name in common.subfolders(growing):
            shutil.rmtree(folder / folder_name, ignore_errors=True)
            (growing / folder_name).rename(folder / folder_name)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return {"images": len(written), "repeated": len(labels) - len(written)}


def current(repository: str, revision: str | None) -> Snapshot:
    """A repository's parquet files as the Hub states them, at a commit or at the current one."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = HfApi().dataset_info(repository, revision=revision, files_metadata=True, timeout=SECONDS, token=False)
    except HfHubHTTPError as error:
        at = f" at {revision}" if revision else ""
        raise UdbenchError(f"the Hugging Face Hub does not give {repository}{at}: {_first_line(error)}") from error
    except Exception as error:  # each version of the client has another family of errors for a silent network
        raise UnreachableError(
            f"cannot fetch {repository} from huggingface.co: there is no network, or it does not answer "
            f"({_first_line(error)})"
        ) from error
    files = [
        DataFile(name=file.rfilename, size=file.lfs.size, sha256=file.lfs.sha256)
        for file in sorted(info.siblings or [], key=lambda file: file.rfilename)
        if file.rfilename.endswith(".parquet") and file.lfs is not None
    ]
    if not files or not info.sha:
        raise DataError(f"{repository} has no parquet files with a checksum any more; get the images by hand")
    return Snapshot(repository=repository, revision=info.sha, files=tuple(files))


def address(snapshot: Snapshot, file: DataFile) -> str:
    """Where a data file is fetched from."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(snapshot.repository, file.name, repo_type="dataset", revision=snapshot.revision)


def _recorded(folder: Path, repository: str, revision: str | None) -> Snapshot | None:
    """What an earlier attempt began with; None where there is none, or one of something else."""
    try:
        facts = json.loads((folder / SOURCE).read_text())
        files = tuple(DataFile(**file) for file in facts["files"])
        snapshot = Snapshot(repository=facts["repository"], revision=facts["revision"], files=files)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / SOURCE}: is damaged; delete {folder}, it will be fetched anew") from error
    wanted = snapshot.repository == repository and revision in (None, snapshot.revision)
    return snapshot if wanted else None


def _record(folder: Path, facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{SOURCE}"
    part.write_text(json.dumps(facts, indent=1, allow_nan=False))
    part.replace(folder / SOURCE)


def _opened(paths: Sequence[Path], cache: Path, repository: str) -> Dataset:
    """The rows of all parquet files. The library's bars are kept quiet: the caller shows its own."""
    import datasets
    from datasets.exceptions import DatasetsError

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        dataset = datasets.Dataset.from_parquet([str(path) for path in paths], cache_dir=str(cache))
    except (DatasetsError, ValueError) as error:
        raise DataError(f"{repository}: its data files cannot be read: {_first_line(error)}") from error
    finally:
        if shown:
            datasets.enable_progress_bars()
    assert isinstance(dataset, datasets.Dataset)
    return dataset


def _classes(domain: str, dataset: Dataset, known: Sequence[str]) -> Callable[[Any], str]:
    """What turns a row's label into a class; all classes that the data set states have to be known."""
    from datasets import ClassLabel, Image, Value

    image, label = dataset.features.get("image"), dataset.features.get("label")
    if not isinstance(image, Image) or not isinstance(label, ClassLabel | Value):
        raise DataError(
            f"{domain}: expected the columns image (pictures) and label (classes), found "
            + ", ".join(f"{name} ({type(feature).__name__})" for name, feature in dataset.features.items())
        )
    if isinstance(label, Value):
        return str
    if strange := sorted(set(label.names) - set(known)):
        raise DataError(f"{domain}: the data set has classes that the domain has not: {_few(strange)}")
    names = label.names
    return lambda number: names[number] if number is not None and 0 <= number < len(names) else f"number {number}"


def _names(dataset: Dataset, labels: Sequence[str]) -> list[str]:
    """A file name without suffix for each row: the images' own, or their rows'."""
    paths = [path for chunk in dataset.data.column("image").chunks for path in chunk.field("path").to_pylist()]
    own = [Path(path or "").name.rpartition(".")[0] for path in paths]
    usable = all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", name) for name in own)
    if usable and max(Counter(zip(labels, own, strict=True)).values(), default=1) == 1:
        return own
    return [f"{row:06d}" for row in range(len(labels))]


def _suffix(domain: str, row: int, content: bytes) -> str:
    for magic, suffix in ((b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg")):
        if content.startswith(magic):
            return suffix
    raise DataError(f"{domain}: row {row} of the data set is neither a PNG nor a JPEG; get the images by hand")


def _few(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words[:5])) + (f" and {len(words) - 5} more" if len(words) > 5 else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
