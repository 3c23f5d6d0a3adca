"""Where kernels cannot run it is said, and nothing breaks."""

from __future__ import annotations

import pytest
import torch

from udbench.train.norm import fused


def test_a_cpu_has_no_kernels_and_says_nothing(recwarn: pytest.WarningsRecorder) -> None:
    assert not fused.has_kernels(torch.device("cpu"))
    assert not list(recwarn)


def test_without_triton_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "find_spec", lambda name: None)
    assert fused.why_not(torch.device("cuda")) == ("Triton is not installed", "install the version that torch requires")
    with pytest.warns(UserWarning, match="on cuda:3 .* one by one, which is slower: Triton is not installed"):
        assert not fused._tried.__wrapped__(3)


def test_a_triton_that_does_not_work_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_given: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nmore")

    monkeypatch.setattr(fused, "normalise", fails)
    monkeypatch.setattr(fused, "find_spec", lambda name: name)
    said, mend = fused.why_not(torch.device("cpu")) or ("", "")
    assert said == "Triton does not work here (RuntimeError: Failed to find C compiler.)"
    assert "C compiler" in mend


def test_kernels_that_give_wrong_sums_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "find_spec", lambda name: name)
    for off, trouble in ((0.0, None), (0.5, "Triton's kernels give wrong sums")):
        monkeypatch.setattr(
            fused, "normalise", lambda x, *_given, off=off: (x / x.mean(), x.mean((0, 2, 3))[None] + off, x)
        )
        found = fused.why_not(torch.device("cpu"))
        assert (found and found[0]) == trouble


def test_kernels_run_on_the_device_of_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[torch.Tensor] = []

    class Within:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

        def __enter__(self) -> None:
            entered.append(self.tensor)

        def __exit__(self, *_raised: object) -> None:
            entered.append(torch.empty(0))

    class Kernel:
        def __getitem__(self, grid: object) -> object:
            return lambda *given, **named: entered.append(torch.ones(1))

    monkeypatch.setattr(torch.cuda, "device_of", Within)
    grid = fused._grid(torch.device("cpu"), (2, 2), 16, 8)
    for launch in (grid.summing, grid.summed, grid.all):
        entered.clear()
        launch(Kernel())
        assert [len(each) for each in entered] == [len(grid.starts), 1, 0]
