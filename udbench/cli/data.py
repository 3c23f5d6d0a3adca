"""`udbench data`: download, prepare and check the images of domains."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from udbench.cli import context, output
from udbench.cli.preparing import Bars
from udbench.resolve import fetching
from udbench.resolve import stores as image_stores
from udbench.resolve.method import parse_overrides
from udbench.resolve.names import DEFAULT_SUITE, load_recipe, resolve_domains
from udbench.text import bytes_text

if TYPE_CHECKING:
    from udbench.config import RecipeSettings
    from udbench.data.status import Status
    from udbench.data.store import Store, StoreRequest
    from udbench.plugin.contracts_data import Domain


class Verbs(TyperGroup):
    """The verbs of the core, and those that plugins add to `data`, which are loaded only when called."""

    def list_commands(self, ctx: Any) -> context.Names:
        ours = super().list_commands(ctx)
        return ours if ctx.resilient_parsing else [*ours, *(v for v in context.plugin_verbs("data") if v not in ours)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        ours = super().get_command(ctx, cmd_name)
        if ours is not None or ctx.resilient_parsing:
            return ours
        summary = context.plugin_verbs("data").get(cmd_name)
        return None if summary is None else TyperCommand(cmd_name, help=summary)

    def resolve_command(self, ctx: Any, args: context.Names) -> Any:
        name, *rest = args
        if name in self.commands or ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        return name, context.plugin_verb(name, list(self.commands), "data"), rest


app = typer.Typer(
    name="data",
    cls=Verbs,
    add_completion=False,
    no_args_is_help=True,
    help="Download, prepare and check the images of domains.",
)

SuiteName = Annotated[
    str | None, typer.Argument(metavar="[SUITE]", help="Suite (udbench list suites).", show_default="pocket")
]
DomainNames = Annotated[
    str | None, typer.Option("--domains", help="Domains, separated by commas: names, folder:PATH or folder:NAME=PATH.")
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder, with one subfolder per domain.", show_default="$UDBENCH_DATA"),
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="Recipe that determines the image sizes.", show_default="the suite's")
]
Assignments = Annotated[
    context.Names | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as image_size=32; repeatable."),
]
SkipDamaged = Annotated[bool, typer.Option("--skip-damaged", help="Skip images that cannot be read.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def status(
    suite: SuiteName = None,
    domains: DomainNames = None,
    data: DataFolder = None,
    recipe: RecipeName = None,
    settings: Assignments = None,
    json: Json = False,
) -> None:
    """Show the state of each domain: prepared, ready, downloadable, or manual with instructions."""
    members, recipe_settings = _members(suite, domains, recipe, settings)
    found = image_stores.statuses(members, data, recipe_settings)
    if json:
        return output.emit_json([_status_facts(each, data) for each in found])
    table = output.table("domain", ">classes", "state", "")
    for domain, each in zip(members, found, strict=True):
        table.add_row(*output.cells(each.domain, domain.spec.num_classes, each.state, _detail(domain, each)))
    output.answers().print(table)
    _say_what_to_do(found, suite if suite or domains else DEFAULT_SUITE, data)
    _say_older(found)
    return None


@app.command()
def prepare(
    suite: SuiteName = None,
    domains: DomainNames = None,
    data: DataFolder = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Skip domains whose images are not available.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes.", show_default="one per core")
    ] = None,
    skip_damaged: SkipDamaged = False,
    recipe: RecipeName = None,
    settings: Assignments = None,
    json: Json = False,
) -> None:
    """Download and prepare domains: read each image once, resize it, and store it for fast training."""
    members, recipe_settings = _members(suite, domains, recipe, settings)
    if skip_missing:
        members = image_stores.available(members, data, output.note)
    stores = image_stores.prepared(
        members,
        data,
        recipe_settings,
        workers=workers,
        skip_damaged=skip_damaged,
        progress=Bars(),
        download=True,
        census=False,
    )
    if json:
        return output.emit_json([_store_facts(store) for store in stores])
    table = output.table("domain", ">training", ">test", "size", "store", "")
    for store in stores:
        table.add_row(
            *output.cells(
                store.name,
                f"{store.num_train:,}",
                f"{store.num_test:,}",
                store.form,
                store.path,
                "; ".join(
                    [
                        *([f"incomplete: {store.missing}"] if store.missing else []),
                        *([f"{len(store.damaged)} damaged images skipped"] if store.damaged else []),
                    ]
                ),
            )
        )
    output.answers().print(table)
    for store in stores:
        output.say(store.census.line(store.name))
    return None


@app.command()
def verify(
    suite: SuiteName = None,
    domains: DomainNames = None,
    data: DataFolder = None,
    source: Annotated[
        bool, typer.Option("--source", help="Also read the source images again and compare them with the stores.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes.", show_default="one per core")
    ] = None,
    recipe: RecipeName = None,
    settings: Assignments = None,
    json: Json = False,
) -> None:
    """Recompute the hashes, counts, means and standard deviations of prepared domains, and report differences.

    Domains whose images changed since they were prepared are reported as well; --source lists the changed images.
    """
    from udbench.data.store import former_stores, verify_store

    members, recipe_settings = _members(suite, domains, recipe, settings)
    # a store without damaged images is accepted too
    found = image_stores.statuses(members, data, recipe_settings, skip_damaged=True)
    stores: dict[str, tuple[Store, StoreRequest]] = {}
    changed: dict[str, str] = {}
    for each in found:
        if each.wanted is None:
            continue
        if each.store is not None:
            stores[each.domain] = each.store, each.wanted
        elif former := former_stores(each.wanted):
            stores[each.domain] = former[0], each.wanted
            changed[each.domain] = _changed_text(*stores[each.domain])
    damage = {name: verify_store(store) for name, (store, _) in stores.items()}
    sound = [pair for name, pair in stores.items() if not damage[name]]
    other = image_stores.compared(sound, workers, Bars()) if source else {}
    problems = {
        name: [*wrong, *([changed[name]] if name in changed else []), *other.get(name, [])]
        for name, wrong in damage.items()
    }
    if json:
        output.emit_json([{"name": name, "ok": not wrong, "problems": wrong} for name, wrong in problems.items()])
    else:
        for each in found:
            wrong = problems.get(each.domain)
            output.say(f"{each.domain}: {'not prepared' if wrong is None else '; '.join(wrong) or 'ok'}")
    _refuse(
        {
            "damaged stores": [name for name, wrong in damage.items() if wrong],
            "stores that differ from their images": [n for n, wrong in other.items() if wrong and n not in changed],
        },
        list(changed),
    )


def _changed_text(store: Store, wanted: StoreRequest) -> str:
    """How the source of a store changed, as text."""
    from udbench.data.store import made_of

    if store.facts["made_of"]["files"] == made_of(wanted)["files"]:
        return f"the code that reads '{store.name}' changed since {store.path} was prepared"
    return f"files in {wanted.root} changed since {store.path} was prepared"


def _refuse(bad: Mapping[str, Sequence[str]], changed: Sequence[str]) -> None:
    """Raise DataError if stores are damaged, differ from their images, or are out of date."""
    from udbench.errors import DataError

    parts = [
        f"{what}: {', '.join(names)}; delete their folders to have them prepared again"
        for what, names in bad.items()
        if names
    ]
    if changed:
        parts.append(
            f"changed since they were prepared: {', '.join(changed)}; prepare them again with udbench data prepare"
        )
    if parts:
        raise DataError(". ".join(parts))


@app.command()
def sheet(
    suite: SuiteName = None,
    domains: DomainNames = None,
    data: DataFolder = None,
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("sheets"),
    classes: Annotated[int, typer.Option(min=1, help="Maximum number of images per sheet.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Random seed that selects the images.")] = 0,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Skip domains whose images are not available.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes.", show_default="one per core")
    ] = None,
    skip_damaged: SkipDamaged = False,
    recipe: RecipeName = None,
    settings: Assignments = None,
) -> None:
    """Write a contact sheet of each domain: example images with their class names."""
    from udbench.data.sheet import contact_sheet
    from udbench.files import check_writable

    members, recipe_settings = _members(suite, domains, recipe, settings)
    check_writable(out, "give another folder with --out")
    if skip_missing:
        members = image_stores.available(members, data, output.note)
    for store in image_stores.prepared(
        members, data, recipe_settings, workers=workers, skip_damaged=skip_damaged, progress=Bars()
    ):
        output.say(str(contact_sheet(store, out / f"{store.name}.png", classes=classes, seed=seed)))


def _members(
    suite: str | None, domains: str | None, recipe: str | None, settings: list[str] | None
) -> tuple[tuple[Domain, ...], RecipeSettings]:
    chosen, members, _ = resolve_domains(context.session(), suite, domains)
    names = [member.spec.name for member in members]
    return members, load_recipe(context.session(), recipe, chosen, names, parse_overrides(settings or []).recipe)[1]


def _detail(domain: Domain, status: Status) -> str:
    match status.state:
        case "prepared":
            assert status.store is not None
            lacks = f"; incomplete: {status.store.missing}" if status.store.missing else ""
            return f"{status.store.num_train:,} training, {status.store.num_test:,} test images{lacks}"
        case "ready":
            return "generated on first use" if domain.embedded else f"will be prepared from {status.path}"
        case "downloadable":
            assert status.download is not None
            return f"{bytes_text(status.download.size)} from {status.download.origin}"
        case "manual":
            return "see below"


def _say_what_to_do(found: Sequence[Status], suite: str | None, data: Path | None) -> None:
    """Print how to get the missing images, below the table."""
    from udbench.data.locations import data_root, images_root

    root = data_root(data)
    if manual := [each for each in found if each.state == "manual"]:
        output.paragraph(
            f"To be obtained manually: {', '.join(each.domain for each in manual)}. {fetching.places_text(root)}"
        )
        for each in manual:
            output.say()
            output.paragraph(f"{each.domain}: {fetching.instructions_text(each, root)}")
    if loads := [each for each in found if each.download is not None]:
        size = bytes_text(sum(each.download.size for each in loads if each.download))
        names = [each.domain for each in loads]
        output.say()
        output.paragraph(f"To be downloaded: {', '.join(names)}, {size} in all, into {images_root(root)}:")
        output.say(fetching.prepare_command(names if manual or suite is None else [], suite, data))


def _say_older(found: Sequence[Status]) -> None:
    """Print the outdated stores, whose images or reading code changed, and how to remove them."""
    if not (older := [store for each in found for store in _older(each)]):
        return
    size = bytes_text(sum(sum(store.facts["sizes"].values()) for store in older))
    output.say()
    output.paragraph(
        f"Outdated stores, whose images or code changed, take {size}. Only finished runs still use them "
        "(eval, predict, export, board verify). To remove them:"
    )
    output.say(shlex.join(["rm", "-r", *(str(store.path) for store in older)]))


def _older(status: Status) -> list[Store]:
    from udbench.data.store import former_stores

    return [] if status.wanted is None else former_stores(status.wanted)


def _status_facts(status: Status, data: Path | None) -> dict[str, Any]:
    from udbench.data.locations import data_root

    download = status.download
    return {
        "name": status.domain,
        "state": status.state,
        "path": None if status.path is None else str(status.path),
        "instructions": status.instructions and fetching.instructions_text(status, data_root(data)),
        "download": download
        and {
            "origin": download.origin,
            "size": download.size,
            "command": fetching.prepare_command([status.domain], data=data),
        },
        "lacks": status.store.missing if status.store else None,
        "older": [str(store.path) for store in _older(status)],
    }


def _store_facts(store: Any) -> dict[str, Any]:
    return {
        "name": store.name,
        "path": str(store.path),
        "num_train": store.num_train,
        "num_test": store.num_test,
        "form": str(store.form),
        "lacks": store.missing,
        "census": store.facts["census"],
        "damaged": store.damaged,
        "sha256": store.sha256,
    }
