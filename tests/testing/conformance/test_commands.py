"""What is asked of verbs: that they load without torch, answer, and are none of the core's."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.conformance import failed, install

VERB = """
    import udbench
    def verb(name: str = "x") -> None:
        "Says a name."
        print(name)
    @udbench.hookimpl
    def udbench_commands():
        return {"NAME": ("TARGET", "Says a name.")}
"""
LOADS, ANSWERS = "its verb loads, without torch", "its verb answers, and is none of the core's"
OWN = "verbs_broken:verb"


@pytest.mark.parametrize(
    ("name", "target", "check", "words"),
    [
        ("say", OWN, "", ""),
        ("data/say", OWN, "", ""),
        ("say", "verbs_broken:verbs", LOADS, "AttributeError: module 'verbs_broken' has no attribute 'verbs'"),
        ("say", "verbs_gone:verb", LOADS, "No module named 'verbs_gone'"),
        ("say", "verbs_broken:__name__", LOADS, "it is 'verbs_broken'"),
        ("say", "torch:compile", LOADS, "torch is imported"),
        ("run", OWN, ANSWERS, "`udbench run` is one, and comes first"),
        ("data/status", OWN, ANSWERS, "`udbench data status` is one, and comes first"),
        ("say/more", OWN, ANSWERS, ""),
        ("say", "verbs_broken:udbench.Domain", LOADS, ""),
    ],
)
def test_a_verb_is_tried_as_a_user_would(
    name: str, target: str, check: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site := tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(site))
    install(site, "verbs", VERB.replace("NAME", name).replace("TARGET", target))
    failures = failed("verbs", tmp_path)
    if not check:
        assert failures == []
    else:
        assert failures[0].check == check and words in failures[0].came and failures[0].mend
