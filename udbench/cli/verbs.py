"""The verbs of the core, in the form that plugins use as well: {verb: ("module:function", summary)}.

A summary equals the first paragraph of its verb's help (tests/cli checks it). It is repeated here so that listing the
verbs imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping

VERBS: Mapping[str, tuple[str, str]] = {
    "run": (
        "udbench.cli.run:run",
        "Train one network on many domains, score it on each, and write the result to a board.",
    ),
    "eval": (
        "udbench.cli.eval:eval_",
        "Evaluate the weights of a finished run again, on its test or validation images. Writes nothing.",
    ),
    "predict": (
        "udbench.cli.predict:predict",
        "Classify image files with the network of a finished run, and print the most probable classes.",
    ),
    "export": (
        "udbench.cli.export:export",
        "Export the network of one domain, its norms folded into the convolutions, for use without udbench.",
    ),
    "sweep": (
        "udbench.cli.sweep:sweep",
        "Run the missing runs of a study and print the results next to the published table.",
    ),
    "bench": (
        "udbench.cli.bench:bench",
        "Benchmark the training step on synthetic images against an upper bound, its own variants (ungrouped, "
        "compiled, CUDA graphs) and plain PyTorch, interleaved in one process. Reads no data and writes to no board.",
    ),
    "plan": (
        "udbench.cli.plan:plan",
        "Predict speed and memory on several processes from operation counts and hardware rates. Reads no data.",
    ),
    "transfer": (
        "udbench.cli.transfer:transfer",
        "Transfer a trained network to a new domain, and write the result to the board transfer/DOMAIN.",
    ),
    "list": ("udbench.cli.list:list_", "List installed items of a kind with name, plugin and summary."),
    "show": ("udbench.cli.show:show", "Show a domain, suite, recipe, adapter, … by name, or the result of a run."),
    "doctor": (
        "udbench.cli.doctor:doctor",
        "Check versions, devices, memory, disks, data and plugins, and suggest a fix for each problem.",
    ),
    "check": (
        "udbench.cli.check:check",
        "Check that a plugin follows its contract, runs and passes the laws; suggest a fix for each failure.",
    ),
    "new-plugin": (
        "udbench.cli.new_plugin:new_plugin",
        "Create a working plugin package: pyproject.toml, module, test and README.",
    ),
    "report": (
        "udbench.cli.report:report",
        "Write report.html into a run's folder: learning curves, errors, timing and misclassified images.",
    ),
    "data": ("udbench.cli.data:app", "Download, prepare and check the images of domains."),
    "board": ("udbench.cli.board.app:app", "Compare results on a leaderboard."),
}
