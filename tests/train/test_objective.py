"""The uniform objective: which gradients the losses of a round's slices leave."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udbench.train.objective import SliceLoss, Uniform

WEIGHTS = {"reds": 1.0, "blues": 3.0}


def round_of(divide_private: bool, *, split: bool = False) -> dict[str, Tensor]:
    """Gradients of a round whose losses are linear: of a shared parameter 2 and 5, of private ones 7 and 11."""
    shared, reds, blues = (nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(3))
    objective = Uniform(WEIGHTS, [shared], {"reds": [reds], "blues": [blues]}, divide_private=divide_private)
    slopes = {"reds": (2, 7, reds), "blues": (5, 11, blues)}
    for name, (of_shared, of_private, private) in slopes.items():
        for rows in (1, 3) if split else (4,):
            loss = of_shared * shared + of_private * private
            objective.backward([SliceLoss(domain=name, rows=rows, batch=4, loss=loss, reported=loss)])
    objective.normalize(slopes)
    return {name: p.grad for name, p in (("shared", shared), ("reds", reds), ("blues", blues)) if p.grad is not None}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
def test_shared_gradients_are_the_weighted_mean_and_private_ones_undivided(split: bool) -> None:
    """Two slices of a quarter and three quarters of a domain's batch count as one of the whole batch."""
    gradients = round_of(False, split=split)
    assert gradients == {"shared": (2 + 3 * 5) / 4, "reds": 7, "blues": 11}


def test_private_gradients_are_divided_by_all_weights_where_asked() -> None:
    assert round_of(True) == {"shared": (2 + 3 * 5) / 4, "reds": 7 / 4, "blues": 3 * 11 / 4}


def test_one_backward_of_a_forwards_slices_equals_one_of_each() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(3, 5, dtype=torch.float64))
    images, labels = torch.randn(8, 5, dtype=torch.float64), torch.arange(8) % 3
    objective = Uniform(WEIGHTS, [weight], {"reds": [], "blues": []}, divide_private=False)

    def slices() -> list[SliceLoss]:
        logits = images @ weight.T
        losses = [objective.loss(logits[:2], labels[:2]), objective.loss(logits[2:], labels[2:])]
        return [
            SliceLoss(domain=name, rows=rows, batch=rows, loss=loss, reported=loss)
            for name, rows, loss in zip(WEIGHTS, (2, 6), losses, strict=True)
        ]

    objective.backward(slices())
    together, weight.grad = weight.grad, None
    for number in range(2):
        objective.backward([slices()[number]])
    assert together is not None and weight.grad is not None
    assert torch.allclose(together, weight.grad, rtol=1e-14)


def test_a_parameter_that_no_slice_used_keeps_no_gradient() -> None:
    used, unused = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
    objective = Uniform({"reds": 2.0}, [used, unused], {"reds": []}, divide_private=False)
    loss = 3 * used
    objective.backward([SliceLoss(domain="reds", rows=4, batch=4, loss=loss, reported=loss)])
    objective.normalize(["reds"])
    assert unused.grad is None and used.grad == 3


def test_logits_in_bfloat16_are_converted_before_the_loss() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 3).bfloat16(), torch.tensor([0, 1, 2, 0])
    objective = Uniform({}, [], {}, divide_private=False)
    loss = objective.loss(logits, labels)
    assert loss.dtype == torch.float32 and torch.equal(loss, F.cross_entropy(logits.float(), labels))
