"""The task model keeps gantk's contract; the network is the one that spandrel knows."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from translate import UsageError
from translate.testing import check_task_model

from gantk_realplksr.model import RealPLKSR
from gantk_realplksr.network import RealPLKSRNet


def test_contract() -> None:
    check_task_model(RealPLKSR(width=4, blocks=1, kernel=3, d_width=2, warmup=0))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_spandrel_computes_the_same(scale: int) -> None:
    spandrel = pytest.importorskip("spandrel")
    torch.manual_seed(0)
    net = RealPLKSRNet(scale, width=8, blocks=2, kernel=5)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    theirs = spandrel.ModelLoader("cpu").load_from_state_dict(net.spandrel_state())
    assert (theirs.architecture.id, theirs.scale) == ("PLKSR", scale)
    low = torch.rand(1, 3, 9, 7)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.model(low.clone()), (net(low * 2 - 1) + 1) / 2, rtol=1e-4, atol=1e-4)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="--kernel 4: expected an odd number"):
        RealPLKSR(kernel=4)
    with pytest.raises(UsageError, match="--width 10: expected a multiple of 4"):
        RealPLKSR(width=10)
