"""Small trees of images on disk, for readers to be tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from udbench.data.locations import folder_name
from udbench.errors import UdbenchError
from udbench.plugin.contracts_data import Domain
from udbench.testing.formats import encoded, write_bytes


def write_example(domain: Domain | str, root: Path) -> Path:
    """Write a domain's example, a tiny and valid tree of synthetic images in its original layout; return its folder,
    `root/<name>` or the one below `root` that it shares with others.

    `root` then serves as `--data`. The domain is one of those installed, by its name, or an object of one's own.
    Raises UnknownNameError for a name that no plugin brings, and UdbenchError for a domain without an example and
    for a folder that holds its images, or anything where it is not shared, already.
    """
    if isinstance(domain, str):
        from udbench.plugin.loader import load

        domain = load().get(Domain, domain)
    name = domain.spec.name
    if domain.example is None:
        raise UdbenchError(
            f"'{name}' has no example to write: "
            + (
                "it makes its images itself and needs no folder"
                if domain.embedded
                else "its plugin gives none (udbench.Domain, example=…); put images into class folders instead"
            )
        )
    folder = Path(root) / folder_name(domain)
    folder.mkdir(parents=True, exist_ok=True)
    if domain.is_present(folder) if domain.is_present else any(folder.iterdir()):
        raise UdbenchError(f"{folder} is not empty; an example of '{name}' is written only to a new folder")
    domain.example(folder)
    return folder


def write_class_folders(
    root: Path, layout: Mapping[str, int], *, size: tuple[int, int] = (10, 12), grey: bool = False
) -> Path:
    """Write folders of PNGs: {"train/cat": 5, "test/cat": 2} or {"cat": 7}; return the root.

    Images are noise with a tint of their class's own, the same for the same names. `size` is height and width.
    """
    for folder, number in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        tint = _draws("tint", Path(folder).name).integers(0, 200, size=() if grey else 3)
        for i in range(number):
            noise = _draws("image", folder, i).integers(0, 56, size=size if grey else (*size, 3))
            write_bytes(root / folder / f"{i:03d}.png", encoded((noise + tint).astype(np.uint8)))
    return root


def _draws(*purpose: object) -> np.random.Generator:
    """A stream of its own for each purpose. The training's counted draws do the same, but bring torch with them."""
    text = "\x1f".join(map(str, purpose))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little") >> 1))
