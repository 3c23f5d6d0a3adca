"""The contracts of data: a visual domain, how its images are read, and a suite of domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


OF_FOLDERS = "folder-"


"""What the names of users' own folders begin with, and no plugin's domain, so that none passes for one."""


AD_HOC = "ad_hoc"
"""The suite of runs on domains that the user chose; no plugin's suite has this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainSpec:
    """The facts of a domain.

    `num_train` and `num_test` are the counts of the whole set (0 where the domain has no such count, as a
    folder of one's own); fewer images are used and recorded as incomplete. `channels` is 1 (grey) or 3.
    `flip` says whether a mirrored image still belongs to its class. `version` changes whenever the same
    images would be read, labelled or split differently. `split_key` stands for the name where the core splits and
    orders images: domains of one key split the same images alike, whatever they are called. Empty, it is the name.
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
        """What the core splits and orders by, beside the images' names."""
        return self.split_key or self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """The list of a source's images, as parallel columns of one length N.

    `name`: (N,) str, unique and the same on every machine (a relative path as `udbench.portable_name` gives it, say);
    the core splits and orders by it, in Unicode's form C. `label`: (N,) int, an index into the class names. `split`:
    (N,) str of "train" or "test", or None when the core is to split 80/20. `group`: (N,) str of what must stay
    together in a validation cut (frames of one track), or None. `missing` says in words what else than images and
    classes is missing to the whole domain, such as the labels of its test images: results are then recorded as
    incomplete. Names and splits of millions of images take a quarter of the memory as UTF-8 bytes (dtype "S"), which
    are read the same.

    `size`: (N,) int, the bytes of each image's file, or None where that is not known without reading it. Where the
    core splits, it compares the content of images of equal size, or of all, so that copies stay on one side.
    `passed_over` counts the files that are no images by their suffix (".heic", or "" without one), and the folders of
    a system by their name with a slash ("@eaDir/"). `notes` say what else was left out, each in a few words. Both are
    printed when the domain is prepared.
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
    """A domain's images where they lie. Picklable, and safe to read in several processes at once.

    A source whose images are files of their own may also have `file_of(i)`: the path of the one file that `read(i)`
    depends on, or None. A preparation that was stopped then goes on with all images whose files have not changed since;
    without it, only where no file of the domain has.
    """

    @property
    def index(self) -> Index:
        """The list of all images."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """One name for each label, in order."""
        ...

    def read(self, i: int) -> bytes | NDArray[np.uint8]:
        """Image `i` of the index: an encoded file's bytes, or (H, W) or (H, W, 3) uint8."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A way to fetch a domain's images.

    `origin` says from where, to a person. `size` is what is fetched, in bytes. `fetch(folder, tell)` brings the
    images into the domain's own folder, in a layout that it reads, and calls `tell(done, total)` with bytes as it
    goes on. Called again after an interruption it goes on where it stopped; it raises DataError for a checksum that
    is wrong and UdbenchError where there is no network, and the folder then holds nothing that passes for images.
    """

    origin: str
    size: int
    fetch: Callable[[Path, Callable[[int, int], None]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """A domain: its facts, and the way from a folder to its images.

    `open(root)` gets the domain's own folder and returns a Source; it raises DataError, naming what is missing,
    when the folder does not hold the domain. An `embedded` domain needs no folder: it makes its images, and
    `root` is then a folder that does not matter. `instructions` tells a person how to get the images, and how the
    folder should look. `root` is set where a domain lies in a folder of its own, whatever the data folder is. `folder`
    is the name of its folder in the data folder where that is not the domain's own name: several domains may share one,
    and each then says by `is_present(folder)`, without reading an image, whether its own are there.
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
    """Domains that are trained and scored together, by name and in order.

    `recipe` and `score` are the names of the suite's usual ones. Results of different `version`s are never
    ranked together.
    """

    name: str
    domains: tuple[str, ...]
    recipe: str
    score: str = "mean-error"
    version: str = "1"
    summary: str = ""
