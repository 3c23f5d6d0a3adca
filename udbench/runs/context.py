"""What all parts of a run need: its id, job, images, folder, callback and processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from udbench.data.store import Store
from udbench.plugin.contracts_run import Callback
from udbench.runs.folder import FolderLock, write_config
from udbench.runs.inference import write_domains
from udbench.runs.job import Job
from udbench.train.parallel.comm import Comm


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """One run as one of its processes sees it. `lock` is the folder's, which the first process alone has."""

    id: str
    job: Job
    stores: Sequence[Store]
    folder: Path
    callback: Callback
    comm: Comm
    lock: FolderLock | None

    @property
    def num_classes(self) -> dict[str, int]:
        """The number of classes of each domain."""
        return {store.name: store.spec.num_classes for store in self.stores}

    @property
    def image_hashes(self) -> dict[str, str]:
        """The sha256 of each domain's store."""
        return {store.name: store.sha256 for store in self.stores}

    def write_setup(self) -> None:
        """Write what a run's folder holds from its start: config.toml and domains.json."""
        write_config(self.folder, self.id, self.job.config)
        write_domains(self.folder, self.stores, self.job.folders)

    def restore_folder(self) -> None:
        """Make the folder again, with its setup, where somebody removed it during the run."""
        if self.lock is not None and self.lock.restore():
            self.write_setup()

    def check_stores(self) -> None:
        """Raises DataError where a store's files were changed during the run."""
        for store in self.stores:
            store.check_unchanged()
