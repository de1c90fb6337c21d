"""Which weights a net keeps: masks, drawn by exact counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from sklearn_memgen.training.multipliers import check_option

__all__ = [
    "CRITERIA",
    "PruningRule",
    "full_masks",
    "mask_distance",
    "prunable_weights",
    "random_masks",
]

#: By what weights are ranked; see `PruningRule`.
CRITERIA = ("magnitude", "magnitude_increase", "movement", "random")
#: What masks are drawn over: each layer, or all of them.
SCOPES = ("layer", "global")
#: So many rounds are the most that a target may take.
_MOST_ROUNDS = 1000.0


def prunable_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights that can be pruned, from the input to the output.

    Parameters
    ----------
    module : Module
        The net.

    Returns
    -------
    weights : dict of str to Parameter
        The `weight` of each `torch.nn.Linear` and convolution, and of other modules
        that say ``is_linear = True``, by name and in the order of the module. The last
        is that of the output layer. Biases, normalization, embeddings, and weights
        that are frozen are not among them.

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> from torch import nn
    >>> from sklearn_memgen.training import prunable_weights
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    >>> list(prunable_weights(net))
    ['0.weight', '2.weight']
    """
    known = dict(module.named_parameters())
    found: dict[str, Tensor] = {}
    for owner, part in module.named_modules():
        name = f"{owner}.weight" if owner else "weight"
        is_linear = isinstance(part, nn.Linear | _ConvNd)
        is_linear = is_linear or getattr(part, "is_linear", False)
        if is_linear and name in known and known[name].requires_grad:
            found[name] = known[name]
    if not found:
        raise ValueError(
            f"{type(module).__name__} has no layer that can be pruned: no weight of a "
            "torch.nn.Linear or convolution that learns"
        )
    return found


def full_masks(module: nn.Module) -> dict[str, Tensor]:
    """Return masks that keep all prunable weights, as tensors of True on the CPU."""
    return {
        name: torch.ones(weight.shape, dtype=torch.bool)
        for name, weight in prunable_weights(module).items()
    }


@dataclass(frozen=True)
class PruningRule:
    r"""How many weights a round of pruning keeps, and which.

    Parameters
    ----------
    rate : float, default=0.2
        Share of the remaining weights that a round takes, in [0, 1).
    output_rate : float or None, default=0.1
        The same for the output layer. None treats it as all others.
    scope : {"layer", "global"}, default="layer"
        Whether each layer loses its share, or all layers together, but for the output
        layer if it has a rate of its own.
    criterion : str, default="magnitude"
        Or "magnitude_increase", "movement" or "random". What is kept: with the weight
        :math:`\theta` after training and :math:`\theta_0` before it, the largest
        :math:`|\theta|`,
        :math:`|\theta| - |\theta_0|` or :math:`|\theta - \theta_0|`, or any.

    Notes
    -----
    Of :math:`n` remaining weights a round keeps exactly
    :math:`round(n (1 - rate)^s)`, a half to the even number; the strength :math:`s` is
    1 for a whole round. What was pruned stays pruned. Of equal scores the weights that
    come first in the tensor, and in the order of layers, are kept.

    References
    ----------
    .. [1] Frankle and Carbin, "The Lottery Ticket Hypothesis", 2019,
       https://arxiv.org/abs/1803.03635
    .. [2] Zhou et al., "Deconstructing Lottery Tickets", 2019,
       https://arxiv.org/abs/1905.01067 (criteria)

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import PruningRule
    >>> rule = PruningRule(rate=0.5, output_rate=None)
    >>> final = {"w": torch.tensor([0.1, -3.0, 2.0, 0.5])}
    >>> masks = rule.draw({"w": torch.ones(4, dtype=torch.bool)}, final, final)
    >>> masks["w"]
    tensor([False,  True,  True, False])
    """

    rate: float = 0.2
    output_rate: float | None = 0.1
    scope: str = "layer"
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        check_option("scope", self.scope, SCOPES)
        check_option("criterion", self.criterion, CRITERIA)

    def rates(self, names: Mapping[str, object]) -> dict[str, float]:
        """Return the rate of each layer; the last is the output layer."""
        rates = dict.fromkeys(names, self.rate)
        if self.output_rate is not None:
            rates[list(rates)[-1]] = self.output_rate
        return rates

    def counts(
        self, n_remaining: Mapping[str, int], strength: float = 1.0
    ) -> dict[tuple[str, ...], int]:
        """Return how many weights a round keeps.

        Parameters
        ----------
        n_remaining : mapping of str to int
            Weights that remain, by layer, in their order.
        strength : float, default=1.0
            How many rounds to take at once.

        Returns
        -------
        counts : dict of tuple of str to int
            For each group of layers that are ranked together.

        Raises
        ------
        ValueError
            If a layer would keep nothing.
        """
        rates = self.rates(n_remaining)
        groups: list[tuple[str, ...]] = [(name,) for name in rates]
        if self.scope == "global":
            apart = list(rates)[-1:] if self.output_rate is not None else []
            together = tuple(name for name in rates if name not in apart)
            groups = [g for g in (together, tuple(apart)) if g]
        counts = {}
        for group in groups:
            n = sum(n_remaining[name] for name in group)
            counts[group] = round(n * (1 - rates[group[0]]) ** strength)
            if n and not counts[group]:
                raise ValueError(_pruned_to_nothing(group[0], n))
        return counts

    def strength_for(self, sizes: Mapping[str, int], remaining: float) -> float:
        """Return how many rounds it takes until a share of all weights remains.

        Parameters
        ----------
        sizes : mapping of str to int
            Weights of each layer.
        remaining : float
            The share, in (0, 1].

        Returns
        -------
        n_rounds : float
            Not rounded.

        Raises
        ------
        ValueError
            If the rates never come so far.
        """
        rates, total = self.rates(sizes), sum(sizes.values())

        def share(strength: float) -> float:
            kept = (n * (1 - rates[name]) ** strength for name, n in sizes.items())
            return sum(kept) / total

        if share(_MOST_ROUNDS) > remaining:
            raise ValueError(
                f"remaining={remaining} is never reached: with prune_rate={self.rate} "
                f"and output_prune_rate={self.output_rate} a share of "
                f"{share(_MOST_ROUNDS):.2g} remains after {_MOST_ROUNDS:.0f} rounds"
            )
        low, high = 0.0, _MOST_ROUNDS
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if share(middle) > remaining else (low, middle)
        return high

    def draw(
        self,
        masks: Mapping[str, Tensor],
        final: Mapping[str, Tensor],
        initial: Mapping[str, Tensor],
        *,
        strength: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """Return the masks of the next round.

        Parameters
        ----------
        masks : mapping of str to Tensor, bool
            What remains, by layer, in their order.
        final, initial : mapping of str to Tensor
            The weights after and before training, of the same shapes.
        strength : float, default=1.0
            How many rounds to take at once.
        seed : int, default=0
            Draws the weights of ``criterion="random"``.

        Returns
        -------
        masks : dict of str to Tensor, bool
            True for what is kept, on the CPU.

        Raises
        ------
        ValueError
            If a weight is NaN or infinite, or a layer would keep nothing.
        """
        generator = torch.Generator().manual_seed(seed)
        scores = {}
        for name, mask in masks.items():
            weight, before = final[name].cpu(), initial[name].cpu()
            if not weight.isfinite().all():
                raise ValueError(
                    f"weights of {name!r} are NaN or infinite; they cannot be ranked"
                )
            scores[name] = self._score(weight, before, generator)[mask]
        n_remaining = {name: int(mask.sum()) for name, mask in masks.items()}
        drawn = {}
        for group, n_kept in self.counts(n_remaining, strength).items():
            together = torch.cat([scores[name] for name in group])
            order = torch.argsort(together, descending=True, stable=True)
            kept = torch.zeros(len(together), dtype=torch.bool)
            kept[order[:n_kept]] = True
            parts = kept.split([n_remaining[name] for name in group])
            for name, part in zip(group, parts, strict=True):
                if n_remaining[name] and not part.any():
                    raise ValueError(_pruned_to_nothing(name, n_remaining[name]))
                drawn[name] = masks[name].clone().masked_scatter(masks[name], part)
        return {name: drawn[name] for name in masks}

    def _score(self, final: Tensor, initial: Tensor, generator: torch.Generator):
        if self.criterion == "magnitude":
            return final.abs()
        if self.criterion == "magnitude_increase":
            return final.abs() - initial.abs()
        if self.criterion == "movement":
            return (final - initial).abs()
        return torch.rand(final.shape, generator=generator)


def random_masks(masks: Mapping[str, Tensor], *, seed: int) -> dict[str, Tensor]:
    """Return masks that keep as many weights of each layer, chosen at random.

    Parameters
    ----------
    masks : mapping of str to Tensor, bool
        By layer.
    seed : int
        Draws them.

    Returns
    -------
    masks : dict of str to Tensor, bool
        Of the same shapes.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=generator)
        drawn[name] = mask.flatten()[order].view_as(mask)
    return drawn


def mask_distance(
    one: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    before: Mapping[str, Tensor],
) -> float:
    """Return how far two masks are apart, drawn from the same one.

    Parameters
    ----------
    one, other : mapping of str to Tensor, bool
        The masks; they keep as many weights.
    before : mapping of str to Tensor, bool
        What remained before.

    Returns
    -------
    distance : float
        The share of the weights pruned by `one` that `other` keeps: the Hamming
        distance over twice their number, from 0 to 1.
    """
    pruned = sum(int((before[name] & ~mask).sum()) for name, mask in one.items())
    differ = sum(int((mask ^ other[name]).sum()) for name, mask in one.items())
    return differ / (2 * pruned) if pruned else 0.0


def _pruned_to_nothing(name: str, n_remaining: int) -> str:
    return (
        f"the layer {name!r} would be pruned to nothing: {n_remaining} of its weights "
        "remain; take fewer rounds, a larger remaining, or a smaller prune_rate"
    )
