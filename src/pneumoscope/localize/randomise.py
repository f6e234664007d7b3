"""Classifiers with re-drawn weights: what a heatmap looks like that knows nothing.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv 1810.03292), section 3: a map
that does not change when the weights are re-drawn does not explain the classifier. `randomised` is
the baseline with all of them re-drawn; `cascade` re-draws them from the head downwards.

Weights are drawn as for a training from scratch, except that no normalisation starts at scale zero
(which would switch residual branches off). Batch normalisations that were re-drawn get their
statistics from smooth noise, so that activations keep a sane scale at any depth.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pneumoscope.models.classifier import Classifier
from pneumoscope.models.ensemble import Ensemble

# Radiographs of noise for the statistics: few, but each gives a batch normalisation a whole grid.
_FILMS = 16
_NETWORK = "backbone.network."


def randomised(classifier: Classifier, seed: int) -> Classifier:
    """A copy of a classifier with all its weights re-drawn.

    Args:
        classifier: left as it is.
        seed: the same seed gives the same weights; torch's own generator is left alone.

    Returns:
        A classifier in eval mode on the same device.
    """
    if isinstance(classifier, Ensemble):
        return _with_members(classifier, [randomised(one, seed) for one in classifier.members])
    fresh = _fresh_state(classifier, seed)
    return _with_state(classifier, fresh, fresh.keys(), seed)


def block_names(classifier: Classifier) -> list[str]:
    """The blocks that `cascade` re-draws, in its order, named as in the network.

    Those of an ensemble are its members.
    """
    if isinstance(classifier, Ensemble):
        return [f"member {number + 1}" for number in range(len(classifier.members))]
    return [name for name, _ in _blocks(classifier)]


def cascade(
    classifier: Classifier, seed: int, wanted: Container[str] | None = None
) -> Iterator[tuple[str, Classifier]]:
    """Copies of a classifier re-drawn from the head downwards, block by block.

    Args:
        classifier: left as it is.
        seed: as of `randomised`; the last copy is what `randomised` gives with it.
        wanted: the blocks to stop at; all of `block_names` by default.

    Yields:
        The block re-drawn last, named as in the network (`head`, `layer4.1`, ...), and a copy in
        eval mode with the weights of this block and all the ones behind it re-drawn. A copy is made
        when it is asked for.
    """
    if isinstance(classifier, Ensemble):
        members = classifier.members
        for index, name in enumerate(block_names(classifier)):
            members[index] = randomised(members[index], seed)
            if wanted is None or name in wanted:
                yield name, _with_members(classifier, members)
        return
    fresh = _fresh_state(classifier, seed)
    redrawn: list[str] = []
    for name, keys in _blocks(classifier):
        redrawn += keys
        if wanted is None or name in wanted:
            yield name, _with_state(classifier, fresh, redrawn, seed)


def _with_members(ensemble: Ensemble, members: Sequence[Classifier]) -> Ensemble:
    changed = Ensemble(members, ensemble.temperatures, ensemble.biases)
    return changed.to(ensemble.mean.device).eval()


def _blocks(classifier: Classifier) -> list[tuple[str, list[str]]]:
    """Names of the blocks, the head first, each with its keys in the classifier's state.

    A block is a child of the network, or a child's child where the child is a mere sequence.
    """
    sequences = {
        name
        for name, child in classifier.backbone.network.named_children()
        if isinstance(child, nn.Sequential)
    }
    blocks: dict[str, list[str]] = {}
    for key in classifier.state_dict():
        blocks.setdefault(_block_of(key, sequences), []).append(key)
    return list(blocks.items())[::-1]


def _block_of(key: str, sequences: set[str]) -> str:
    if not key.startswith(_NETWORK):
        return key.removeprefix("backbone.").split(".", maxsplit=1)[0]
    parts = key.removeprefix(_NETWORK).split(".")
    return ".".join(parts[:2]) if parts[0] in sequences else parts[0]


def _fresh_state(classifier: Classifier, seed: int) -> dict[str, Tensor]:
    """The state of a classifier of the same shape as training from scratch would begin with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = Classifier(classifier.architecture)
    for module in fresh.modules():
        if isinstance(module, _BatchNorm):
            module.reset_parameters()
    return fresh.state_dict()


def _with_state(
    classifier: Classifier, fresh: dict[str, Tensor], keys: Iterable[str], seed: int
) -> Classifier:
    """A copy of the classifier that has `keys` from `fresh`, and statistics to go with them."""
    changed = copy.deepcopy(classifier).eval()
    chosen = set(keys)
    changed.load_state_dict({key: fresh[key] for key in chosen}, strict=False)
    norms = [
        module
        for name, module in changed.named_modules()
        if isinstance(module, _BatchNorm) and f"{name}.running_mean" in chosen
    ]
    if norms:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(_FILMS, 1, 8, 8, generator=generator)
        size = (classifier.architecture.size,) * 2
        films = nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
        with torch.no_grad(), _taking_statistics(norms):
            changed(films.to(classifier.mean.device))
    return changed


@contextmanager
def _taking_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Let these normalisations, and nothing else, take the next batch's statistics for theirs."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
