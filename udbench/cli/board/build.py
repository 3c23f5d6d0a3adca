"""`udbench board build`: boards as a static site, or as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from udbench.cli import context, output
from udbench.files import BOARDS, RUNS


def build(
    out: Annotated[Path, typer.Option(help="The site's folder, which is replaced as a whole.")] = Path("site"),
    board: Annotated[Path, typer.Option("--board", help="The folder of boards.")] = BOARDS,
    images: Annotated[
        bool, typer.Option("--images", help="Show test images on the pages of entries, where stores are here.")
    ] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="A folder below which runs lie, for their curves; many times.", show_default="runs"),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write README.md in the folder of boards, and no site.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="With --markdown: write nothing, and fail where README.md is out of date.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the boards as a static site that opens from a file, without a network; or as Markdown.

    The folder is written whole or not at all, and nothing but an earlier site is replaced.
    """
    import udbench
    from udbench.cli.board.installed import known, published
    from udbench.errors import SettingError
    from udbench.files import check_writable
    from udbench.pages.site import Asked
    from udbench.pages.site import build as built

    if check and not markdown:
        raise SettingError("--check is of --markdown: udbench board build --markdown --check")
    if missing := [folder for folder in runs or [] if not folder.is_dir()]:
        raise SettingError(f"--runs {missing[0]}: there is no such folder")
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
            output.note(f"left out of {name}: {reason}")
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
        raise DataError(f"{board}: there is no such folder of boards; --board names another one")
    path = board / "README.md"
    text = twin(board, known(), published())
    try:
        same = path.read_text(encoding="utf-8") == text
    except (OSError, ValueError):
        same = False
    if check and not same:
        raise RunError(f"{path} is not what the entries say; udbench board build --markdown writes it anew")
    if not same:
        atomic_write(path, text)
    if json:
        output.emit_json({"markdown": str(path), "changed": not same})
    else:
        output.say(f"{path} is up to date" if same else f"wrote {path}")
