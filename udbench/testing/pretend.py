"""A stand-in for the runs that launchers start: a process that is there at once and needs no torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from udbench.launchers import Task
from udbench.testing.records import made_result

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
text = (here / "result.json").read_text()
for given, word in (("ADAPTER", options["--adapter"]), ("ARCH", options["--arch"]), ('"SEED"', options["--seed"])):
    text = text.replace(given, word)
out.mkdir(parents=True, exist_ok=True)
(out / "result.json").write_text(text)
print("this is the answer")
"""


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, domains: tuple[str, str] = ("left", "right")) -> Path:
    """From now on a task's command starts a stand-in, which answers with a made-up result of two domains.

    Code in the returned folder, `ADAPTER-SEED.py`, is run before that; the words `exec CODE` run that code alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pretend.py").write_text(SCRIPT)
    document = json.loads(made_result(adapter="ADAPTER").dumps())
    for where in (document, document["config"]):
        where.update(adapter="ADAPTER", arch="ARCH", sharing="deep", seed="SEED")
    text = json.dumps(document).replace('"left"', f'"{domains[0]}"').replace('"right"', f'"{domains[1]}"')
    (folder / "result.json").write_text(text)

    def command(task: Task) -> list[str]:
        several = ["--processes", str(task.processes)] if task.processes > 1 else []
        return [sys.executable, "-S", str(folder / "pretend.py"), *task.words, *several]

    monkeypatch.setattr(Task, "command", property(command))
    return folder
