"""Steps of optimizers that move each parameter so far as its multiplier says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from sklearn_memgen.training.ftrl import FTRL

__all__ = [
    "GuideHandle",
    "guide_steps",
    "list_names",
    "match_parameters",
    "read_guide",
]


class GuideHandle:
    """What `Guide.attach` returns: it takes the guide off again.

    It is a context manager, too, which takes the guide off at the end.

    Parameters
    ----------
    removers : iterable of callable
        Take one piece off each.
    """

    def __init__(self, removers: Iterable[Callable[[], None]] = ()) -> None:
        self._removers = list(removers)

    def remove(self) -> None:
        """Take the guide off; steps are whole again. A second call does nothing."""
        while self._removers:
            self._removers.pop()()

    def __enter__(self) -> GuideHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def match_parameters(
    multipliers: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each parameter that has a multiplier, and the multiplier beside it.

    Parameters
    ----------
    multipliers, parameters : mapping of str to Tensor
        By name.

    Returns
    -------
    found : dict of str to (Parameter, Tensor)
        Multipliers are on the device of the parameter, of its dtype.

    Raises
    ------
    ValueError
        If a name is unknown, or a multiplier does not broadcast to the shape of the
        parameter.
    """
    found = {}
    for name, multiplier in multipliers.items():
        if name not in parameters:
            raise ValueError(
                f"the guide names {name!r}; the parameters are {list_names(parameters)}"
            )
        parameter = parameters[name]
        if not _broadcasts(multiplier.shape, parameter.shape):
            raise ValueError(
                f"the multiplier of {name!r} has the shape {tuple(multiplier.shape)}, "
                "which does not broadcast to that of the parameter, "
                f"{tuple(parameter.shape)}"
            )
        found[name] = parameter, multiplier.to(parameter)
    return found


def list_names(names: Mapping[str, Tensor]) -> str:
    """Write the first names, for a message."""
    first, rest = list(names)[:8], len(names) - 8
    return ", ".join(map(repr, first)) + (f" and {rest} more" if rest > 0 else "")


def _broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    try:
        return torch.broadcast_shapes(shape, to) == torch.Size(to)
    except RuntimeError:
        return False


def guide_steps(
    optimizers: Iterable[Optimizer],
    multipliers: Mapping[str, tuple[Tensor, Tensor]],
    apply_to: str,
) -> GuideHandle:
    """Let optimizers move parameters as multipliers say.

    Parameters
    ----------
    optimizers : iterable of Optimizer
        They are given hooks, or what `FTRL` needs.
    multipliers : dict of str to (Parameter, Tensor)
        By name, parameters and what broadcasts to their shape, of the same dtype and on
        the same device.
    apply_to : {"update", "gradient"}
        See `Guide.attach`.

    Returns
    -------
    handle : GuideHandle
        Takes all off again.

    Raises
    ------
    ValueError
        If a parameter that is to move belongs to no optimizer.
    """
    optimizers = list(optimizers)
    groups = {
        parameter: (optimizer, group)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    steps = {optimizer: _GuidedStep(apply_to) for optimizer in optimizers}
    ftrl: list[tuple[FTRL, Tensor, Tensor]] = []
    for name, (parameter, multiplier) in multipliers.items():
        frozen = not multiplier.any()
        if (multiplier == 1).all() or (frozen and parameter not in groups):
            continue  # nothing to be done, at no cost
        if parameter not in groups:
            raise ValueError(
                f"the parameter {name!r} of the guide belongs to none of the "
                f"{len(optimizers)} optimizers"
            )
        optimizer, group = groups[parameter]
        if isinstance(optimizer, LBFGS):
            raise ValueError(
                f"the parameter {name!r} of the guide belongs to LBFGS, whose steps "
                "take several gradients each; use an optimizer that takes one"
            )
        if frozen:
            steps[optimizer].frozen.add(parameter)
        elif isinstance(optimizer, FTRL) and apply_to == "update":
            ftrl.append((optimizer, parameter, multiplier))
        else:
            steps[optimizer].add(parameter, multiplier, group)
    handle = GuideHandle()
    try:
        for optimizer, parameter, multiplier in ftrl:
            optimizer.set_multiplier(parameter, multiplier)
            handle._removers.append(partial(optimizer.set_multiplier, parameter, None))
    except ValueError:
        handle.remove()
        raise
    for optimizer, step in steps.items():
        if step.frozen or step.parameters:
            hooks = (
                optimizer.register_step_pre_hook(step.before),
                optimizer.register_step_post_hook(step.after),
            )
            handle._removers += [step.finish, *(hook.remove for hook in hooks)]
    return handle


class _GuidedStep:
    """The hooks of one optimizer, before and after its steps."""

    def __init__(self, apply_to: str) -> None:
        self.apply_to = apply_to
        #: Parameters of multiplier zero, which the optimizer does not get to see.
        self.frozen: set[Tensor] = set()
        #: Parameters, what their gradient is multiplied by, what their update is, and
        #: whether a step on a sparse gradient moves its rows only.
        self.parameters: list[tuple[Tensor, Tensor | None, Tensor | None, bool]] = []
        #: Parameters, their gradients, and what stands in for these in a step.
        self._replaced: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
        self._kept: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []

    def add(self, parameter: Tensor, multiplier: Tensor, group: dict[str, Any]) -> None:
        """Guide a parameter of a group of the optimizer."""
        # Of the optimizers for sparse gradients, SGD with momentum alone goes on moving
        # rows that have no gradient.
        by_rows = not group.get("momentum")
        if self.apply_to == "update":
            self.parameters.append((parameter, None, multiplier, by_rows))
            return
        # What has no gradient is still moved by weight decay and momentum.
        may_move = (multiplier != 0).to(multiplier.dtype)
        update = None if may_move.all() else may_move
        self.parameters.append((parameter, multiplier, update, by_rows))

    def before(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Prepare the parameters, as soon as their gradients are there."""
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._prepare()
            return None

        def prepared() -> Any:
            loss = closure()
            self._prepare()
            return loss

        others = {name: value for name, value in kwargs.items() if name != "closure"}
        return (args[0], prepared), others

    @torch.no_grad()
    def _prepare(self) -> None:
        # An error may have ended the last step. The step of a subclass and that of its
        # parent may both have hooks, one within the other.
        self.finish()
        for parameter in self.frozen:
            self._replace_gradient(parameter, None)
        for parameter, on_gradient, on_update, by_rows in self.parameters:
            if parameter.grad is None:
                continue
            rows = None
            if parameter.grad.is_sparse:
                # A step on rows must not cost what the table holds.
                parameter.grad = parameter.grad.coalesce()
                rows = parameter.grad.indices()[0]
            if on_gradient is not None:
                gradient = _multiply(parameter.grad, on_gradient, rows)
                self._replace_gradient(parameter, gradient)
            if on_update is None:
                continue
            if rows is not None and by_rows:
                share = on_update.expand_as(parameter)[rows]
                self._kept.append((parameter, parameter[rows], share, rows))
            else:
                kept = parameter.detach().clone()
                self._kept.append((parameter, kept, on_update, None))

    def _replace_gradient(self, parameter: Tensor, gradient: Tensor | None) -> None:
        self._replaced.append((parameter, parameter.grad, gradient))
        parameter.grad = gradient

    def after(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Guide the step that has been taken."""
        self.finish()

    @torch.no_grad()
    def finish(self) -> None:
        """Go back a part of the way, exactly all of it or none for shares 0 and 1.

        Ctrl-C may end a step in the midst; then it is done when the guide is removed.
        """
        for parameter, kept, share, rows in self._kept:
            if rows is None:
                torch.lerp(kept, parameter, share, out=parameter)
            else:
                parameter[rows] = torch.lerp(kept, parameter[rows], share)
        for parameter, gradient, replacement in self._replaced:
            if parameter.grad is replacement:  # and not that of a later batch
                parameter.grad = gradient
        self._kept, self._replaced = [], []


def read_guide(optimizer: Optimizer) -> _GuidedStep | None:
    """Return what guides the steps of an optimizer.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer; what `FTRL` knows by itself is left out.

    Returns
    -------
    guide : _GuidedStep or None
        Without parameters if nothing does; None if there is more than one guide, or
        there are hooks of another kind.
    """
    before = list(optimizer._optimizer_step_pre_hooks.values())
    after = list(optimizer._optimizer_step_post_hooks.values())
    if not before and not after:
        return _GuidedStep("update")
    guide = getattr(before[0], "__self__", None) if before else None
    if not isinstance(guide, _GuidedStep):
        return None
    return guide if (before, after) == ([guide.before], [guide.after]) else None


def _multiply(gradient: Tensor, multiplier: Tensor, rows: Tensor | None) -> Tensor:
    """Multiply a gradient, dense or of some rows."""
    if rows is None:
        return gradient * multiplier
    values = gradient.values() * multiplier.expand(gradient.shape)[rows]
    return torch.sparse_coo_tensor(
        gradient.indices(),
        values,
        gradient.shape,
        is_coalesced=True,
        check_invariants=False,
    )
