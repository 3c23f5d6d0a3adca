"""Where a domain stands: prepared, ready, downloadable or manual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from udbench.data.folders import folder_domain
from udbench.data.form import StoreFormat
from udbench.data.prepare import prepare
from udbench.data.status import status
from udbench.data.store import StoreRequest
from udbench.plugin.contracts_data import Domain, Download

FORM = StoreFormat(height=6, width=8)


@pytest.fixture
def domain(images: Path) -> Domain:
    """A domain `folder-some-images` that has to be looked for in the data folder."""
    return replace(folder_domain(images), root=None, instructions="draw them")


def never(_folder: Path, _tell: object) -> None:
    raise AssertionError("a status fetches nothing")


def test_a_domain_is_manual_then_ready_then_prepared(domain: Domain, images: Path, tmp_path: Path) -> None:
    manual = status(domain, tmp_path, FORM)
    assert (manual.state, manual.path, manual.instructions, manual.here) == ("manual", None, "draw them", False)
    images.rename(tmp_path / "folder-some-images")
    ready = status(domain, tmp_path, FORM)
    assert (ready.state, ready.path, ready.here) == ("ready", tmp_path / "folder-some-images", True)
    assert ready.path is not None
    (store,) = prepare([StoreRequest(domain=domain, root=ready.path, form=FORM)], workers=1)
    prepared = status(domain, tmp_path, FORM)
    assert (prepared.state, prepared.path, prepared.here) == ("prepared", store.path, True) and prepared.store
    assert status(domain, tmp_path, StoreFormat(height=8, width=8)).state == "ready"


@pytest.mark.parametrize("unfinished", [False, True])
def test_a_domain_with_a_download_is_downloadable_until_its_folder_is_there(
    domain: Domain, tmp_path: Path, cache: Path, unfinished: bool
) -> None:
    loads = replace(domain, download=Download(origin="a shelf", size=5, fetch=never))
    if unfinished:
        (tmp_path / "folder-some-images.partial" / "cat").mkdir(parents=True)
        (tmp_path / "folder-some-images").mkdir()
    found = status(loads, tmp_path, FORM)
    assert (found.state, found.download, found.instructions) == ("downloadable", loads.download, "draw them")
    assert not found.here
    (cache / "images" / "folder-some-images" / "cat").mkdir(parents=True)
    assert status(loads, tmp_path, FORM).state == status(loads, None, FORM).state == "ready"


def test_instructions_name_the_homepage_and_are_never_empty(domain: Domain) -> None:
    known = replace(domain, spec=replace(domain.spec, homepage="https://example.org"))
    assert status(known, None, FORM).instructions == "draw them Homepage: https://example.org"
    assert "folder-some-images" in status(replace(domain, instructions=""), None, FORM).instructions


def test_a_domain_that_makes_its_images_is_ready_without_a_data_folder(domain: Domain) -> None:
    found = status(replace(domain, embedded=True), None, FORM)
    assert (found.state, found.here, found.instructions) == ("ready", True, "")
