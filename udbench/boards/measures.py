"""What the figures beside a score mean: those that a record holds, and those that a board makes of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from udbench.results import RunResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A figure of a result, or, where `of` is None, of rows of a board. `field` is where a result.json holds it."""

    name: str
    unit: str
    lower_is_better: bool
    definition: str
    field: str = ""
    of: Callable[[RunResult], float] | None = None


MEASURES: tuple[Measure, ...] = (
    Measure(
        name="ud-score",
        unit="points",
        lower_is_better=False,
        definition="The Visual Decathlon's formula over the errors of networks that share nothing: the sum over "
        "domains of 1000 max(0, 1 - error / Emax)^2, where Emax is twice the baseline's error there. The baseline "
        "itself has 250 a domain, no error at all 1000. It is measured by a numbered baseline, which never changes "
        "(udbench board baseline), and only on the very same images. Source: Rebuffi, Bilen, Vedaldi 2017.",
    ),
    Measure(
        name="parameters",
        unit="numbers",
        lower_is_better=True,
        definition="All numbers that the network holds for all domains: those that domains share, once, and those that "
        "each domain owns. Running moments of norms are not counted; they are no parameters.",
        field="params.shared + params.private",
        of=lambda result: result.params.shared + result.params.private,
    ),
    Measure(
        name="parameters-ratio",
        unit="times one network",
        lower_is_better=True,
        definition="The parameters against those of one network of one domain, trunk and head, the mean over the "
        "domains: the smallest that any method of the table holds on that architecture. It is the plain network as "
        "soon as one of them adds nothing to it, and boards say which methods hold just that. This is what "
        "publications print, except that theirs counts a mask by its bits, as bits-ratio does here. A record holds "
        "what is shared and private with the adapter's own in it, so that it cannot tell the plain network by itself.",
    ),
    Measure(
        name="ratio",
        unit="times the networks of one domain",
        lower_is_better=True,
        definition="The parameters against the mean of what the networks of one domain alone would hold with this very "
        "adapter in them. 1 is a network that is shared as a whole; as many as there are domains, no sharing. It says "
        "how much is shared and not what an adapter adds: that is parameters-ratio.",
        field="params.ratio",
        of=lambda result: result.params.ratio,
    ),
    Measure(
        name="bits",
        unit="bits",
        lower_is_better=True,
        definition="What it takes to store the parameters: 32 bits for each, whatever precision they were trained in, "
        "or what the adapter says that one takes once trained, such as 1 bit for a mask.",
        field="params.bits",
        of=lambda result: result.params.bits,
    ),
    Measure(
        name="bits-ratio",
        unit="times one network",
        lower_is_better=True,
        definition="The bits against those of one network of one domain, 32 for each of its parameters; the network "
        "is that of parameters-ratio.",
    ),
    Measure(
        name="operations",
        unit="multiplications and additions",
        lower_is_better=True,
        definition="Counted operations of one image's forward, the mean over domains.",
        field="flops",
        of=lambda result: result.flops,
    ),
    Measure(
        name="training-time",
        unit="s",
        lower_is_better=True,
        definition="Seconds of training by the clock, evaluations and preparation not included, on the hardware that "
        "the record names; summed over the parts of a run that was resumed, and over networks that share nothing.",
        field="seconds",
        of=lambda result: result.seconds,
    ),
    Measure(
        name="throughput",
        unit="images/s",
        lower_is_better=False,
        definition="Training images of all domains in a second of training time. Compare it on the same hardware only.",
        field="images_per_second",
        of=lambda result: result.images_per_second,
    ),
    Measure(
        name="spread",
        unit="points",
        lower_is_better=True,
        definition="The standard deviation (n - 1) of the mean error over the seeds of a method.",
    ),
    Measure(
        name="noise",
        unit="points",
        lower_is_better=True,
        definition="Half of a 95 % interval of the mean error that comes from the number of test images alone, by the "
        "domains' Wilson intervals, so that it is not 0 where nothing was told wrongly. The "
        "same images told in several draws are no more images.",
    ),
)


def measure(name: str) -> Measure | None:
    """The measure of this name."""
    return next((each for each in MEASURES if each.name == name), None)
