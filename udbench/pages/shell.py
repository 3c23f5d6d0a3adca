"""Templates: every word is escaped, nothing is asked of a network, and a name that a template misspells is an error."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from udbench import text
from udbench.axes import AXES, choices_of


def render(template: str, **about: Any) -> str:
    """A page. `root` is the way from it to the site's own folder, "" or "../"s."""
    return _environment().get_template(template).render(**about)


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("udbench", "pages/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {
        "short": text.short,
        "error": text.error_text,
        "count": text.count_text,
        "time": text.seconds_text,
        "counted": text.counted,
    }
    style, script = _asset("style.css"), _asset("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    made.globals |= {"style": Markup(style), "script": Markup(script), "policy": policy}
    made.globals |= {"axes": AXES, "choices_of": choices_of}
    return made


def _shown(value: Any) -> Any:
    return text.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    """A file of ours that stands in every page, without what only its editors need."""
    content = files("udbench.pages").joinpath("templates", name).read_text(encoding="utf-8")
    content = re.sub(r"/\*.*?\*/", "", content, flags=re.DOTALL)
    return "\n".join(line.strip() for line in content.splitlines() if line.strip())


def _source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
