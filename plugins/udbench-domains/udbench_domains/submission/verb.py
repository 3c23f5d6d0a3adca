"""`udbench decathlon submit`."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Annotated

import typer

from udbench import SettingError, UdbenchError

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def decathlon() -> None:
    """The Visual Decathlon."""


@app.command()
def submit(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run's folder, or its id in ./runs.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("results.json"),
    partial: Annotated[bool, typer.Option("--partial", help="Accept a run of fewer than ten domains.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="The folder that holds visual-decathlon/.", show_default="$UDBENCH_DATA")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
) -> None:
    """Write a run's predictions for the test images of all ten domains in the format of the Visual Decathlon's server.

    The file is a JSON list of image_id and category_id. Labels of test images are not used. The server accepted it
    packed into a ZIP. For example: udbench decathlon submit 4f1c0a9b --out results.json
    """
    from udbench import load_run
    from udbench_domains.submission.answers import answers, available_domains

    folder = _data_folder(data)
    _check_writable(out)
    trained = load_run(run, device=device, data=folder)
    names = available_domains(trained.domains, partial=partial)
    found = answers(trained, folder, names, lambda name, images: typer.echo(f"{name}: {images:,} images", err=True))
    _write(out, json.dumps(found, allow_nan=False))
    typer.echo(f"{len(found):,} answers in {len(names)} domain{'s' if len(names) > 1 else ''}: {ascii(str(out))[1:-1]}")


def _data_folder(given: Path | None) -> Path:
    named = given or (Path(os.environ["UDBENCH_DATA"]) if os.environ.get("UDBENCH_DATA") else None)
    if named is None:
        raise SettingError("the test images are needed; name the folder that holds visual-decathlon/ by --data DIR")
    return named.expanduser()


def _check_writable(path: Path) -> None:
    """Check, before any image is classified, that the file can be written."""
    growing = path.with_name(f".{path.name}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        growing.touch()
        growing.unlink()
    except OSError as error:
        raise UdbenchError(
            f"{path}: cannot be written: {error.strerror or error}; give another file with --out"
        ) from error


def _write(path: Path, text: str) -> None:
    """Write the file atomically."""
    growing = path.with_name(f".{path.name}.part")
    try:
        growing.write_text(text)
        growing.replace(path)
    except OSError as error:
        growing.unlink(missing_ok=True)
        raise UdbenchError(f"{path}: cannot be written: {error.strerror or error}") from error
