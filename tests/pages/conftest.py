"""Boards to make pages of, and what holds of every page whoever wrote the names on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.boards import Bench, bench_in, write_entry
from support.records import made_result
from udbench.files import atomic_write
from udbench.pages.methods import Catalog
from udbench.pages.shell import _environment
from udbench.pages.site import Asked, Built, build
from udbench.plugin.published import PublishedTable

HOSTILE = {
    "script": "</td><script>alert(1)</script>",
    "attribute": "\" onmouseover=\"alert(1)' x='",
    "template": "{{ 7 * 7 }}{% raw %}",
    "path": "../../etc/x",
    "right to left": "\u202egnp.\u05d0\u05d1",
    "emoji": "\U0001f600\u200d\U0001f525 bn",
    "long": "x" * 10_000,
    "control": "a\x1b[31m\x00b\nc\ud800"[:-1],
}


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, Mapping[str, str]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] not in ("style", "script"):
            self.text.append(data)


def checked(path: Path, root: Path) -> str:
    """A page's text, once it is sure that it asks nothing of a network, runs nothing but our script, and leads nowhere
    that is not there."""
    content = path.read_text(encoding="utf-8")
    assert len(content.encode()) < 4 << 20, path
    page = _Page(content)
    ours = str(_environment().globals["script"])
    assert content.count("<script") == content.count(f"<script>{ours}</script>") <= 1, path
    ids = {about["id"] for _, about in page.elements if "id" in about}
    assert len(ids) == sum("id" in about for _, about in page.elements), f"{path}: an id twice"
    for tag, about in page.elements:
        assert not [name for name in about if name.startswith("on") or name == "style"], (path, tag, about)
        assert tag not in {"iframe", "object", "embed", "base", "audio", "video", "use", "image"}, (path, tag)
        if tag in ("img", "link"):
            assert about.get("src", about.get("href", "")).startswith("data:"), (path, tag)
        elif "src" in about:
            raise AssertionError(f"{path}: <{tag} src>")
        for name in ("aria-labelledby", "for"):
            assert set(about.get(name, "").split()) <= ids, (path, tag, about)
        if tag == "a":
            where = urlsplit(about["href"])
            if where.scheme:
                assert where.scheme in ("https", "http") and about["rel"] == "noreferrer noopener", (path, about)
            elif where.path:
                aim = (path.parent / unquote(where.path)).resolve()
                assert aim.is_file() and aim.is_relative_to(root.resolve()), (path, about)
            else:
                assert where.fragment in ids, (path, about)
    return " ".join(" ".join(page.text).split())


@pytest.fixture
def read() -> Callable[..., str]:
    """Reads a page below a folder, having checked it."""
    return lambda root, url: checked(root / url, root)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., tuple[Path, Built]]:
    """Builds the site of `tmp_path`/boards, and checks every page of it."""

    def made(
        known: Catalog | None = None,
        published: tuple[tuple[str, PublishedTable], ...] = (),
        out: str = "site",
        check: bool = True,
        **asked: object,
    ) -> tuple[Path, Built]:
        about = Asked(root=tmp_path / "boards", known=known or Catalog(), published=published, version="0", **asked)  # type: ignore[arg-type]
        built = build(about, tmp_path / out)
        pages = sorted((tmp_path / out).rglob("*.html"))
        assert len(pages) == built.pages
        for page in pages if check else []:
            checked(page, tmp_path / out)
        return tmp_path / out, built

    return made


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two small domains with stores, in a cache of their own."""
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    return bench_in(tmp_path / "images")


@pytest.fixture
def entries(bench: Bench, tmp_path: Path) -> Path:
    """A board of three methods, one of them with two seeds, whose predictions and stores are here."""
    root = tmp_path / "boards"
    for id, adapter, seed, left, right in (
        ("a0", "domain-bn", 0, range(3), range(5)),
        ("a1", "domain-bn", 1, range(4), range(6)),
        ("b0", "other", 0, range(9), range(12)),
        ("c0", "third", 0, range(12), range(2)),
    ):
        write_entry(
            root, bench.stores, id, {"left": left, "right": right}, adapter=adapter, seed=seed,
            config=made_result(id, adapter=adapter, seed=seed).config,
        )  # fmt: skip
    return root


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A board of entries whose adapter, network, recipe, domains, ids and environment are made to do harm."""
    folder = tmp_path / "boards" / "small"
    for place, (kind, name) in enumerate(HOSTILE.items()):
        document = json.loads(made_result("id", (10.0 + place, 20.0)).dumps())
        id = {"path": "..x", "long": "y" * 100, "control": "-z"}.get(kind, name.replace("/", "|")[:100])
        text = json.dumps(document).replace('"left"', json.dumps(name)).replace('"domain-bn"', json.dumps(name))
        document = {**json.loads(text.replace('"toy"', json.dumps(name))), "id": id, "recipe": name}
        document["config"]["recipe"] = name
        document["environment"]["plugins"] = {name: name}
        document["config"]["adapter_settings"] = {name: name}
        atomic_write(folder / f"{id}.json", json.dumps(document))
    return folder
