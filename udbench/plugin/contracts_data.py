"""The contracts for data: a visual domain, the source of its images, and a suite of domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


OF_FOLDERS = "folder-"
"""The prefix of domains that are made of a user's folder. No plugin's domain may have it."""


AD_HOC = "ad_hoc"
"""The suite of runs on domains that the user chose; no plugin's suite has this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainSpec:
    """The metadata of a domain.

    `num_train` and `num_test` are the numbers of images of the complete data set, or 0 where they are not known in
    advance (a user's folder). A data set with fewer images is used and recorded as incomplete. `channels` is 1 (grey)
    or 3. `flip` is True where a mirrored image keeps its class. `version` must change whenever the same images would be
    read, labelled or split differently. `split_key` replaces the name in the random split and order of images, so that
    domains with the same key split the same images alike. If empty, the name is used.
    """

    name: str
    num_classes: int
    num_train: int
    num_test: int
    channels: int
    flip: bool
    content: str
    licence: str
    homepage: str
    citation: str
    version: str = "1"
    split_key: str = ""

    @property
    def splits_as(self) -> str:
        """The key of the random split and order: `split_key`, or the name."""
        return self.split_key or self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """The list of a source's images, as parallel columns of the same length N.

    `name`: (N,) str, unique and the same on every machine, such as a relative path from `udbench.portable_name`. The
    core splits and orders by it, in Unicode's normal form C. `label`: (N,) int, an index into the class names. `split`:
    (N,) str, "train" or "test"; None lets the core split 80/20. `group`: (N,) str, or None; images of one group (frames
    of one track) stay together in a validation split. `missing` describes what is missing besides images and classes,
    such as the labels of test images; results are then recorded as incomplete. Names and splits may also be UTF-8 bytes
    (dtype "S"), which take a quarter of the memory.

    `size`: (N,) int, the bytes of each image's file, or None where they are not known without reading it. Where the
    core splits, it compares the content of images of equal size (of all images without `size`), so that duplicates stay
    in one split. `passed_over` counts skipped files that are not images, by suffix (".heic", or "" without one), and
    skipped system folders, by name with a slash ("@eaDir/"). `notes` describe what else was left out. Both are printed
    when the domain is prepared.
    """

    name: NDArray[np.str_ | np.bytes_]
    label: NDArray[np.int64]
    split: NDArray[np.str_ | np.bytes_] | None = None
    group: NDArray[np.str_] | None = None
    missing: str = ""
    size: NDArray[np.int64] | None = None
    passed_over: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """The images of a domain. Picklable, and safe to read from several processes at once.

    A source may also have `file_of(i)`: the path of the one file that `read(i)` depends on, or None. An interrupted
    preparation then resumes with all images whose files did not change. Without it, it resumes only if no file of the
    domain changed.
    """

    @property
    def index(self) -> Index:
        """The list of all images."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """The class names, in the order of the labels."""
        ...

    def read(self, i: int) -> bytes | NDArray[np.uint8]:
        """Read image `i` of the index: the bytes of an encoded file, or an array (H, W) or (H, W, 3) uint8."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A download of a domain's images.

    `origin` names the source for the user. `size` is the download's size in bytes. `fetch(folder, on_progress)`
    downloads the images into the domain's folder, in a layout that the domain reads, and calls `on_progress(done,
    total)` in bytes. A second call resumes an interrupted download. It raises DataError for a wrong checksum and
    UdbenchError without a network; the folder then holds nothing that could be taken for images.
    """

    origin: str
    size: int
    fetch: Callable[[Path, Callable[[int, int], None]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A visual domain: its metadata, and a function that opens its images.

    `open(root)` gets the domain's folder and returns a Source. It raises DataError, naming what is missing, when the
    folder does not hold the domain. An `embedded` domain generates its images and ignores `root`. `instructions` tell
    the user how to get the images and how the folder must look. `download` fetches them. `example(folder)` writes a
    small folder in the domain's layout, for tests. `root` is a fixed folder, used instead of one in the data folder.
    `folder` is the name of the domain's folder in the data folder, if it is not the domain's name. Several domains may
    share a folder; `is_present(folder)` then says whether the domain's images are in it, without reading one.
    """

    spec: DomainSpec
    open: Callable[[Path], Source]
    embedded: bool = False
    instructions: str = ""
    root: Path | None = None
    download: Download | None = None
    example: Callable[[Path], None] | None = None
    folder: str = ""
    is_present: Callable[[Path], bool] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """An ordered set of domains that are trained and scored together, by name.

    `recipe` and `score` are the names of its default recipe and score. Results of different `version`s are never ranked
    together.
    """

    name: str
    domains: tuple[str, ...]
    recipe: str
    score: str = "mean-error"
    version: str = "1"
    summary: str = ""
