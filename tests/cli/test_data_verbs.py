"""`udbench data` on a small folder of class folders."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageOps

import udbench
from support.server import Server, closed_address, serving
from udbench.cli import output
from udbench.data.store import content_hash
from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]
LOADED = ("shore", "cliff", "dune")
SMALL = ("--recipe", "short", "--set", "image_size=16", "--workers", "1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """What can be downloaded: zips of class folders."""
    tree = write_class_folders(tmp_path / "tree", {"crab": 6, "gull": 6})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(tree.rglob("*.png")):
            archive.write(path, path.relative_to(tree).as_posix())
    with serving({name: packed.getvalue() for name in LOADED}) as running:
        yield running


@pytest.fixture
def large(tmp_path: Path, with_plugins: Callable[..., None], server: Server) -> Path:
    """Domains of a plugin, all with a download but `reef`, and a suite of two; the cache is returned."""

    def bring(name: str, folder: Path, tell: Callable[[int, int], None]) -> None:
        content = server.files[f"/{name}"]
        digest = hashlib.sha256(content).hexdigest()
        archive = folder / "all.zip"
        udbench.fetch_file(server.url + name, archive, size=len(content), sha256=digest, progress=tell)
        udbench.unpack(archive, folder / "unpacked", max_bytes=10**6, max_members=100)
        for found in (folder / "unpacked").iterdir():
            found.rename(folder / found.name)
        (folder / "unpacked").rmdir()
        archive.unlink()

    def domain(name: str) -> udbench.Domain:
        spec = udbench.DomainSpec(
            name=name,
            num_classes=2,
            num_train=10,
            num_test=2,
            channels=3,
            flip=True,
            content="animals",
            licence="none",
            homepage=f"https://{name}.example",
            citation="",
        )
        size = len(server.files["/shore"])
        load = udbench.Download(origin="a shelf", size=size, fetch=partial(bring, name))
        return udbench.Domain(
            spec=spec,
            open=udbench.ClassFolders,
            instructions="Walk there." if name in LOADED else "Dive for it.",
            download=load if name in LOADED else None,
        )

    coast = udbench.Suite(name="coast", domains=("reef", "shore"), recipe="short", summary="two")
    with_plugins(
        sea=SimpleNamespace(
            udbench_domains=udbench.hookimpl(lambda: [domain(name) for name in ("reef", *LOADED)]),
            udbench_suites=udbench.hookimpl(lambda: [coast]),
        )
    )
    return tmp_path / "cache"


@pytest.fixture
def shells(tmp_path: Path) -> str:
    write_class_folders(tmp_path / "shells", {"cone": 10, "spiral": 10})
    return f"folder:{tmp_path / 'shells'}"


def test_a_domain_is_ready_then_prepared(cli: Call, shells: str) -> None:
    sized = ("--domains", shells, "--set", "image_size=16")
    (before,) = cli("data", "status", *sized, "--json").json
    assert (before["name"], before["state"]) == ("folder-shells", "ready")
    said = cli("data", "prepare", "--domains", shells, *SMALL, "--json")
    (store,) = said.json
    assert (store["num_train"], store["num_test"], store["form"], store["damaged"]) == (16, 4, "16x16", [])
    assert "prepared folder-shells: 20 images in" in said.err, "progress goes to standard error"
    (after,) = cli("data", "status", *sized, "--json").json
    assert (after["state"], after["path"]) == ("prepared", store["path"])
    census = "folder-shells: 2 classes, 16 training and 4 test images"
    again = cli("data", "prepare", "--domains", shells, *SMALL)
    assert again.code == 0 and again.err == "" and again.out.splitlines()[-1] == census
    assert (store["census"]["classes"], store["census"]["leaked"]) == (2, 0) and census not in said.err


def test_the_census_is_told_when_a_domain_is_first_used_and_not_again(cli: Call, shells: str) -> None:
    sheet = ("data", "sheet", "--domains", shells, "--out", "pictures", *SMALL)
    assert cli(*sheet).err.splitlines()[-1] == "folder-shells: 2 classes, 16 training and 4 test images"
    assert cli(*sheet).err == ""


def test_images_that_were_read_are_not_called_prepared_where_one_is_damaged(cli: Call, shells: str) -> None:
    (Path(shells.removeprefix("folder:")) / "cone" / "bad.png").write_bytes(b"no image")
    said = cli("data", "prepare", "--domains", shells, *SMALL)
    assert said.code == 2 and "prepared" not in said.err and "cone/bad.png" in said.err


def test_folds_are_refused_in_one_sentence(cli: Call, tmp_path: Path) -> None:
    write_class_folders(tmp_path / "folds", {f"fold{i}/{name}": 2 for i in (1, 2) for name in ("cone", "spiral")})
    said = cli("data", "prepare", "--domains", f"folder:{tmp_path / 'folds'}", *SMALL)
    assert said.code == 2 and "look like splits or folds" in said.err and len(said.err.splitlines()) == 1


def test_verify_names_what_is_not_as_it_was_made(cli: Call, shells: str) -> None:
    verify = ("data", "verify", "--domains", shells, "--set", "image_size=16")
    assert cli(*verify).out == "folder-shells: not prepared\n"
    (store,) = cli("data", "prepare", "--domains", shells, *SMALL, "--json").json
    assert cli(*verify).out == "folder-shells: ok\n"
    images = Path(store["path"]) / "images.npy"
    content = bytearray(images.read_bytes())
    content[-1] ^= 1
    images.write_bytes(content)
    said = cli(*verify, "--json")
    assert said.code == 2 and not said.json[0]["ok"] and "images" in said.json[0]["problems"][0]
    assert "folder-shells" in said.err


def test_images_that_changed_since_are_said_and_with_source_which(cli: Call, shells: str) -> None:
    sized = ("--domains", shells, "--set", "image_size=16")
    (store,) = cli("data", "prepare", "--domains", shells, *SMALL, "--json").json
    said = cli("data", "verify", *sized, "--source", "--workers", "1")
    assert (said.code, said.out) == (0, "folder-shells: ok\n") and "compared folder-shells: 20 images in" in said.err
    file = Path("shells") / "cone" / "003.png"
    ImageOps.invert(Image.open(file).convert("RGB")).save(file)
    said = cli("data", "verify", *sized)
    assert said.code == 2 and f"shells changed since {store['path']} was prepared" in said.out
    assert "udbench data prepare" in said.err and "damaged" not in said.err
    said = cli("data", "verify", *sized, "--source", "--workers", "1", "--json")
    (found,) = said.json
    assert said.code == 2 and not found["ok"] and len(found["problems"]) == 2
    assert "1 image different from those in the store: cone/003.png: other pixels" in found["problems"][1]
    (after,) = cli("data", "prepare", "--domains", shells, *SMALL, "--json").json
    assert after["path"] != store["path"] and after["sha256"] != store["sha256"]
    assert cli("data", "verify", *sized).out == "folder-shells: ok\n"
    said = cli("data", "status", *sized)
    assert "Outdated stores" in said.out and f"rm -r {store['path']}" in said.out.replace("\n", " ")
    assert cli("data", "status", *sized, "--json").json[0]["older"] == [store["path"]]


def test_a_store_that_differs_from_images_that_did_not_change_is_found_by_reading_them(cli: Call, shells: str) -> None:
    (made,) = cli("data", "prepare", "--domains", shells, *SMALL, "--json").json
    folder = Path(made["path"])
    facts, content = json.loads((folder / "store.json").read_text()), bytearray((folder / "images.npy").read_bytes())
    content[-1] ^= 1
    (folder / "images.npy").write_bytes(content)
    facts["files_sha256"]["images.npy"] = hashlib.sha256(content).hexdigest()
    (folder / "store.json").write_text(json.dumps({**facts, "sha256": content_hash(facts["files_sha256"])}))
    verify = ("data", "verify", "--domains", shells, "--set", "image_size=16")
    assert cli(*verify).out == "folder-shells: ok\n"
    said = cli(*verify, "--source", "--workers", "1")
    assert said.code == 2 and "1 image different from those in the store" in said.out
    assert "stores that differ from their images: folder-shells; delete their folders" in said.err


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


def test_what_is_not_here_is_named_with_the_way_to_get_it(cli: Call, shells: str, large: Path) -> None:
    rows = cli("data", "status", "--domains", f"reef,shore,{shells}", "--json").json
    assert [row["state"] for row in rows] == ["manual", "downloadable", "ready"]
    assert rows[0]["instructions"] == "Dive for it. Homepage: https://reef.example" and rows[0]["download"] is None
    assert rows[1]["download"]["command"] == "udbench data prepare --domains shore" and rows[1]["download"]["size"] > 0
    assert rows[1]["download"]["origin"] == "a shelf" and rows[2]["instructions"] == ""
    said = cli("data", "sheet", "--domains", f"reef,shore,{shells}", *SMALL)
    assert said.code == 2 and "no images of reef, shore and no data folder is set" in said.err
    assert "$UDBENCH_DATA" in said.err and "reef: Dive for it." in said.err
    size = said.err[said.err.index("downloaded (") :].split(")")[0]
    assert size.endswith(" kB")
    assert f"shore: can be {size}): udbench data prepare --domains shore" in said.err
    assert "--skip-missing" in said.err
    for verb in ("prepare", "sheet"):
        said = cli("data", verb, "--domains", f"reef,shore,{shells}", *SMALL, "--skip-missing")
        assert said.code == 0 and "skipped, images not available: reef, shore" in said.err
    assert cli("data", "prepare", "--domains", "reef", *SMALL, "--skip-missing").code == 2
    assert not (large / "images").exists(), "nothing was downloaded"


def test_status_tells_all_that_has_to_be_done_at_80_columns(
    cli: Call, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PLAIN_WIDTH", 80)
    said = cli("data", "status", "coast")
    assert all(len(line) <= 80 or str(large) in line for line in said.out.splitlines())
    told = " ".join(said.out.split())
    assert "To be obtained manually: reef." in told and "set it with --data DIR or $UDBENCH_DATA" in told
    assert "reef: Dive for it. Homepage: https://reef.example" in told
    assert "To be downloaded: shore," in told and f"in all, into {large / 'images'}" in told
    assert said.out.endswith("udbench data prepare coast --domains shore\n")
    Path("my data").mkdir()
    told = " ".join(cli("data", "status", "coast", "--data", "my data").out.split())
    assert "into the data folder my data" in told and "Folder: my data/reef" in told
    assert told.endswith("udbench data prepare coast --domains shore --data 'my data'")


def test_prepare_downloads_what_can_be_and_only_once(cli: Call, large: Path, server: Server) -> None:
    said = cli("data", "prepare", "--domains", "shore", *SMALL, "--json")
    assert said.code == 0 and [store["name"] for store in said.json] == ["shore"]
    first, second, third = said.err.splitlines()
    assert first.startswith("downloading shore: ") and first.endswith(" kB from a shelf")
    assert second.startswith("downloaded shore: ") and third.startswith("prepared shore: 12 images")
    assert cli("data", "status", "--domains", "shore", *SMALL[2:4], "--json").json[0]["state"] == "prepared"
    assert sorted(each.name for each in (large / "images").iterdir() if each.name[0] != ".") == ["shore"]
    assert cli("data", "prepare", "--domains", "shore", *SMALL).err == "" and len(server.asked) == 1


def test_downloads_go_into_the_data_folder_that_is_named(cli: Call, large: Path) -> None:
    Path("here").mkdir()
    assert cli("data", "prepare", "--domains", "shore", "--data", "here", *SMALL).code == 0
    assert Path("here/shore/crab").is_dir() and not (large / "images").exists()


def test_what_cannot_be_got_is_named_after_the_rest_was_downloaded(cli: Call, large: Path) -> None:
    said = cli("data", "prepare", "coast", *SMALL)
    assert said.code == 2 and "downloaded shore" in said.err and "error: no images of reef" in said.err
    assert cli("data", "prepare", "coast", *SMALL, "--skip-missing").code == 0


@pytest.mark.usefixtures("large")
def test_without_a_network_it_fails_at_once_and_says_what_to_do(cli: Call, shells: str, server: Server) -> None:
    cli("data", "prepare", "--domains", shells, *SMALL)
    server.url = closed_address()
    said = cli("data", "prepare", "--domains", f"reef,shore,cliff,dune,{shells}", *SMALL)
    lines = said.err.splitlines()
    assert said.code == 2 and "Traceback" not in said.err and "error: could not download shore, cliff, dune" in lines
    assert sum("there is no network, or 127.0.0.1 does not answer" in line for line in lines) == 2
    assert any("dune: not tried, since no host answered" in line for line in lines)
    assert any("Put them into a data folder" in line for line in lines)
    assert any("shore: Walk there." in line for line in lines) and any("reef: Dive for it." in line for line in lines)
    assert cli("data", "verify", "--domains", shells, *SMALL[2:4]).out == "folder-shells: ok\n"


@pytest.mark.usefixtures("large")
def test_one_failure_does_not_keep_the_others_from_being_fetched(cli: Call, server: Server) -> None:
    server.answers["/cliff"] = 404
    said = cli("data", "prepare", "--domains", "cliff,shore", *SMALL)
    assert said.code == 2 and "error: could not download cliff\n" in said.err and "answers 404" in said.err
    assert cli("data", "status", "--domains", "cliff,shore", "--json").json[1]["state"] == "ready"


def test_ctrl_c_leaves_what_came_and_no_half_folder(
    cli: Call, large: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    server.cut = 100
    assert cli("data", "prepare", "--domains", "shore", *SMALL).code == 2
    with monkeypatch.context() as patch:
        patch.setattr("udbench.data.fetch._receive", interrupted)
        said = cli("data", "prepare", "--domains", "shore", *SMALL)
        assert said.code == 130 and "Traceback" not in said.err
    (left,) = (large / "images" / "shore.partial").iterdir()
    assert left.name == "all.zip.part" and left.stat().st_size == 100
    assert cli("data", "status", "--domains", "shore", "--json").json[0]["state"] == "downloadable"
    server.cut = None
    assert cli("data", "prepare", "--domains", "shore", *SMALL).code == 0
    assert server.asked[-1] == ("/shore", "bytes=100-")


def test_show_tells_of_a_download(cli: Call, large: Path) -> None:
    assert "a shelf" in cli("show", "shore").out
    assert cli("show", "shore", "--json").json[0]["download"]["origin"] == "a shelf"
    assert cli("show", "reef", "--json").json[0]["download"] is None


def test_status_of_the_papers_ten_says_of_each_how_to_get_it(cli: Call) -> None:
    rows = cli("data", "status", "universal-ten", "--json").json
    assert [row["name"] for row in rows if row["state"] == "manual"] == ["awa", "daimler", "plankton"]
    assert {row["state"] for row in rows} == {"manual", "downloadable"}
    assert all(row["instructions"] for row in rows)


def test_a_named_data_folder_that_is_not_there_is_an_error(cli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--data nowhere: does not exist" in cli("data", "status", "--data", "nowhere").err
    monkeypatch.setenv("UDBENCH_DATA", "nowhere")
    said = cli("data", "status")
    assert said.code == 2 and "$UDBENCH_DATA nowhere: does not exist" in said.err


def test_the_default_suite_needs_no_folder(cli: Call) -> None:
    rows = cli("data", "status", "--json").json
    assert len(rows) == 10 and {row["state"] for row in rows} == {"ready"}
