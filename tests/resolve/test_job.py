"""From a configuration to a job."""

from __future__ import annotations

from udbench.plugin.session import Session
from udbench.resolve.job import job_of_config, make_config
from udbench.resolve.request import RunRequest, resolve


def test_whether_a_step_is_compiled_is_asked_anew_where_a_configuration_comes_from_a_run() -> None:
    session = Session()
    run = resolve(
        session, RunRequest(choices={"adapter": "domain-bn", "arch": "resnet38"}, domains="handwriting", compile=True)
    )
    config = make_config(run, "cpu", "fp32")
    assert config.compile
    assert not job_of_config(session, config).config.compile
    assert job_of_config(session, config, compile=True).config == config
