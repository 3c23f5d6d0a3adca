"""Stand-ins for runs: their results, made up for what a command asks for, and a process that is there at once and
needs no torch."""

from __future__ import annotations

import itertools
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from support.records import made_result, with_predictions
from udbench.axes import AXES
from udbench.config import RunConfig
from udbench.plugin.contracts_run import Task
from udbench.results import SAID_TWICE, RunResult, trained_on

if TYPE_CHECKING:
    import pytest

SCRIPT = """\
import os, sys, time
from pathlib import Path
here, words = Path(__file__).parent, sys.argv[1:]
if words[0] == "exec":
    exec(words[1])
    sys.exit()
options = dict(zip(words, words[1:]))
name = options["--adapter"] + "-" + options["--seed"]
out = Path(options["--out"])
sys.stderr.write(f"this is {name} with {os.environ.get('OMP_NUM_THREADS')} threads\\n")
if (here / (name + ".py")).exists():
    exec((here / (name + ".py")).read_text())
out.mkdir(parents=True, exist_ok=True)
for made in (here / "made" / name).iterdir():
    (out / made.name).write_bytes(made.read_bytes())
print("this is the answer")
"""


def asked_for(words: Sequence[str]) -> RunConfig:
    """The configuration that a `udbench run` with these words has, on a CPU in fp32."""
    from udbench.plugin.session import Session
    from udbench.resolve.job import make_config
    from udbench.resolve.request import RunRequest, resolve

    given: dict[str, list[str]] = {}
    for flag, word in itertools.pairwise(words):
        if flag.startswith("--"):
            given.setdefault(flag, []).append(word)
    named = {flag: values[-1] for flag, values in given.items()}
    request = RunRequest(
        choices={axis.name: named.get(axis.option) for axis in AXES},
        suite=named.get("--suite"),
        domains=named.get("--domains"),
        recipe=named.get("--recipe"),
        settings=[word for word in given.get("--set", []) if not word.startswith("launcher.")],
        seed=int(named.get("--seed", 0)),
    )
    return make_config(resolve(Session(), request), "cpu", "fp32")


def write_result(
    folder: Path,
    words: Sequence[str],
    domains: tuple[str, str] = ("left", "right"),
    errors: tuple[float, float] = (10.0, 20.0),
    id: str = "0a1b2c3d",
) -> RunResult:
    """Write the made-up result, of two domains, of the run that these words ask for, and its predictions."""
    config = asked_for(words)
    if set(config.domains) != set(domains):
        config = config.model_copy(update={"domains": domains, "part_of_suite": config.suite != "ad_hoc"})
    text = json.dumps(made_result(id, errors, seed=config.seed).document())
    document = json.loads(text.replace('"left"', f'"{domains[0]}"').replace('"right"', f'"{domains[1]}"'))
    plain = config.model_dump(mode="json")
    document.update(
        {name: plain[name] for name in SAID_TWICE},
        config=plain,
        split=config.settings.eval_on,
        trained_on=trained_on(config.settings.val_fraction),
    )
    result, predictions = with_predictions(RunResult.model_validate_json(json.dumps(document)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(result.dumps())
    (folder / "predictions.npz").write_bytes(predictions)
    return result


def _name(words: Sequence[str]) -> str:
    options = dict(itertools.pairwise(words))
    return f"{options['--adapter']}-{options['--seed']}"


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, domains: tuple[str, str] = ("left", "right")) -> Path:
    """From now on a task's command starts a stand-in, which answers with a made-up result of two domains.

    Code in the returned folder, `ADAPTER-SEED.py`, is run before that; the words `exec CODE` run that code alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pretend.py").write_text(SCRIPT)

    def command(task: Task) -> list[str]:
        several = ["--processes", str(task.processes)] if task.processes > 1 else []
        if task.args[:1] != ("exec",):
            name = _name(task.args)
            write_result(folder / "made" / name, task.args, domains, id=f"{zlib.crc32(name.encode()):08x}")
        return [sys.executable, "-S", str(folder / "pretend.py"), *task.args, *several]

    monkeypatch.setattr(Task, "command", property(command))
    return folder
