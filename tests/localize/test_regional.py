"""The regional head's map on cells whose log-odds are known."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from pneumoscope.localize.regional import regional
from pneumoscope.models.classifier import Classifier
from pneumoscope.models.heads import RegionalHead


class Known(nn.Module):
    """A classifier whose cells have given log-odds."""

    def __init__(self, cells: list[list[float]]) -> None:
        super().__init__()
        self._cells = torch.tensor([cells])
        self.eval()

    def cells(self, pixels: Tensor) -> Tensor:
        return self._cells

    def pooled(self, cells: Tensor) -> Tensor:
        return RegionalHead(1).pool(cells)


def heat(cells: list[list[float]], target: int = 1) -> Tensor:
    return regional(cast(Classifier, Known(cells)), torch.zeros(1, 1, 8, 8), target).maps[0]


def test_a_cell_as_sure_as_its_film_has_half_its_probability() -> None:
    same = heat([[2.0, 2.0], [2.0, 2.0]])
    torch.testing.assert_close(same, torch.sigmoid(torch.tensor(2.0)).expand(2, 2) / 2)


def test_the_value_of_a_cell() -> None:
    cells = torch.tensor([[6.0, -3.0], [1.0, 0.0]])
    weights = torch.sigmoid(cells) / torch.sigmoid(cells).sum()
    film = (weights * cells).sum()
    expected = torch.sigmoid(cells) * torch.sigmoid((cells - film) / 6)
    torch.testing.assert_close(heat(cells.tolist()), expected)


def test_cells_of_a_confident_film_are_told_apart() -> None:
    """Their probabilities are .999 and 1.000, which would paint the whole radiograph red."""
    found = heat([[7.0, 8.0], [12.0, 7.0]])
    assert found.argmax() == 2
    assert float(torch.sigmoid(torch.tensor(7.0))) > 0.999
    assert float(found[0, 0]) < 0.8 * float(found.max())


def test_a_film_called_positive_reaches_a_quarter_and_others_stay_faint() -> None:
    generator = torch.Generator().manual_seed(0)
    reached = []
    for _ in range(200):
        cells = torch.randn(4, 4, generator=generator) * 3 + torch.randn(1, generator=generator) * 2
        pooled = RegionalHead(1).pool(cells[None])[0, 1]
        if pooled >= 0:
            reached.append(float(heat(cells.tolist()).max()))
    assert len(reached) > 20 and min(reached) >= 0.25
    assert float(heat([[-5.0, -4.0], [-6.0, -3.0]]).max()) < 0.05


def test_the_negative_class_is_hot_where_the_film_speaks_against_disease() -> None:
    cells = [[-4.0, -1.0], [-2.0, -3.0]]
    opposite = [[-z for z in row] for row in cells]
    assert heat(cells, 0).argmax() == 0
    # Pooling looks for disease, so the two classes are no mirror images; the order of cells is.
    assert (
        heat(opposite).flatten().argsort().tolist() == heat(cells, 0).flatten().argsort().tolist()
    )


@pytest.mark.parametrize("level", [-80.0, 80.0])
def test_extreme_log_odds_give_numbers(level: float) -> None:
    found = heat([[level, level], [0.0, level]])
    assert torch.isfinite(found).all() and 0 <= float(found.min()) <= float(found.max()) <= 1
