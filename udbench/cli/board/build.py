"""`udbench board build`: leaderboards as a static site or as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import context, output
from udbench.files import BOARDS, RUNS


def build(
    out: Annotated[Path, typer.Option(help="Folder of the site; an earlier site there is replaced.")] = Path("site"),
    board: Annotated[Path, typer.Option("--board", help="Folder of the leaderboards.")] = BOARDS,
    images: Annotated[
        bool,
        typer.Option("--images", help="Show test images on the pages of entries, if their stores are on this machine."),
    ] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that contains runs, for their learning curves; repeatable.", show_default="runs"),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write README.md into the folder of the leaderboards instead of a site.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="With --markdown: write nothing, and fail if README.md is out of date.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the leaderboards as a static site that works offline, or as Markdown.

    The folder is written completely or not at all. Only an earlier site is replaced.
    """
    import udbench
    from udbench.cli.board.installed import known, published
    from udbench.errors import SettingError
    from udbench.files import check_writable
    from udbench.pages.site import Asked
    from udbench.pages.site import build as built

    if check and not markdown:
        raise SettingError("--check requires --markdown: udbench board build --markdown --check")
    if missing := [folder for folder in runs or [] if not folder.is_dir()]:
        raise SettingError(f"--runs {missing[0]}: no such folder")
    if markdown:
        return _markdown(board, check=check, json=json)
    check_writable(out.parent, "give another folder with --out")
    asked = Asked(
        root=board,
        known=known(),
        published=published(),
        scores=[item.value for item in context.registry().items("scores")],
        images=images,
        runs=runs or ([RUNS] if RUNS.is_dir() else []),
        version=udbench.__version__,
    )
    made = built(asked, out)
    for name, reasons in made.refused.items():
        for reason in reasons:
            output.note(f"skipped in {name}: {reason}")
    if json:
        return output.emit_json({
            "site": str(out / "index.html"),
            "boards": made.boards,
            "entries": made.entries,
            "pages": made.pages,
            "refused": {name: list(reasons) for name, reasons in made.refused.items()},
        })  # fmt: skip
    output.say(f"site    {out / 'index.html'}   {made.boards} boards, {made.entries:,} entries, {made.pages:,} pages")
    return None


def _markdown(board: Path, *, check: bool, json: bool) -> None:
    from udbench.cli.board.installed import known, published
    from udbench.errors import DataError, RunError
    from udbench.files import atomic_write
    from udbench.pages.markdown import twin

    if not board.is_dir():
        raise DataError(f"{board}: no such folder of leaderboards; choose another one with --board")
    path = board / "README.md"
    text = twin(board, known(), published())
    try:
        same = path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        same = False
    if check and not same:
        raise RunError(f"{path} is out of date; update it with udbench board build --markdown")
    if not same:
        atomic_write(path, text)
    if json:
        output.emit_json({"markdown": str(path), "changed": not same})
    else:
        output.say(f"{path} is up to date" if same else f"wrote {path}")
