"""The verbs of the core, in the form in which plugins bring theirs: {verb: ("module:function", summary)}.

A summary is the first paragraph of its verb's help. It stands here so that the list of verbs imports none of them;
tests/cli holds the two together.
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
        "Score a run's weights again, on the same images or on those kept for validation. Writes nothing.",
    ),
    "predict": (
        "udbench.cli.predict:predict",
        "Name the classes of image files, the most probable first, by a run's network for one of its domains.",
    ),
    "export": (
        "udbench.cli.export:export",
        "Write one domain's network with its norms folded into its convolutions, to be used without udbench.",
    ),
    "sweep": (
        "udbench.cli.sweep:sweep",
        "Run what a study lacks, one run after another, and print its table beside the published one.",
    ),
    "bench": (
        "udbench.cli.bench:bench",
        "Time the training step on made images beside its ceiling, itself one domain at a time, itself compiled, "
        "itself as CUDA graphs, and plain PyTorch, turn by turn in one run. Reads no data, writes to no board.",
    ),
    "plan": (
        "udbench.cli.plan:plan",
        "Predict what rounds take on several processes, from counted operations and a machine's rates. Reads no data.",
    ),
    "transfer": (
        "udbench.cli.transfer:transfer",
        "Take a trained network to a new domain, and write the result to the board transfer/DOMAIN.",
    ),
    "list": ("udbench.cli.list:list_", "List what is installed: name, owner and summary."),
    "show": ("udbench.cli.show:show", "Show a domain, suite, recipe, adapter … by name, or the result of a run."),
    "doctor": (
        "udbench.cli.doctor:doctor",
        "Look at versions, devices, memory, disks, data and plugins, and say what to do about each trouble.",
    ),
    "check": (
        "udbench.cli.check:check",
        "Check a plugin: that it keeps the contract, runs, and obeys the laws. Says what to mend.",
    ),
    "new-plugin": (
        "udbench.cli.new_plugin:new_plugin",
        "Write a new plugin's package that works at once: pyproject.toml, module, test and README.",
    ),
    "report": (
        "udbench.cli.report:report",
        "Write report.html in a run's folder: curves, errors, where time went, images that it got wrong.",
    ),
    "data": ("udbench.cli.data:app", "See what images are there, and make them ready."),
    "board": ("udbench.cli.board.app:app", "Compare results on a leaderboard."),
}
