"""A comparison of methods for Python and notebooks: DataFrames, sentences, HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from udbench.boards.compare import ALPHA, Comparison, p_text
from udbench.frames import frame
from udbench.html import table

if TYPE_CHECKING:
    import pandas as pd

_DIFFERENCE = {
    "difference": "float64",
    "low": "float64",
    "high": "float64",
    "p": "float64",
    "p_corrected": "float64",
    "significant": "bool",
}
PAIR_COLUMNS: Mapping[str, str] = {
    "first": "str",
    "second": "str",
    **_DIFFERENCE,
    "wins": "int64",
    "ties": "int64",
    "losses": "int64",
}
DOMAIN_COLUMNS: Mapping[str, str] = {"first": "str", "second": "str", "domain": "str", **_DIFFERENCE}
METHOD_COLUMNS: Mapping[str, str] = {
    "name": "str",
    "adapter": "str",
    "arch": "str",
    "sharing": "str",
    "recipe": "str",
    "seeds": "int64",
    "mean_error": "float64",
    "low": "float64",
    "high": "float64",
    "interval_of": "str",
    "params": "int64",
    "bits": "int64",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class BoardComparison:
    """Methods of one board on the same test images, as `udbench board compare` compares them.

    `details` holds all figures as objects. Differences are the first method's error less the second's, in points of
    percent: below 0 the first is better. Intervals are of 95 %. `p_corrected` is corrected for the number of tests:
    that of a mean error over the pairs, that of a domain over all domains and pairs (Holm; of more than eight methods
    each is tested against the best only, by Bonferroni). `significant` says whether it is below 0.05.
    """

    details: Comparison

    @property
    def conclusion(self) -> tuple[str, ...]:
        """What can be concluded, in sentences."""
        return self.details.conclusion

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each pair of methods, of the difference of their mean errors.

        Columns: first, second (text), difference, low, high, p, p_corrected (float64), significant (bool), and on how
        many domains the first is significantly better (wins), worse (losses) or neither (ties), int64.
        """
        rows = [
            {
                "first": pair.first,
                "second": pair.second,
                **_difference(asdict(pair.mean), pair.mean_corrected),
                "wins": len(pair.wins),
                "ties": len(pair.ties),
                "losses": len(pair.losses),
            }
            for pair in self.details.pairs
        ]
        return frame(rows, PAIR_COLUMNS)

    def by_domain(self) -> pd.DataFrame:
        """A DataFrame with a row for each pair of methods and domain, of the difference of their errors there.

        Columns: first, second, domain (text), difference, low, high, p, p_corrected (float64), significant (bool).
        """
        rows = [
            {
                "first": pair.first,
                "second": pair.second,
                "domain": name,
                **_difference(asdict(of), pair.corrected[name]),
            }
            for pair in self.details.pairs
            for name, of in pair.domains.items()
        ]
        return frame(rows, DOMAIN_COLUMNS)

    def methods(self) -> pd.DataFrame:
        """A DataFrame with a row for each method.

        Columns: name, adapter, arch, sharing, recipe (text), seeds (int64), mean_error and its interval, low and high
        (float64, percent), interval_of ("seeds" or "test images"), params and bits (int64).
        """
        rows = [
            {
                "name": method.name,
                **{key: getattr(method.entries[0].result, key) for key in ("adapter", "arch", "sharing", "recipe")},
                "seeds": method.mean.n,
                "mean_error": method.mean.mean,
                "low": method.interval.low,
                "high": method.interval.high,
                "interval_of": "seeds" if method.interval.of_seeds else "test images",
                "params": method.size.parameters,
                "bits": method.size.bits,
            }
            for method in self.details.methods
        ]
        return frame(rows, METHOD_COLUMNS)

    def __repr__(self) -> str:
        names = [method.name for method in self.details.methods]
        different = sum(pair.mean_corrected < ALPHA for pair in self.details.pairs)
        return (
            f"BoardComparison(suite={self.details.suite!r}, methods={names!r}, "
            f"significantly_different={different} of {len(self.details.pairs)})"
        )

    def __str__(self) -> str:
        return "\n".join(self.conclusion)

    def _repr_html_(self) -> str:
        whole = self.details
        methods = table(
            f"{whole.suite}: {len(whole.methods)} methods on the same test images",
            ("method", ">mean error %", ">95 % interval", ">seeds", ">parameters"),
            [
                (
                    method.name,
                    f"{method.mean.mean:.2f}",
                    f"{method.interval.low:.1f} … {method.interval.high:.1f}",
                    str(method.mean.n),
                    f"{method.size.parameters:,}",
                )
                for method in whole.methods
            ],
        )
        pairs = table(
            "Differences of the mean error",
            ("methods", ">points", ">95 % interval", f">p ({whole.correction})"),
            [
                (
                    f"{pair.first} − {pair.second}",
                    f"{pair.mean.value:+.2f}",
                    f"{pair.mean.low:+.2f} … {pair.mean.high:+.2f}",
                    p_text(pair.mean_corrected).removeprefix("= "),
                )
                for pair in whole.pairs
            ],
            whole.conclusion,
        )
        return f"<div>{methods}{pairs}</div>"


def _difference(of: Mapping[str, float], corrected: float) -> dict[str, float | bool]:
    return {
        "difference": of["value"],
        "low": of["low"],
        "high": of["high"],
        "p": of["p"],
        "p_corrected": corrected,
        "significant": corrected < ALPHA,
    }
