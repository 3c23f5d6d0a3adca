"""The official score of the Visual Decathlon, for its suite only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from udbench import Score, SettingError, decathlon

FILE = Path(__file__).parent / "published" / "decathlon.json"
BASELINE = "finetune"


@cache
def baseline() -> dict[str, float]:
    """The errors, in percent, of the fine-tuned networks that are the score's baseline."""
    (table,) = json.loads(FILE.read_text())["tables"]
    (row,) = [row for row in table["rows"] if row["key"] == BASELINE]
    return row["errors"]


def score(errors: Mapping[str, float]) -> float:
    """The score of these errors, in percent. Raises SettingError for a domain outside the Visual Decathlon."""
    references = baseline()
    if strange := [name for name in errors if name not in references]:
        raise SettingError(f"score 'decathlon' knows no domain '{strange[0]}'; it is for {', '.join(references)}")
    return decathlon(errors, {name: references[name] for name in errors})


SCORE = Score(
    name="decathlon",
    compute=score,
    lower_is_better=False,
    unit="points",
    summary="the Visual Decathlon's official score, over its own fine-tuned baseline",
    definition="The sum over domains of 1000 max(0, 1 - error / Emax)^2, where Emax is twice the error of the official "
    "baseline, a ResNet-26 that is fine-tuned on each domain. The baseline has 2500, no error at all 10000. On fewer "
    "than the ten domains it is the sum over those. Source: Rebuffi, Bilen, Vedaldi 2017.",
)
