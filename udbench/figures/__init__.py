"""Figures as SVG text of our own: the same bytes each time, accessible, without a plotting library.

Those of boards and reports are named here; studies and benchmarks draw theirs by `udbench.figures.series`.
"""

from udbench.figures.cost import Named, scatter, sheet
from udbench.figures.diagrams import curve, interval, ranks, thinned

__all__ = ["Named", "curve", "interval", "ranks", "scatter", "sheet", "thinned"]
