"""What a source is made of: encoder, body, masks, and copies of them for others."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Self

import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_memgen._inputs import Examples
from sklearn_memgen._masking import MaskedCells, find_cells, flag_all_numbers
from sklearn_memgen._modules import module_maker
from sklearn_memgen._net_estimator import Encoded, NetEstimator
from sklearn_memgen.nets import (
    HeadedNet,
    HeadedTableNet,
    MaskedArrayNet,
    MaskedTableNet,
    TableBody,
    count_features,
    draw_mask,
)
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.training import (
    LogisticLoss,
    MaskedRows,
    OwnLosses,
    ResidentDataset,
)

__all__ = ["ENCODER_PARAMS", "PretrainedBody"]

ENCODER_PARAMS = (
    "categorical_features",
    "numeric_features",
    "text_features",
    "memorize",
    "min_frequency",
    "n_bins",
    "n_text_buckets",
)


class PretrainedBody(NetEstimator):
    """The part of `SourceNet` that makes nets, for its own training and for others.

    Parameters
    ----------
    **params
        Those of `NetEstimator`. The other ones are set by `SourceNet`.
    """

    objective: str
    module: Callable[..., nn.Module] | nn.Module | None
    module_params: dict[str, Any] | None
    encoder: Any
    mask_rate: float
    n_target_bins: int
    memorize: str | Iterable[Hashable]
    hidden_layer_sizes: Sequence[int]
    embedding_dim: int
    dropout: float
    unknown_rate: float

    #: Two rows of zeros, or a dict of such, of the shape that `module` sees.
    _example: Any
    _cells: MaskedCells | None

    # Once fitted, it stays as it is

    def __sklearn_clone__(self) -> Self:
        if hasattr(self, "net_"):
            return self
        return super().__sklearn_clone__()

    def _refuse_change(self, what: str) -> None:
        if hasattr(self, "net_"):
            raise ValueError(
                f"a fitted SourceNet does not change, but {what} was called, and clone "
                "returns the source itself; make a new one by "
                "SourceNet(**source.get_params()), or wrap the fitted one in "
                "sklearn.frozen.FrozenEstimator to make it a step of a pipeline"
            )

    def set_params(self, **params: Any) -> Self:
        """Set parameters, before `fit`.

        Parameters
        ----------
        **params
            The parameters.

        Returns
        -------
        self : SourceNet
            The source.

        Raises
        ------
        ValueError
            If it is fitted.
        """
        if params:
            self._refuse_change("set_params")
        return super().set_params(**params)

    # What the net is

    def _make_encoder(self) -> Any:
        if self.module is not None:
            return None if self.encoder is None else clone(self.encoder)
        params = {name: getattr(self, name) for name in ENCODER_PARAMS}
        by_evidence = isinstance(self.memorize, str) and self.memorize == "auto"
        if by_evidence and self.objective == "masked":
            params["memorize"] = "none"  # without labels there is no evidence
        return TableEncoder(
            **params,
            crosses=(),
            bins="quantile",
            random_state=self.random_state,
        )

    def _encode_by(
        self, encoder: Any, examples: Examples, held_out: Examples | None
    ) -> Encoded:
        encoder, training = self._fit_encoder(encoder, examples)
        masks = self.objective == "masked"
        self._cells = None
        if masks and encoder is not None:
            flag_all_numbers(encoder)
            self._cells = find_cells(encoder, training.X, self.n_target_bins)
        self._example = _zeros(training.X[torch.zeros(2, dtype=torch.int64)].inputs())
        validation = None if held_out is None else held_out.encode(encoder)
        if masks and validation is not None:
            validation = self._masked_once(validation)
        return Encoded(encoder, training, validation)

    @property
    def _rate(self) -> float:
        return (
            self.mask_rate if self._cells is None else self._cells.rate(self.mask_rate)
        )

    def _masked_once(self, data: ResidentDataset) -> ResidentDataset:
        """Return rows with a mask that stays, so that their losses can be compared."""
        shape = self._example.shape[1:] if self._cells is None else (len(self._cells),)
        generator = torch.Generator().manual_seed(self._rng.randint(2**31))
        masked = draw_mask((len(data), *shape), self._rate, generator=generator)
        return ResidentDataset(MaskedRows(data.X, masked), data.y, data.weight)

    def _new_body(self, encoder: Any) -> tuple[nn.Module, int]:
        """Make a body, and count its features."""
        if self.module is not None:
            body = self._call_module()
            return body, count_features(body, self._example)
        numbers = encoder.numbers_.values()
        table_body = TableBody(
            bin_edges=[number.bin_edges.tolist() for number in numbers],
            missing=[number.has_missing for number in numbers],
            id_offsets=encoder.id_offsets_.tolist(),
            n_sparse_features=encoder.n_sparse_features_,
            hidden_layer_sizes=tuple(self.hidden_layer_sizes),
            embedding_dim=self.embedding_dim,
            dropout=self.dropout,
            unknown_rate=self.unknown_rate,
        )
        return table_body, table_body.n_features

    def _call_module(self) -> nn.Module:
        assert self.module is not None
        sizes = {"n_features": getattr(self, "n_features_in_", None)}
        made = module_maker(self.module, self.module_params, sizes)
        return made if isinstance(made, nn.Module) else made()

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        body: Any
        body, n_units = self._new_body(encoder)
        if self.objective == "supervised":
            return _headed(body, n_units, 1 if n_outputs == 2 else n_outputs)
        if self._cells is None:
            n_entries = self._example[0].numel()
            return MaskedArrayNet(body, n_units, n_entries, self._rate)
        return MaskedTableNet(
            body,
            id_offsets=encoder.id_offsets_.tolist(),
            number_edges=self._cells.number_edges,
            number_cells=self._cells.number_cells,
            id_cells=self._cells.id_cells,
            mask_rate=self._rate,
        )

    def _make_criterion(self) -> Callable[..., nn.Module]:
        return LogisticLoss if self.objective == "supervised" else OwnLosses

    # What others take from it

    def make_body(self) -> nn.Module:
        """Return a copy of the body, which shares nothing with the source.

        Returns
        -------
        body : Module
            A `nets.TableBody`, or what `module` makes, with the weights learned, on
            the host.
        """
        check_is_fitted(self)
        return copy.deepcopy(self.net_.module_.body).cpu().train()

    def make_net(self, n_outputs: int) -> HeadedNet:
        """Return a copy of the body with a new linear head.

        Parameters
        ----------
        n_outputs : int
            Number of outputs.

        Returns
        -------
        net : HeadedNet
            The net, on the host.
        """
        return _headed(self.make_body(), self._n_features_out, n_outputs)

    @property
    def _n_features_out(self) -> int:
        """The number of features that `transform` returns."""
        module = self.net_.module_
        layer = module.head if self.objective == "supervised" else module.decoder
        return layer.in_features

    def check_arrays(self, data: Any) -> None:
        """Raise a ValueError if arrays have another shape than those of `fit`.

        Parameters
        ----------
        data : array of shape (n_rows, ...) or dict of arrays
            The arrays.
        """
        example = self._example
        wanted, got = _shapes(example), _shapes(data)
        if wanted != got:
            raise ValueError(
                f"the source was fitted on arrays of shape {_describe(wanted)}, but X "
                f"has the shape {_describe(got)}"
            )


def _headed(body: nn.Module, n_features: int, n_outputs: int) -> HeadedNet:
    make = HeadedTableNet if isinstance(body, TableBody) else HeadedNet
    return make(body, n_features, n_outputs)


def _zeros(inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: torch.zeros_like(value) for name, value in inputs.items()}
    return torch.zeros_like(inputs)


def _shapes(arrays: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of a row, by the names of the arrays."""
    named = arrays if isinstance(arrays, dict) else {"": arrays}
    return {name: tuple(array.shape[1:]) for name, array in named.items()}


def _describe(shapes: dict[str, tuple[int, ...]]) -> str:
    if list(shapes) == [""]:
        return str(("n_rows", *shapes[""])).replace("'", "")
    return str(shapes)
