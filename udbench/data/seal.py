"""The last steps of building a store, common to all formats."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from udbench.data.census import take_census
from udbench.data.listing import Listing, check_usable
from udbench.data.split import text
from udbench.data.store import FORMAT, StoreRequest, made_of
from udbench.errors import DataError
from udbench.files import sync_folder
from udbench.plugin.contracts_data import Source


def without_damaged(listing: Listing, damaged: Mapping[int, str], want: StoreRequest) -> Listing:
    """Return the listing without damaged images. Raises DataError, naming them, unless they may be skipped."""
    if not damaged:
        return listing
    if not want.skip_damaged:
        raise DataError(_named(damaged, listing, want))
    kept = listing.without(sorted(damaged))
    check_usable(kept, f"'{want.domain.spec.name}' in {want.root}, without its {len(damaged)} damaged images,")
    return kept


def store_facts(
    source: Source, listing: Listing, want: StoreRequest, damaged: Mapping[int, str], marks: Sequence[int]
) -> dict[str, Any]:
    """The content of store.json that all formats share. `marks` are the pixel checksums of the kept images."""
    spec = want.domain.spec
    return {
        "format": FORMAT,
        "spec": asdict(spec),
        "class_names": [str(name) for name in source.class_names],
        "form": asdict(want.form),
        "num_train": listing.num_train,
        "num_test": len(listing.labels) - listing.num_train,
        "lacks": listing.missing(spec),
        "census": asdict(take_census(listing, source.index, np.array(marks, dtype=np.uint64))),
        "damaged": [f"{listing.dropped[row]}: {reason}" for row, reason in sorted(damaged.items())],
        "source": "embedded" if want.domain.embedded else str(want.root),
        "made_of": made_of(want),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def columns(listing: Listing) -> dict[str, NDArray[Any]]:
    """The per-image arrays that a store keeps beside the pixels, by file name."""
    arrays = {"labels.npy": listing.labels, "names.npy": listing.names, "groups.npy": listing.groups}
    return {file: array for file, array in arrays.items() if array is not None}


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array."""
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def seal(partial: Path, final: Path, leftovers: Iterable[Path]) -> None:
    """Remove temporary files and rename the folder to its final name: from then on the store exists."""
    for leftover in [*leftovers, *partial.glob(".*.part")]:
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
    sync_folder(partial)
    partial.rename(final)
    sync_folder(final.parent)


def _named(damaged: Mapping[int, str], listing: Listing, want: StoreRequest) -> str:
    listed = "; ".join(f"{text(listing.names[row])}: {reason}" for row, reason in sorted(damaged.items())[:10])
    more = f"; and {len(damaged) - 10} more" if len(damaged) > 10 else ""
    return (
        f"'{want.domain.spec.name}' has {len(damaged)} damaged image{'s' if len(damaged) > 1 else ''} in {want.root}: "
        f"{listed}{more}. Repair or remove them, or skip them with --skip-damaged"
    )
