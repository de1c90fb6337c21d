"""Guide: how much each parameter may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer

from sklearn_memgen.training import guide_spread
from sklearn_memgen.training.guided_step import (
    GuideHandle,
    guide_steps,
    list_names,
    match_parameters,
)
from sklearn_memgen.training.multipliers import Multipliers, check_option

__all__ = ["Guide", "Parameters", "named_parameters"]

#: What has the parameters of a net by name.
Parameters = nn.Module | Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]


class Guide(Multipliers):
    r"""How much each parameter of a net may change: a multiplier for each.

    0 freezes a parameter, 0.1 lets it go a tenth as far, 1 changes nothing. Freezing,
    training the head alone, learning rates that differ by layer, masks of lottery
    tickets and the guides of guided transfer learning are all guides.

    A guide is a mapping of names to tensors and does not change; what looks like a
    change returns another one. It lives on the CPU, so that its pickle loads anywhere.

    Parameters
    ----------
    multipliers : mapping of str to float, array-like or Tensor
        By name, as in `named_parameters`, multipliers that are not negative and
        broadcast to the shape of the parameter. What is not named has multiplier 1.

    Raises
    ------
    TypeError
        If a multiplier is no number, array or tensor.
    ValueError
        If a multiplier is negative, infinite or NaN.

    See Also
    --------
    Displacement : What scouts did, of which several guides can be made.
    GuideCallback : Hands a guide to an estimator.
    GuideDisplay : Draws a guide.

    Notes
    -----
    By default a guide :math:`g` multiplies what the optimizer does in a step:

    .. math:: \theta \leftarrow \theta_{old} + g\,(\theta_{new} - \theta_{old})

    The gradient would be the wrong place: Adam divides by the root of the mean squared
    gradient, in which a constant factor cancels.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import Guide
    >>> guide = Guide({"0.weight": torch.tensor([[0.0, 0.5]]), "0.bias": 0.1})
    >>> guide
    Guide of 2 parameters
    parameter shape zeros  mean histogram
     0.weight  1, 2   50%  0.25  █···█···
       0.bias     -    0%   0.1  █·······
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> before = net[0].bias.item()
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
    >>> with guide.attach(optimizer, net):
    ...     net(torch.ones(1, 2)).sum().backward()
    ...     optimizer.step()
    >>> round(before - net[0].bias.item(), 4)
    0.05
    """

    # Constructors

    @classmethod
    def from_mask(cls, masks: Mapping[str, Any]) -> Self:
        """Let change what is true in a mask, and nothing else of its parameter.

        Parameters
        ----------
        masks : mapping of str to array-like or Tensor
            Of booleans, or of zeros and ones.

        Returns
        -------
        guide : Guide
            Zeros and ones.

        Raises
        ------
        ValueError
            If there is another value.
        """
        guide = cls(masks)
        for name, mask in guide.items():
            other = mask[(mask != 0) & (mask != 1)]
            if other.numel():
                raise ValueError(
                    f"the mask of {name!r} must hold zeros and ones; got "
                    f"{other[0].item():g}"
                )
        return guide

    @classmethod
    def only(
        cls,
        parameters: Parameters,
        names: str | Sequence[str] = (),
        *,
        types: type[nn.Module] | tuple[type[nn.Module], ...] = (),
    ) -> Self:
        """Let change some parameters, and no others.

        Parameters
        ----------
        parameters : Module, mapping or iterable of (str, Parameter)
            All parameters by name, or what has them.
        names : str or sequence of str, default=()
            Patterns of names, such as ``"head.*"``; ``*``, ``?`` and ``[...]`` are as
            in a shell.
        types : type or tuple of types, default=()
            Modules whose parameters may change, those of the modules in them included.
            Only together with a Module. Statistics that a normalization keeps in
            buffers are no parameters, and go on changing in training.

        Returns
        -------
        guide : Guide
            One for what is named or of a type, zero for all else.

        Raises
        ------
        ValueError
            If a pattern or a type fits no parameter.

        Examples
        --------
        >>> from torch import nn
        >>> from sklearn_memgen.training import Guide
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        >>> guide = Guide.only(net, types=nn.BatchNorm1d)
        >>> [name for name, multiplier in guide.items() if multiplier]
        ['1.weight', '1.bias']
        >>> guide = Guide.only(net, "2.*")  # the head
        >>> [name for name, multiplier in guide.items() if multiplier]
        ['2.weight', '2.bias']
        """
        known = named_parameters(parameters)
        patterns = [names] if isinstance(names, str) else list(names)
        if types:
            if not isinstance(parameters, nn.Module):
                raise TypeError("types needs a module, not only its parameters")
            owners = [n for n, m in parameters.named_modules() if isinstance(m, types)]
            prefixes = tuple(f"{owner}." if owner else "" for owner in owners)
            of_type = {name for name in known if name.startswith(prefixes)}
            if not of_type:
                raise ValueError(f"types={types!r}: no such module has parameters")
        else:
            of_type = set()
        chosen = of_type.union(*(_matching(p, known) for p in patterns))
        if not chosen:
            raise ValueError("neither names nor types is given: nothing may change")
        return cls({name: float(name in chosen) for name in known})

    @classmethod
    def layerwise(
        cls,
        parameters: Parameters,
        decay: float,
        *,
        layers: Sequence[str] | None = None,
    ) -> Self:
        r"""Let layers change the less the nearer they are to the input.

        Parameters
        ----------
        parameters : Module, mapping or iterable of (str, Parameter)
            All parameters by name, or what has them.
        decay : float
            Multiplier of a layer over that of the one behind it.
        layers : sequence of str, default=None
            Patterns of names, a layer each, from the input to the output. A parameter
            belongs to the first that fits; those that none fits have multiplier 1. By
            default each module with parameters of its own is a layer, in their order.

        Returns
        -------
        guide : Guide
            :math:`decay^{L - l}` for layer :math:`l` of :math:`L`.

        Raises
        ------
        ValueError
            If a pattern fits no parameter.

        References
        ----------
        .. [1] Howard and Ruder, "Universal Language Model Fine-tuning for Text
           Classification", 2018, section 3.2: discriminative fine-tuning.

        Examples
        --------
        >>> from torch import nn
        >>> from sklearn_memgen.training import Guide
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> [round(m.item(), 2) for m in Guide.layerwise(net, 0.5).values()]
        [0.5, 0.5, 1.0, 1.0]
        """
        known = named_parameters(parameters)
        layer_of: dict[str, int] = {}
        if layers is None:
            owners = list(dict.fromkeys(n.rpartition(".")[0] for n in known))
            layer_of = {n: owners.index(n.rpartition(".")[0]) for n in known}
            n_layers = len(owners)
        else:
            for depth, pattern in enumerate(layers):
                for name in _matching(pattern, known):
                    layer_of.setdefault(name, depth)
            n_layers = len(layers)
        last = n_layers - 1
        return cls({n: decay ** (last - layer_of.get(n, last)) for n in known})

    @classmethod
    def from_displacements(
        cls,
        base: Parameters,
        scouts: Iterable[Parameters],
        *,
        scope: str = "tensor",
        squared: bool = True,
        focus: str = "zero_enforced_and_normalized",
    ) -> Self:
        r"""Let change what scouts had to change: the guide of guided transfer learning.

        Parameters
        ----------
        base : Module, mapping or iterable of (str, Parameter)
            The parameters that all scouts began with. A copy: trained in place, they
            would go along with the scouts.
        scouts : iterable of Module, mapping or iterable of (str, Parameter)
            Those of each scout in the end. Read one by one, from a generator, too.
        scope : {"tensor", "global"}, default="tensor"
            Whether :math:`\min` and :math:`\max` are those of the parameter tensor or
            of all of them.
        squared : bool, default=True
            Whether displacements are squared, or taken absolutely.
        focus : str, default="zero_enforced_and_normalized"
            With the mean displacements :math:`m`: "raw" is :math:`m`, "zero_enforced"
            :math:`m - \min m`, "normalized" :math:`m / \max m`, and
            "zero_enforced_and_normalized" the formula below. "unit_mean" is
            :math:`\min(m / \bar m, 3)` with the mean :math:`\bar m` of the scope: what
            scouts changed most goes farther than without a guide, so that steps are
            about as long as without one on average.

        Returns
        -------
        guide : Guide
            One tensor a parameter, of its shape; by default from 0 to 1.

        Raises
        ------
        ValueError
            If there is no scout, or one has other parameters or shapes than the base,
            or values that are not finite.

        Warns
        -----
        UserWarning
            If no scout differs from the base.

        Notes
        -----
        .. math::
            m_w = \frac1S \sum_s (\theta_{s,w} - \theta_{0,w})^2, \qquad
            g_w = \frac{m_w - \min m}{\max m - \min m}

        Where all values of a scope are the same, as they are in a tensor of one
        parameter, the formula divides by zero. If scouts did not move them at all, they
        are frozen, :math:`g = 0`; if they moved, by the same, they may change,
        :math:`g = 1`: their smallest value is taken to be zero.

        References
        ----------
        .. [1] Nikolic et al., "Guided Transfer Learning", 2023,
           https://arxiv.org/abs/2303.16154

        Examples
        --------
        >>> import torch
        >>> from sklearn_memgen.training import Guide
        >>> base = {"w": torch.zeros(3), "still": torch.ones(2)}
        >>> scouts = [
        ...     {"w": torch.tensor([0.0, 1.0, 2.0]), "still": torch.ones(2)},
        ...     {"w": torch.tensor([0.0, 1.0, -2.0]), "still": torch.ones(2)},
        ... ]
        >>> guide = Guide.from_displacements(base, scouts)
        >>> guide["w"], guide["still"]
        (tensor([0.0000, 0.2500, 1.0000]), tensor([0., 0.]))
        """
        check_option("scope", scope, guide_spread.SCOPES)
        check_option("focus", focus, guide_spread.FOCUSES)
        sums = guide_spread.SpreadSums(named_parameters(base))
        for scout in scouts:
            sums.include(sums.moved(named_parameters(scout)))
        spread = sums.mean(squared=squared)
        scaled = guide_spread.focus_spread(spread, scope=scope, focus=focus)
        return cls({name: value.float() for name, value in scaled.items()})

    # Use

    def attach(
        self,
        target: Any,
        parameters: Parameters | None = None,
        *,
        apply_to: str = "update",
    ) -> GuideHandle:
        """Let the steps of a net's optimizers obey the guide from now on.

        Parameters
        ----------
        target : skorch net, Optimizer or iterable of Optimizer
            An initialized net, or the optimizers of all parameters that the guide lets
            change.
        parameters : Module, mapping or iterable of (str, Parameter), default=None
            All parameters by name; of a net, by default, those of its module.
        apply_to : {"update", "gradient"}, default="update"
            What is multiplied. Weight decay is part of the "update". If it is the
            "gradient", weight decay remains whole, and under Adam hardly anything
            changes. In both cases what has multiplier 0 stays as it is to the bit.

        Returns
        -------
        handle : GuideHandle
            Takes the guide off again; also as a context manager.

        Raises
        ------
        ValueError
            If a name is unknown, a multiplier does not broadcast to the shape of the
            parameter, or no optimizer has it.

        Notes
        -----
        Gradients are clipped before they are guided, so that the frozen count. FTRL,
        which computes weights anew from its state, takes the multipliers into it; see
        `FTRL`. Of tables with sparse gradients a step costs what the batch touches.
        Parameters of multiplier 1 cost nothing, and those that are wholly frozen are
        not seen by the optimizer at all.
        """
        check_option("apply_to", apply_to, ("update", "gradient"))
        if hasattr(target, "module_"):
            optimizers = [getattr(target, f"{name}_") for name in target._optimizers]
            parameters = target.module_ if parameters is None else parameters
        else:
            optimizers = [target] if isinstance(target, Optimizer) else list(target)
        if parameters is None:
            raise TypeError("parameters is None: optimizers do not know their names")
        found = match_parameters(self, named_parameters(parameters))
        return guide_steps(optimizers, found, apply_to)


def named_parameters(parameters: Parameters) -> dict[str, Tensor]:
    """Return parameters by name, of a module or of what has them."""
    if isinstance(parameters, nn.Module):
        return dict(parameters.named_parameters())
    return dict(parameters)


def _matching(pattern: str, known: Mapping[str, Tensor]) -> list[str]:
    names = [name for name in known if fnmatchcase(name, pattern)]
    if not names:
        raise ValueError(f"{pattern!r} fits no parameter of {list_names(known)}")
    return names
