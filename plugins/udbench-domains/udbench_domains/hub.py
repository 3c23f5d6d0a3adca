"""Convert data sets of the Hugging Face Hub to class folders.

The source is recorded: `source.json` beside the images contains the repository, the commit and the sha256 of every
data file. If a domain's `revision` is None, the first download takes the repository's current commit; a resumed
download uses the recorded one, and refuses data files that have changed. To pin a domain in code, set its `revision`
to a commit.
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
    """A parquet file of a repository, with its expected size and hash."""

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
    """Download a repository's parquet files and write their images as `<class>/<id>.png` (or `.jpg`) into a folder.

    The images' bytes are unchanged. Raises DataError for files that differ from what the Hub states, columns other
    than `image` and `label`, or a class that the domain does not have; UnreachableError if there is no network.
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

    An image keeps its file name if all images have one; otherwise it is named by its row. A duplicate within a class,
    byte for byte, is written once, since one copy could be trained on and the other scored. Raises DataError, and
    leaves nothing, for other columns, a class that is not `known`, and images that are neither PNG nor JPEG.
    """
    from datasets import Image

    classes = _classes(domain, dataset, known)
    labels = [classes(label) for label in dataset.data.column("label").to_pylist()]
    if strange := sorted({str(label) for label in labels} - set(known)):
        raise DataError(f"{domain}: the data set has classes that the domain does not have: {_few(strange)}")
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
    except Exception as error:  # each version of the client raises other errors if there is no network
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
    """The address of a data file."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(snapshot.repository, file.name, repo_type="dataset", revision=snapshot.revision)


def _recorded(folder: Path, repository: str, revision: str | None) -> Snapshot | None:
    """The snapshot of an earlier attempt; None if there is none, or if it is of another repository or revision."""
    try:
        facts = json.loads((folder / SOURCE).read_text())
        files = tuple(DataFile(**file) for file in facts["files"])
        snapshot = Snapshot(repository=facts["repository"], revision=facts["revision"], files=files)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / SOURCE}: is damaged; delete {folder}, and it will be downloaded again") from error
    wanted = snapshot.repository == repository and revision in (None, snapshot.revision)
    return snapshot if wanted else None


def _record(folder: Path, facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{SOURCE}"
    part.write_text(json.dumps(facts, indent=1, allow_nan=False))
    part.replace(folder / SOURCE)


def _opened(paths: Sequence[Path], cache: Path, repository: str) -> Dataset:
    """Load the rows of all parquet files, without the library's progress bars."""
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
    """A function from a row's label to its class; all classes of the data set must be `known`."""
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
        raise DataError(f"{domain}: the data set has classes that the domain does not have: {_few(strange)}")
    names = label.names
    return lambda number: names[number] if number is not None and 0 <= number < len(names) else f"number {number}"


def _names(dataset: Dataset, labels: Sequence[str]) -> list[str]:
    """A file name without suffix for each row: that of the image, or the row number."""
    paths = [path for chunk in dataset.data.column("image").chunks for path in chunk.field("path").to_pylist()]
    stems = [Path(path or "").name.rpartition(".")[0] for path in paths]
    usable = all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", name) for name in stems)
    if usable and max(Counter(zip(labels, stems, strict=True)).values(), default=1) == 1:
        return stems
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
