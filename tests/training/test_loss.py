"""Focal loss against hand-computed values and its limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pneumoscope.training.loss import FocalLoss, balanced_alpha, focal_loss, outside_lungs


def test_a_value_by_hand() -> None:
    # p = .9 for the true class: -(1 - .9)^2 log(.9), weighted with .5.
    logits = torch.tensor([[0.0, math.log(9.0)]])
    value = focal_loss(logits, torch.tensor([1]), gamma=2.0, alpha=torch.tensor([1.5, 0.5]))
    assert float(value) == pytest.approx(0.5 * 0.1**2 * -math.log(0.9), rel=1e-5)


def test_gamma_zero_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(16, 2), torch.randint(2, (16,))
    torch.testing.assert_close(focal_loss(logits, targets, 0.0), F.cross_entropy(logits, targets))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_gradient_is_right_and_finite(gamma: float) -> None:
    logits = torch.tensor([[2.0, -1.0], [0.1, 0.2]], dtype=torch.double, requires_grad=True)
    targets = torch.tensor([0, 1])
    # The loss computes in float32, hence the loose tolerance.
    value = focal_loss(logits, targets, gamma)
    (gradient,) = torch.autograd.grad(value, logits)
    for row in range(2):
        for column in range(2):
            step = torch.zeros(2, 2, dtype=torch.double)
            step[row, column] = 1e-2
            up = focal_loss((logits + step).detach(), targets, gamma)
            down = focal_loss((logits - step).detach(), targets, gamma)
            assert float(gradient[row, column]) == pytest.approx(float(up - down) / 2e-2, abs=2e-4)
    sure = torch.tensor([[80.0, -80.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(focal_loss(sure, torch.tensor([0]), gamma), sure)
    assert torch.isfinite(gradient).all()


def test_easy_examples_weigh_less() -> None:
    easy, hard = torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, -1.0]])
    target = torch.tensor([1])
    ratios = [float(focal_loss(hard, target, g) / focal_loss(easy, target, g)) for g in (0, 1, 2)]
    assert ratios[0] < ratios[1] < ratios[2]


def test_alpha_is_the_papers() -> None:
    targets = torch.cat([torch.zeros(1114), torch.ones(2951)]).long()
    torch.testing.assert_close(
        balanced_alpha(targets), torch.tensor([1.452, 0.548]), atol=5e-4, rtol=0
    )


def test_the_module_is_the_function() -> None:
    logits, targets, alpha = torch.randn(4, 2), torch.tensor([0, 1, 1, 0]), torch.tensor([1.4, 0.6])
    torch.testing.assert_close(
        FocalLoss(2.0, alpha)(logits, targets), focal_loss(logits, targets, 2.0, alpha)
    )


def test_disease_outside_the_lungs_costs() -> None:
    lungs = torch.zeros(1, 1, 8, 8)
    lungs[..., :4] = 1
    inside, outside = torch.full((1, 4, 4), -20.0), torch.full((1, 4, 4), -20.0)
    inside[..., :2] = 3.0
    outside[..., 2:] = 3.0
    assert float(outside_lungs(inside, lungs)) == pytest.approx(0, abs=1e-6)
    # -log(1 - p) of the cells outside, by hand.
    assert float(outside_lungs(outside, lungs)) == pytest.approx(3.0486, abs=1e-3)
    assert float(outside_lungs(outside, torch.ones(1, 1, 8, 8))) == 0
