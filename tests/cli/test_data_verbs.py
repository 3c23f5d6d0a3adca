"""`udbench data` on a small folder of class folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]
SMALL = ("--recipe", "short", "--set", "image_size=16", "--workers", "1")


@pytest.fixture
def shells(tmp_path: Path) -> str:
    write_class_folders(tmp_path / "shells", {"cone": 10, "spiral": 10})
    return f"folder:{tmp_path / 'shells'}"


def test_a_domain_is_found_then_prepared_then_ready(cli: Call, shells: str) -> None:
    sized = ("--domains", shells, "--set", "image_size=16")
    (before,) = cli("data", "status", *sized, "--json").json
    assert (before["name"], before["state"]) == ("folder-shells", "found")
    said = cli("data", "prepare", "--domains", shells, *SMALL, "--json")
    (store,) = said.json
    assert (store["num_train"], store["num_test"], store["height"], store["damaged"]) == (16, 4, 16, [])
    assert "prepared folder-shells: 20 images in" in said.err, "progress goes to standard error"
    (after,) = cli("data", "status", *sized, "--json").json
    assert (after["state"], after["path"]) == ("ready", store["path"])
    again = cli("data", "prepare", "--domains", shells, *SMALL)
    assert again.code == 0 and again.err == "" and "folder-shells" in again.out


def test_verify_names_what_is_not_as_it_was_made(cli: Call, shells: str) -> None:
    verify = ("data", "verify", "--domains", shells, "--set", "image_size=16")
    assert cli(*verify).out == "folder-shells: not prepared\n"
    (store,) = cli("data", "prepare", "--domains", shells, *SMALL, "--json").json
    assert cli(*verify).out == "folder-shells: whole\n"
    images = Path(store["path"]) / "images.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    said = cli(*verify, "--json")
    assert said.code == 2 and not said.json[0]["ok"] and "images" in said.json[0]["problems"][0]
    assert "folder-shells" in said.err


def test_a_sheet_is_drawn(cli: Call, shells: str) -> None:
    said = cli("data", "sheet", "--domains", shells, "--out", "pictures", *SMALL)
    assert said.out == "pictures/folder-shells.png\n"
    with Image.open("pictures/folder-shells.png") as sheet:
        assert sheet.width > 32 and sheet.height > 16


def test_damaged_images_are_an_error_unless_left_out(cli: Call, shells: str) -> None:
    (Path("shells") / "cone" / "003.png").write_bytes(b"no image")
    said = cli("data", "prepare", "--domains", shells, *SMALL)
    assert said.code == 2 and "003.png" in said.err and "--skip-damaged" in said.err
    (store,) = cli("data", "prepare", "--domains", shells, *SMALL, "--skip-damaged", "--json").json
    assert store["num_train"] + store["num_test"] == 19 and len(store["damaged"]) == 1


def test_what_is_missing_is_named_with_the_way_to_get_it(cli: Call, shells: str) -> None:
    rows = cli("data", "status", "universal-ten", "--json").json
    assert (
        len(rows) == 10 and {row["state"] for row in rows} == {"missing"} and all(row["instructions"] for row in rows)
    )
    assert "How to get what is missing" in cli("data", "status", "universal-ten").out
    said = cli("data", "prepare", "--domains", f"mnist,gtsrb,{shells}", *SMALL)
    assert said.code == 2 and "no images of mnist, gtsrb" in said.err and "$UDBENCH_DATA" in said.err
    assert "--available" in said.err
    said = cli("data", "prepare", "--domains", f"mnist,{shells}", *SMALL, "--available")
    assert said.code == 0 and "left out, images not here: mnist" in said.err
    assert cli("data", "prepare", "--domains", "mnist", *SMALL, "--available").code == 2


def test_a_named_data_folder_that_is_not_there_is_an_error(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--data nowhere: does not exist" in cli("data", "status", "--data", "nowhere").err
    monkeypatch.setenv("UDBENCH_DATA", "nowhere")
    said = cli("data", "status")
    assert said.code == 2 and "$UDBENCH_DATA nowhere: does not exist" in said.err


def test_the_default_suite_needs_no_folder(cli: Call) -> None:
    rows = cli("data", "status", "--json").json
    assert len(rows) == 10 and {row["state"] for row in rows} == {"embedded"}
