"""From a configuration to a job."""

from __future__ import annotations

from udbench.cli import jobs


def test_whether_a_step_is_compiled_is_asked_anew_where_a_configuration_comes_from_a_run() -> None:
    ask = jobs.ask(adapter="domain-bn", arch="resnet38", domains="handwriting", compile=True)
    config = jobs.configuration(ask, "cpu", "fp32")
    assert config.compile
    assert not jobs.of_config(config).config.compile
    assert jobs.of_config(config, compile=True).config == config
