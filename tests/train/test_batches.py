"""A batch of one image, and norms that take mean and variance from it."""

from __future__ import annotations

import pytest
import torch

from udbench.errors import SettingError
from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.plugin.registry import Registry
from udbench.testing import toys
from udbench.train.batches import check_batches
from udbench.train.model import build_model

NAMES = ["reds", "blues"]


@pytest.mark.parametrize("adapter", ["domain-bn", "universal-bn"])
def test_a_norm_that_would_see_a_single_value_is_named_before_training(registry: Registry, adapter: str) -> None:
    """The hidden layers of AlexNet's heads have batch norms, whose map is one position."""
    data = [toys.toy_data(name, size=64) for name in NAMES]
    arch = registry.get(Architecture, "alexnet")
    model = build_model(arch, registry.get(Adapter, adapter), toys.toy_inputs(data), arch_settings=arch.settings())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for settings in ({"batch_size": 1}, {"batch_size": 2, "domain": {"blues": {"batch_size": 1}}}):
        with pytest.raises(SettingError, match=r"batch_size=1 for '(reds|blues)': batch norm 'heads\.(reds|blues)"):
            check_batches(model, toys.toy_settings(**settings), NAMES, "fp32")
    check_batches(model, toys.toy_settings(batch_size=2), NAMES, "fp32")
    check_batches(model, toys.toy_settings(batch_size=2, domain={"blues": {"batch_size": 1}}), ["reds"], "fp32")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items()), "it was only looked at"


def test_a_batch_of_one_will_do_where_maps_have_several_positions(registry: Registry) -> None:
    data = [toys.toy_data(name) for name in NAMES]
    model = build_model(toys.toy_architecture(), registry.get(Adapter, "domain-bn"), toys.toy_inputs(data))
    check_batches(model, toys.toy_settings(batch_size=1), NAMES, "fp32")
