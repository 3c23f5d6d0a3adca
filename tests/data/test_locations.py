from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from udbench.data.folders import folder_domain
from udbench.data.locations import cache_root, data_root, domain_root
from udbench.errors import DataError
from udbench.plugin.contracts_data import Domain


@pytest.fixture
def domain(images: Path) -> Domain:
    """A domain `folder-some-images` that has to be looked for in the data folder."""
    return replace(folder_domain(images), root=None, instructions="draw them")


def test_the_named_folder_comes_before_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("named", "env"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("UDBENCH_DATA", raising=False)
    assert data_root(None) is None
    monkeypatch.setenv("UDBENCH_DATA", str(tmp_path / "env"))
    assert data_root(None) == tmp_path / "env" and data_root(tmp_path / "named") == tmp_path / "named"


def test_a_named_folder_that_is_not_there_is_an_error_however_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("UDBENCH_DATA", raising=False)
    with pytest.raises(DataError, match=r"--data .*nowhere: does not exist"):
        data_root(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"--data .*file: is not a folder"):
        data_root(tmp_path / "file")
    monkeypatch.setenv("UDBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"\$UDBENCH_DATA .*nowhere: does not exist"):
        data_root(None)


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("UDBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "udbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "udbench"


def test_a_domain_lies_in_a_folder_of_its_name_or_in_its_own(domain: Domain, images: Path, tmp_path: Path) -> None:
    assert domain_root(domain, None) is None and domain_root(domain, tmp_path) is None
    (tmp_path / "folder-some-images").mkdir()
    assert domain_root(domain, tmp_path) is None, "an empty folder holds no images"
    (tmp_path / "folder-some-images" / "cat").mkdir()
    assert domain_root(domain, tmp_path) == tmp_path / "folder-some-images"
    assert domain_root(replace(domain, root=images), tmp_path) == images
    assert domain_root(replace(domain, embedded=True), None) == cache_root()
