"""A run's folder: one writer at a time, and a place that cannot be written to is told in a sentence."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import filelock
import pytest

from support.runs import job_of
from udbench.errors import DataError
from udbench.files import DiskFullError
from udbench.runs.folder import find_run, lock_folder, new_folder, read_config, write_config


def test_whoever_comes_behind_the_first_alone_has_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = filelock.BaseFileLock.release
    with ExitStack() as second:
        begun: list[Path] = []

        def then_the_second(lock: Any, *args: Any, **more: Any) -> None:
            release(lock, *args, **more)
            if not begun:
                begun.append(tmp_path / "run")
                second.enter_context(lock_folder(tmp_path / "run", resume=True))

        monkeypatch.setattr(filelock.BaseFileLock, "release", then_the_second)
        with lock_folder(tmp_path / "run", resume=False):
            pass
        assert begun
        with pytest.raises(DataError, match="another run is writing to"), lock_folder(tmp_path / "run", resume=True):
            raise AssertionError("two write to one folder")


def test_what_killed_processes_left_does_not_hold_up_the_next(tmp_path: Path) -> None:
    (tmp_path / "run" / ".export-abc.part").mkdir(parents=True)
    (tmp_path / "run" / ".export-abc.part" / "weights.safetensors").write_text("half")
    (tmp_path / "run" / ".result.json-abc.part").write_text("half")
    with lock_folder(tmp_path / "run", resume=True) as held:
        left = {path.name for path in held.path.iterdir()}
    assert left == {".lock", ".export-abc.part"}, "the folder may be that of an export that goes on"


def refused(folder: Path, *, resume: bool = True) -> str:
    with pytest.raises(DataError) as caught, lock_folder(folder, resume=resume):
        raise AssertionError("it can be written to")
    said = str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in said
    return said


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "file exists already" in refused(tmp_path / "file")
    said = refused(tmp_path / "file" / "runs" / "one")
    assert said.startswith(f"a run cannot write to {tmp_path / 'file' / 'runs' / 'one'}: Not a directory")
    assert "another folder with --out" in said
    assert new_folder(tmp_path / "file").parent == tmp_path / "file", "which writing there then tells"


def test_a_lock_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    assert "a run cannot write to" in refused(tmp_path / "run")
    assert (tmp_path / "run" / ".lock").is_dir()


@pytest.mark.parametrize(
    ("what", "method"),
    [(Path, "mkdir"), (Path, "iterdir"), (Path, "exists"), (Path, "unlink"), (filelock.FileLock, "_acquire")],
    ids=lambda what: what if isinstance(what, str) else what.__name__,
)
@pytest.mark.parametrize(("number", "words"), [(errno.EACCES, "Permission denied"), (errno.EROFS, "Read-only")])
def test_a_folder_of_somebody_else_or_one_to_read_only_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Any, method: str, number: int, words: str
) -> None:
    """As root may write anywhere, the system's refusals are made."""
    (tmp_path / "run").mkdir()
    if method == "unlink":
        (tmp_path / "run" / ".config.toml-abc.part").write_text("half")

    def refuse(self: Any, *args: Any, **more: Any) -> Any:
        raise OSError(number, {errno.EACCES: "Permission denied", errno.EROFS: "Read-only file system"}[number])

    monkeypatch.setattr(what, method, refuse)
    said = refused(tmp_path / "run", resume=method != "iterdir")
    assert f"a run cannot write to {tmp_path / 'run'}: {words}" in said and "--out" in said
    if method == "exists":
        with pytest.raises(DataError, match=f"{words}.*--out"):
            new_folder(tmp_path)


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, *args: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(filelock.FileLock, "_acquire", full)
    with pytest.raises(DiskFullError, match="the disk is full"), lock_folder(tmp_path / "run", resume=False):
        raise AssertionError("there is no room")


def test_a_run_that_cannot_be_read_is_passed_over_when_one_is_looked_for(
    registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job_of(registry).config
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        write_config(tmp_path / name, name, config)
    read = Path.read_text

    def reading(path: Path, *args: Any, **more: Any) -> str:
        if path.parent.name == "theirs":
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path, *args, **more)

    monkeypatch.setattr(Path, "read_text", reading)
    assert find_run(tmp_path, config) == tmp_path / "mine"
    with pytest.raises(DataError, match=r"config.toml: cannot be read: Permission denied"):
        read_config(tmp_path / "theirs")
