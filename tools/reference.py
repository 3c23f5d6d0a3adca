"""The reference pages of docs/reference, made from the code: python tools/reference.py, or --check to see them stale.

Only what this project's own packages bring is listed, so that other plugins that are installed change nothing.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel

import udbench
from udbench.cli import app, context
from udbench.config import DomainSettings, NormSettings, RecipeSettings
from udbench.plugin import hookspecs
from udbench.plugin.loader import load
from udbench.plugin.registry import Item
from udbench.results import SCHEMA, RunResult

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "docs/reference"
MADE = "<!-- Made by tools/reference.py from the code; do not edit. -->\n\n"

TOPICS = {
    "Domains": ("Domain", "DomainSpec", "Index", "Source", "Download", "Suite"),
    "Architectures": ("Architecture", "Input", "Network", "Stage"),
    "Adapters": ("Adapter", "Surgeon"),
    "Recipes, scores and studies": ("Recipe", "Score", "Study", "decathlon"),
    "Launchers": ("Launcher", "Task", "TaskStatus", "reason_of"),
    "Callbacks": ("CallbackFactory", "Callback", "RoundStatus"),
    "Runs": ("run", "RunResult", "load_run", "LoadedRun"),
    "Boards": ("load_board", "Board", "BoardComparison"),
    "Helpers for plugins": ("hookimpl", "ClassFolders", "fetch_file", "unpack", "in_processes"),
    "Errors": (
        "UdbenchError",
        "UnknownNameError",
        "SettingError",
        "DataError",
        "PluginError",
        "RunError",
        "UnreachableError",
    ),
}
"""Where a public name stands in contracts.md; one that is not named here stands under "More"."""


def pages() -> dict[str, str]:
    """The pages' texts by file name."""
    return {
        "cli.md": cli_page(),
        "hooks.md": hooks_page(),
        "contracts.md": contracts_page(),
        "results.md": results_page(),
        "settings.md": settings_page(),
    }


def own() -> set[str]:
    """The distributions of this project that a plain installation has: those of the dependency group "plugins"."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]
    return {"udbench", *groups["plugins"]}


# the command line


def cli_page() -> str:
    """Every verb, with its usage, arguments and options."""
    root: Any = typer.main.get_command(app)
    said = [
        "# Command line\n",
        "Each verb also tells this by itself: `udbench VERB --help`. Exit codes: 0 done, 1 the run or the check "
        "failed, or standard output could not be written, 2 a mistake in what was asked for, 130 stopped by Ctrl-C, "
        "141 whoever read standard output has gone.\n",
        "These may be given to every verb:\n",
        table(("option", "default", "what it does"), _options(root)),
    ]
    for name in root.list_commands(None):
        said += verb((name,), root.commands[name])
    for item in brought("commands"):
        if "/" not in item.name:
            said += verb((item.name,), context.command(item.name, item.value.target, item.summary))
    return MADE + tidy(said)


def verb(words: tuple[str, ...], command: Any) -> Iterator[str]:
    """A verb's part of the page, and those of the verbs below it."""
    yield f"{'#' * (len(words) + 1)} {' '.join(words)}\n"
    yield flowing(command.help or "") + "\n"
    if (below := getattr(command, "commands", None)) is not None:
        found = dict(below)
        for item in brought("commands"):
            group, _, name = item.name.rpartition("/")
            if group == "/".join(words):
                found[name] = context.command(name, item.value.target, item.summary)
        for name, each in found.items():
            yield from verb((*words, name), each)
        return
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    shown = " ".join(_usage(each) for each in arguments)
    yield f"```text\nudbench {' '.join(words)}{' ' + shown if shown else ''} [OPTIONS]\n```\n"
    if rows := [(code(_named(each)), _default(each), cell(each.help or "")) for each in arguments]:
        yield table(("argument", "default", "what it is"), rows)
    if rows := list(_options(command)):
        yield table(("option", "default", "what it does"), rows)


def _named(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper()).strip("[]")


def _usage(argument: Any) -> str:
    name = _named(argument)
    several = "" if argument.nargs == 1 or "…" in name else " …"
    return f"{name}{several}" if argument.required else f"[{name}{several}]"


def _options(command: Any) -> Iterator[tuple[str, str, str]]:
    for each in command.params:
        if each.param_type_name == "option" and each.name not in ("install_completion", "show_completion"):
            takes = "" if each.is_flag else f" {_takes(each)}"
            yield code(", ".join(each.opts) + takes), _default(each), cell(each.help or "")


def _takes(option: Any) -> str:
    kind = option.type_descriptor.annotation
    if choices := get_args(kind) if get_origin(kind) is Literal else ():
        return "|".join(map(str, choices))
    return option.metavar or {int: "N", float: "X", Path: "PATH", list[Path]: "PATH"}.get(kind, "WORD")


def _default(given: Any) -> str:
    if given.required:
        return "must be given"
    if isinstance(given.show_default, str):
        return cell(given.show_default)
    value = given.default() if callable(given.default) else given.default
    if value is None or isinstance(value, bool) or value == () or value == []:
        return ""
    return code(str(value))


# hooks


def hooks_page() -> str:
    """Every hook, with what it returns and who implements it here."""
    said = [
        "# Hooks\n",
        "Every way into udbench. A plugin is a module behind an entry point of the group `udbench`; it implements "
        "some of these functions, each marked `@udbench.hookimpl`. Hooks take nothing and return items "
        "([contracts](contracts.md)). `udbench new-plugin` writes a package that does so.\n",
        '```toml\n[project.entry-points.udbench]\nmine = "my_package"\n\n'
        f'[project.entry-points."udbench.contract"]\nmine = "v{hookspecs.CONTRACT}"\n```\n',
        f"The contract's version is {hookspecs.CONTRACT}; the oldest that is kept is {hookspecs.OLDEST} "
        "([stability](stability.md)).\n",
    ]
    for name, hook in hooks().items():
        said += [
            f"## {name}\n",
            f"```python\n@hookimpl\ndef {name}{_unquoted(str(inspect.signature(hook)))}: ...\n```\n",
        ]
        said += [flowing(inspect.getdoc(hook) or "") + "\n", *_given_here(name)]
    return MADE + tidy(said)


def hooks() -> dict[str, Callable[..., Any]]:
    """The hooks by name, in the order of hookspecs.py."""
    return {name: hook for name, hook in vars(hookspecs).items() if name.startswith("udbench_")}


def _given_here(hook: str) -> list[str]:
    kind = {"architectures": "archs"}.get(hook.removeprefix("udbench_"), hook.removeprefix("udbench_"))
    names = [code(item.name.replace("/", " ")) for item in brought(kind)]
    said = [f"This project's packages bring: {', '.join(names)}.\n"] if names else []
    tutorial = hook.removeprefix("udbench_").removesuffix("s")
    if (PROJECT / f"docs/tutorials/{tutorial}.md").is_file():
        said.append(f"[Tutorial](../tutorials/{tutorial}.md).\n")
    return said


# contracts


def contracts_page() -> str:
    """Every public name of udbench, with its fields, methods and what it promises."""
    named = {name for names in TOPICS.values() for name in names}
    more = tuple(name for name in udbench.__all__ if name not in named)
    said = [
        "# Contracts\n",
        "The public names of `udbench`: the items that plugins provide, and helpers to build them. Everything else is "
        "internal and may change in any version; [stability](stability.md) defines what may change.\n",
        "Items are frozen dataclasses with keyword-only fields: a field without a default is required.\n",
    ]
    for topic, names in {**TOPICS, **({"More": more} if more else {})}.items():
        said.append(f"## {topic}\n")
        for name in names:
            said += public(name)
    return MADE + tidy(said)


def public(name: str) -> Iterator[str]:
    """A public name's part of the page."""
    value = getattr(udbench, name)
    yield f"### {name}\n"
    if name == "hookimpl":
        yield "Marks a plugin's function as an implementation of a [hook](hooks.md).\n"
        return
    if inspect.isfunction(value):
        yield f"```python\n{_signature(name, value)}\n```\n"
        yield prose(value) + "\n"
        return
    yield prose(value) + "\n"
    if name == "RunResult":
        yield "Its fields are those of [result.json](results.md).\n"
    elif rows := _fields(value):
        yield table(("field", "type", "default"), rows)
    if issubclass(value, BaseException):
        status = getattr(value, "exit_code", None)
        base = f"Is a `{value.__bases__[0].__name__}`" if value.__bases__[0] is not Exception else ""
        yield ". ".join(part for part in (base, f"Exit code {status}" if status is not None else "") if part) + ".\n"
        return
    for method, member in methods(value):
        said = prose(member)
        paragraphs = said.replace("\n\n", "\n\n    ")
        yield f"- `{method}{_short(member)}`{': ' + paragraphs if said else ''}"
    yield ""


def methods(value: type) -> list[tuple[str, Any]]:
    """The public methods and properties that a class defines itself."""
    kinds = (property,)
    found = [(name, each) for name, each in vars(value).items() if not name.startswith("_")]
    return [(name, each) for name, each in found if inspect.isfunction(each) or isinstance(each, kinds)]


def _short(member: Any) -> str:
    if isinstance(member, property):
        return f" -> {inspect.signature(member.fget).return_annotation}" if member.fget is not None else ""
    signature = inspect.signature(member)
    kept = [each for each in signature.parameters.values() if each.name != "self"]
    return _unquoted(str(signature.replace(parameters=kept)))


def _signature(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    line = _unquoted(f"{name}{signature}")
    if len(line) < 90:
        return line
    parts, starred = [], False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(_unquoted(str(each)))
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {_unquoted(signature.return_annotation)}"


def _unquoted(text: str) -> str:
    """A signature whose annotations are names, as in the code; defaults that are strings keep their quotes."""
    return re.sub(r"((?:: |-> ))'([^']*)'", r"\1\2", str(text))


def _fields(value: Any) -> list[tuple[str, str, str]]:
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    return [(code(field.name), code(str(field.type)), _field_default(field)) for field in fields]


def _field_default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return code(repr(field.default))
    return "empty" if field.default_factory is not dataclasses.MISSING else ""


# results and settings


def results_page() -> str:
    """result.json, from the models that read and write it."""
    said = [
        "# result.json\n",
        f"The record of a run, schema {SCHEMA}: one JSON document that never changes once written. A board's entry "
        "`ID.json` is the same document. `udbench show RUN --json` prints it, `udbench.RunResult` is it in Python. "
        "Figures are defined by `udbench show NAME`, such as `udbench show ratio`.\n",
    ]
    said += ["## RunResult\n", prose(RunResult) + "\n", fields_table(RunResult)]
    recipe = RecipeSettings.model_json_schema().get("$defs", {})
    said += below(RunResult, "##", {"RecipeSettings", *recipe})
    said.append("`settings` of the configuration are the recipe's, all of them: [settings](settings.md).\n")
    return MADE + tidy(said)


def settings_page() -> str:
    """What --set can change."""
    said = [
        "# Settings\n",
        "What `--set KEY=VALUE` can change. `udbench show RECIPE` prints a recipe's own values, which go before these "
        "defaults. A value is written as in TOML, and a list in brackets (`milestones=[0.5,0.75]`); what is no TOML is "
        "a string. `KEY=none` takes a setting back: to null where it takes that, as `pad` does, else to the default; "
        "of `domain.NAME.KEY`, to what holds for all domains. A setting that takes the word, as `adapter.last_norm`, "
        "gets it. A study's `set` and `udbench.run(settings=…)` have the same rules.\n",
        "## The recipe\n",
        "`--set KEY=VALUE`\n",
        fields_table(RecipeSettings),
        *below(RecipeSettings, "###", (DomainSettings.__name__, NormSettings.__name__)),
        "## One domain\n",
        "`--set domain.NAME.KEY=VALUE`, which goes before the recipe's.\n",
        fields_table(DomainSettings),
        "## Norms\n",
        "`--set norm.KEY=VALUE`\n",
        fields_table(NormSettings),
    ]
    for title, kind, key in (
        ("Adapters", "adapters", "adapter"),
        ("Architectures", "archs", "arch"),
        ("Launchers", "launchers", "launcher"),
    ):
        said.append(f"## {title}\n")
        said.append(f"`--set {key}.KEY=VALUE`. One that is not named here has no settings.\n")
        said += _by_settings(brought(kind), key)
    return MADE + tidy(said)


def _by_settings(items: Iterable[Item], key: str) -> Iterator[str]:
    """The items' settings, those that have the same ones together."""
    for field in ("settings", "head_settings"):
        groups: dict[type[BaseModel], list[str]] = {}
        for item in items:
            if (model := getattr(item.value, field, None)) is not None:
                groups.setdefault(model, []).append(item.name)
        for model, names in groups.items():
            where = "" if field == "settings" else ", heads"
            yield f"### {', '.join(names)}{where}\n"
            if where:
                yield "`--set domain.NAME.head.KEY=VALUE`\n"
            yield fields_table(model)


def fields_table(model: type[BaseModel]) -> str:
    """A pydantic model's fields, as JSON has them."""
    schema = model.model_json_schema(by_alias=True)
    return schema_table(schema, schema.get("$defs", {}))


def schema_table(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The fields of a JSON schema."""
    required = set(schema.get("required", ()))
    rows = []
    for name, about in schema.get("properties", {}).items():
        default = "must be there" if name in required else _json_default(about)
        rows.append((code(name), cell(json_type(about, definitions)), default, cell(about.get("description", ""))))
    if not any(row[3] for row in rows):
        return table(("field", "type", "default"), [row[:3] for row in rows])
    return table(("field", "type", "default", "meaning"), rows)


def _json_default(about: dict[str, Any]) -> str:
    value = about.get("default")
    return "" if value is None or value == {} or value == [] else code(json.dumps(value))


def below(model: type[BaseModel], level: str, apart: Iterable[str] = ()) -> Iterator[str]:
    """The models that a model's fields hold, each under a heading, but for those told apart."""
    definitions = model.model_json_schema(by_alias=True).get("$defs", {})
    for name, schema in definitions.items():
        if "properties" in schema and name not in apart:
            yield f"{level} {name}\n"
            yield flowing(inspect.cleandoc(schema.get("description", ""))) + "\n"
            yield schema_table(schema, definitions)


def json_type(about: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema's type in words, with its limits."""
    if "$ref" in about:
        name = about["$ref"].rsplit("/", 1)[-1]
        return json_type(definitions[name], definitions) if "enum" in definitions[name] else name
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(json_type(each, definitions) for each in about["anyOf"]))
    if "enum" in about:
        return " or ".join(code(json.dumps(each)) for each in about["enum"])
    if "const" in about:
        return code(json.dumps(about["const"]))
    kind = about.get("type", "anything")
    if kind == "array":
        if "prefixItems" in about:
            return f"list of {len(about['prefixItems'])}, each {json_type(about['prefixItems'][0], definitions)}"
        return f"list of {json_type(about.get('items', {}), definitions)}"
    if kind == "object":
        values = about.get("additionalProperties")
        inner = json_type(values, definitions) if isinstance(values, dict) and values else ""
        return f"object of {inner}" if inner else "object"
    limits = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    said = [f"{sign} {about[key]:g}" for key, sign in limits if key in about]
    return " ".join([kind, ", ".join(said)]).strip()


# text


def brought(kind: str) -> list[Item]:
    """The items of a kind that this project's packages bring."""
    return [item for item in load().items(kind) if item.owner.distribution in own()]


def prose(value: Any) -> str:
    """A docstring as Markdown; one that Python made for a dataclass is none."""
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value) and (value.__doc__ is None or text.startswith(f"{value.__name__}(")):
        return ""
    return flowing(text)


def flowing(text: str) -> str:
    """Prose whose paragraphs are one line each, with what Markdown would take for a tag escaped; code stays."""
    made = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if paragraph.startswith("    "):
            made.append(paragraph)
        else:
            made.append(escaped(" ".join(paragraph.split())))
    return "\n\n".join(made)


def escaped(text: str) -> str:
    """Text in which nothing outside of `code` is taken for markup."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([<*_\[\]])", r"\\\1", parts[i])
    return "`".join(parts)


def tidy(parts: Iterable[str]) -> str:
    """The parts of a page, one blank line between two that have one, and none at its end."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip() + "\n"


def cell(text: str) -> str:
    """A table's cell."""
    return escaped(" ".join(str(text).split())).replace("|", "\\|")


def code(text: str) -> str:
    """Text as code. A bar would end a table's cell, and how it is escaped within code, renderers do not agree upon."""
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Write the pages, or with --check say which are stale."""
    if set(words) - {"--check"}:
        print(f"reference.py: {' '.join(words)}: only --check is known")
        return 2
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(PROJECT)))
        if "--check" not in words:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in words:
        print(f"out of date: {', '.join(stale)}; run python tools/reference.py")
        return 1
    for name in stale:
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
