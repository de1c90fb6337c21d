"""WideDeepEstimator: what the wide and deep classifier and regressor share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch.optim import Optimizer

from sklearn_memgen._contributions import Explained, find_contributions
from sklearn_memgen._inputs import Examples, read_inputs
from sklearn_memgen._net_estimator import Encoded, Learning, NetEstimator
from sklearn_memgen._sklearn import Interval, StrOptions
from sklearn_memgen.explanation import Explanation
from sklearn_memgen.nets import WideDeep, inherit_body, inherit_weights
from sklearn_memgen.tables import TableEncoder
from sklearn_memgen.training import (
    FTRL,
    ResidentDataset,
    ResidentNet,
    auto_batch_size,
    auto_max_epochs,
    inherit_training,
    resolve_device,
)

__all__ = ["WideDeepEstimator"]

_ENCODER_PARAMS = (
    "categorical_features",
    "numeric_features",
    "text_features",
    "memorize",
    "crosses",
    "min_frequency",
    "bins",
    "n_bins",
    "n_cross_buckets",
    "n_text_buckets",
)
#: With caution, how often a value of a category of many must occur to have an id, and
#: what is added to the penalty on the wide weights.
_CAUTIOUS_FREQUENCY, _CAUTIOUS_L2 = 50, 5.0
#: Share of the epochs that a pilot net gets to show whether caution pays, and fewest.
_PILOT_SHARE, _PILOT_EPOCHS = 0.15, 6
#: What "auto" takes for hidden layers: as wide, where the logits are more than one.
_FEW_UNITS, _MANY_UNITS = (128, 128), (256, 256)


class WideDeepEstimator(NetEstimator):
    """A wide linear model and a deep net on a raw table, whatever the target is.

    Stands in front of another subclass of `NetEstimator`, which reads the target.

    Parameters
    ----------
    hidden_layer_sizes, wide, memorize, crosses, categorical_features, \
            numeric_features, text_features, min_frequency, n_bins, n_cross_buckets, \
            n_text_buckets, n_members, embedding_dim, dropout, caution, unknown_rate, \
            wide_optimizer, wide_learning_rate, wide_l1, wide_l2
        See `WideDeepClassifier`. They have no defaults here; scikit-learn reads
        parameters and their defaults off the signature of the subclass.
    **params
        Parameters of the class behind.
    """

    _parameter_constraints: dict = {
        **{name: TableEncoder._parameter_constraints[name] for name in _ENCODER_PARAMS},
        **NetEstimator._parameter_constraints,
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like"],
        "wide": ["boolean"],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "caution": [StrOptions({"auto"}), "boolean"],
        "unknown_rate": [Interval(Real, 0, 1, closed="left")],
        "wide_optimizer": [StrOptions({"ftrl", "adagrad"}), callable],
        "wide_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "wide_l1": [Interval(Real, 0, None, closed="left")],
        "wide_l2": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        hidden_layer_sizes: str | Sequence[int],
        wide: bool,
        memorize: str | Iterable[Hashable],
        crosses: str | Sequence[tuple[Hashable, ...]],
        categorical_features: Iterable[Hashable] | None,
        numeric_features: Iterable[Hashable] | None,
        text_features: Iterable[Hashable] | None,
        min_frequency: float,
        bins: str,
        n_bins: int,
        n_cross_buckets: int,
        n_text_buckets: int,
        n_members: int,
        embedding_dim: int,
        dropout: float,
        caution: bool | str,
        unknown_rate: float,
        wide_optimizer: str | Callable[..., Optimizer],
        wide_learning_rate: float,
        wide_l1: float,
        wide_l2: float,
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.hidden_layer_sizes = hidden_layer_sizes
        self.wide = wide
        self.memorize = memorize
        self.crosses = crosses
        self.categorical_features = categorical_features
        self.numeric_features = numeric_features
        self.text_features = text_features
        self.min_frequency = min_frequency
        self.bins = bins
        self.n_bins = n_bins
        self.n_cross_buckets = n_cross_buckets
        self.n_text_buckets = n_text_buckets
        self.n_members = n_members
        self.embedding_dim = embedding_dim
        self.dropout = dropout
        self.caution = caution
        self.unknown_rate = unknown_rate
        self.wide_optimizer = wide_optimizer
        self.wide_learning_rate = wide_learning_rate
        self.wide_l1 = wide_l1
        self.wide_l2 = wide_l2

    #: By ids and bins a small table is soon learned by heart.
    _most_epochs = 20

    def _check_source(self) -> None:
        super()._check_source()
        if self.source is None:
            return
        if not isinstance(self.source.encoder_, TableEncoder):
            raise ValueError(
                f"{type(self).__name__} reads tables, but the source was fitted on "
                "arrays, with a module; give it to a NetClassifier"
            )
        own = {
            "hidden_layer_sizes": tuple(self.source.hidden_layer_sizes),
            "embedding_dim": self.source.embedding_dim,
        }
        parameters = inspect.signature(type(self)).parameters
        for name in (*own, *_ENCODER_PARAMS):
            value, default = getattr(self, name), parameters[name].default
            if name == "hidden_layer_sizes" and not isinstance(value, str):
                value = tuple(value)
            if value is not default and value != default and value != own.get(name):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} was asked for, but it comes from "
                    f"the source; leave it at {default!r}"
                )

    def _make_encoder(self) -> TableEncoder:
        if self.source is not None:
            return getattr(self.source, "encoder_", None) or TableEncoder()
        params = {name: getattr(self, name) for name in _ENCODER_PARAMS}
        return TableEncoder(
            **params,
            many_min_frequency=_CAUTIOUS_FREQUENCY if self._is_cautious else None,
            random_state=self.random_state,
        )

    cautious_: bool

    @property
    def _is_cautious(self) -> bool:
        """Whether to be cautious; once that is decided it stays so."""
        return getattr(self, "cautious_", self._given_caution)

    @property
    def _given_caution(self) -> bool:
        return not isinstance(self.caution, str) and bool(self.caution)

    def _partial_fit(
        self, examples: Examples, encoder: Any, *, first: bool, n_epochs: int = 1
    ) -> Learning[None]:
        if first:  # no chunk is large enough to try both
            self.cautious_ = self._given_caution
            encoder = self._make_encoder()
        return super()._partial_fit(examples, encoder, first=first, n_epochs=n_epochs)

    def _encode(
        self, examples: Examples, held_out: Examples | None
    ) -> Learning[Encoded]:
        """Encode as caution wants it, for which "auto" has two pilot nets trained.

        A few epochs show what is better: pilots of 3, 6 and of all epochs chose the
        same on Adult, airlines, diabetes130 and womens_clothing.
        """
        self.cautious_ = self._given_caution
        encoder = self._make_encoder()
        if (
            held_out is None
            or self.source is not None
            or not isinstance(self.caution, str)
            or not encoder.has_many_values(examples.data)
        ):
            return self._encode_by(encoder, examples, held_out)
        batch_size = auto_batch_size(self.batch_size, len(examples))
        epochs = auto_max_epochs(self.max_epochs, len(examples), batch_size)
        pilot_epochs = max(math.ceil(_PILOT_SHARE * epochs), _PILOT_EPOCHS)
        # One for both, and not from the stream of the net that follows: whether pilots
        # were asked does not change what it draws.
        seed = check_random_state(self.random_state).randint(2**31)
        lowest = math.inf
        for cautious in (False, True):
            pilot = clone(self).set_params(
                caution=cautious,
                n_members=1,
                max_epochs=min(pilot_epochs, epochs),
                callbacks=None,
                verbose=0,
            )
            pilot._rng = np.random.RandomState(seed)
            encoded = pilot._encode_by(pilot._make_encoder(), examples, held_out)
            yield from pilot._train(
                None,
                encoded.with_even_weights(),
                examples.n_outputs,
                schedule=self.schedule,
                max_epochs=pilot.max_epochs,
                ema_decay=self.ema_decay,
            )
            if pilot.net_.interrupted_:  # there is no model yet that could be kept
                raise KeyboardInterrupt
            loss = pilot.history_["valid_loss"].min()
            if loss < lowest or not cautious:
                lowest, best, self.cautious_ = loss, encoded, cautious
        return best

    def _layer_sizes(self, n_outputs: int) -> Sequence[int]:
        if self.source is not None:
            return self.source.hidden_layer_sizes
        if not isinstance(self.hidden_layer_sizes, str):
            return self.hidden_layer_sizes
        return _FEW_UNITS if n_outputs <= 2 else _MANY_UNITS

    def _make_module(self, encoder: Any, n_features: int | None, n_outputs: int) -> Any:
        sizes = self._layer_sizes(n_outputs)
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(
                f"hidden_layer_sizes must be positive integers; got {sizes!r}"
            )
        if not self.wide and not len(sizes):
            raise ValueError(
                "wide=False together with hidden_layer_sizes=() leaves no model; set "
                "wide=True for a wide-only model, or name hidden layers"
            )
        numbers = encoder.numbers_.values()
        statistics = range(encoder.n_statistics_)  # numbers without bins
        return partial(
            WideDeep,
            1 if n_outputs == 2 else n_outputs,
            bin_edges=[number.bin_edges.tolist() for number in numbers]
            + [[] for _ in statistics],
            missing=[number.has_missing for number in numbers]
            + [False for _ in statistics],
            id_offsets=encoder.id_offsets_.tolist(),
            n_deep_id_columns=len(encoder.id_columns_),
            n_sparse_features=encoder.n_sparse_features_,
            hidden_layer_sizes=tuple(sizes),
            embedding_dim=getattr(self.source, "embedding_dim", self.embedding_dim),
            dropout=self.dropout,
            wide=self.wide,
            unknown_rate=self.unknown_rate,
            n_members=self.n_members,
        )

    def _make_net(
        self, encoder: Any, training: ResidentDataset, n_outputs: int, batch_size: int
    ) -> ResidentNet:
        net = super()._make_net(encoder, training, n_outputs, batch_size)
        # An heir, whose encoder knows more, inherits from the net before it instead.
        if self.source is not None and encoder is self.source.encoder_:
            net.set_params(device=str(resolve_device(self.device))).initialize()
            inherit_body(net.module_.deep, self.source.make_body().deep)
        return net

    def _encode_further(
        self, encoder: Any, examples: Examples, *, relearn: bool
    ) -> tuple[Any, ResidentDataset]:
        return examples.encode_further(encoder, relearn=relearn)

    def _make_heir(
        self,
        net: ResidentNet,
        encoder: Any,
        training: ResidentDataset,
        n_outputs: int,
        batch_size: int,
    ) -> ResidentNet:
        made, wanted = net.module, self._make_module(encoder, None, n_outputs)
        if (made.args, made.keywords) == (wanted.args, wanted.keywords):
            return net
        heir = self._make_net(encoder, training, n_outputs, batch_size)
        heir.set_params(device=net.device).initialize()
        inherit_training(heir, net, inherit_weights(heir.module_, net.module_))
        return heir

    def _group_optimizers(self, batch_size: int) -> dict[str, Callable[..., Optimizer]]:
        make: Callable[..., Optimizer]
        if not isinstance(self.wide_optimizer, str):
            make = self.wide_optimizer
        elif self.wide_optimizer == "ftrl":
            # The loss is the mean over a batch; FTRL's constants are for its sum.
            rate, l2 = self.wide_learning_rate, self.wide_l2
            if self._is_cautious:
                rate, l2 = rate / 4, l2 + _CAUTIOUS_L2
            make = partial(
                FTRL,
                lr=rate,
                l1=self.wide_l1 / batch_size,
                l2=l2 / batch_size,
                beta=1 / batch_size,
            )
        else:
            make = partial(torch.optim.Adagrad, lr=self.wide_learning_rate)
        return {**super()._group_optimizers(batch_size), "wide": make}

    def _explain(
        self,
        X: Any,
        choose: Callable[[np.ndarray], Explained],
        describe: Callable[[np.ndarray], pd.DataFrame],
        unit: str,
    ) -> Explanation:
        """Take the predictions apart; `choose` and `describe` get the net's outputs."""
        check_is_fitted(self)
        data = read_inputs(self, X, self.encoder_, reset=False)
        self._follow_device()
        outputs, sums, terms = find_contributions(
            self.net_, self.encoder_, data, self._pool, choose
        )
        rows = pd.concat([describe(outputs), sums], axis=1)
        if isinstance(X, pd.DataFrame):
            rows.index = X.index
        return Explanation(terms, unit, rows)

    @property
    def memorized_(self) -> pd.DataFrame:
        """What is remembered of numbers and crosses; see `TableEncoder.memorized_`."""
        check_is_fitted(self)
        return self.encoder_.memorized_

    @property
    def wide_weights_(self) -> pd.DataFrame:
        """What the wide part has memorized, the largest weights first.

        One row per id: `feature` in words, its `weight` (two classes: on the log-odds
        of the second) or one `weight_<class>` a class, and the weighted `count` of
        training rows that had it (NaN for sparse features, which are not counted).
        Weights that `wide_l1` holds at zero are exactly zero, and come last.
        """
        check_is_fitted(self)
        wide = self.net_.module_.wide
        if wide is None:
            raise AttributeError("wide=False: there is no wide part")
        tables = [table.detach().cpu() for table in wide.tables()]
        weights = torch.cat(tables) if tables else torch.empty(0, 1)
        counts = self.encoder_.id_counts_
        missing = np.full(len(weights) - len(counts), np.nan)
        frame = pd.DataFrame({"feature": self.encoder_.words()})
        names = ["weight"]
        if weights.shape[1] > 1:
            names = [f"weight_{label}" for label in self.classes_]
        frame[names] = weights.numpy()
        frame["count"] = np.concatenate([counts, missing])
        largest = frame[names].abs().max(axis=1)
        order = largest.sort_values(ascending=False, kind="stable").index
        return frame.loc[order].reset_index(drop=True)
