"""The names of the variants and layouts that can be benchmarked."""

from __future__ import annotations

# variants that are compared with the upper bound
CONTENDERS = ("one-by-one", "plain", "compiled", "graphs", "compiled-graphs", "evaluation")
WITH_GRAPHS = ("graphs", "compiled-graphs")  # on CUDA devices only

# layouts of `bench processes`: processes x threads per process
WORLDS = ("2x1", "1x2", "1x1")
