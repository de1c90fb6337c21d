"""Trace: what each training row did while the net learned."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from skorch.exceptions import NotInitializedError
from torch import Tensor

from sklearn_memgen.training.accumulators import (
    ACCUMULATORS,
    accumulate,
    label_margins,
)
from sklearn_memgen.training.batches import Batch, Origin, ResidentDataset

__all__ = ["Trace"]

#: Logits that are kept until they are looked at together: a small step must not pay for
#: a dozen operations of its own.
_BLOCK_ROWS = 2**14


class Trace(Callback):
    r"""Remember what each training row did while the net learned.

    A callback for `NetClassifier`, `WideDeepClassifier` and `ResidentNet`. It sees the
    logits that training computes anyway, before each step, and keeps a dozen numbers a
    row on the device of the net.

    Attributes
    ----------
    state_ : Tensor of shape (9, n_samples) or None
        The accumulators; `to_frame` makes a table of them.
    epoch_ : int
        The last epoch that was seen, counted from 1 as in `history_`; 0 if none.

    See Also
    --------
    NetClassifier.trace_ : The trace of a fitted classifier.

    Notes
    -----
    *What is observed* is the forward pass of training, as in [1]_ to [4]_: in training
    mode (with dropout), of the weights as they are before the step (not their running
    average, if `ema_decay` keeps one), once an epoch. Members of an ensemble are
    observed as one: the logits of their mean probability. A row is *correct* if the
    logit of its label is larger than all others; a tie is not correct. The loss is
    that of the net's criterion, which for an ensemble is the members' mean. Weights of
    rows and classes change nothing in what is observed of a row, though they change
    what the net learns. A pass has each row at most once, as those of `ResidentBatches`
    do.

    *Events.* With :math:`a_t` the correctness at the t-th time a row is seen and
    :math:`a_0 = 0`, a row is learned at t if :math:`a_{t-1} < a_t` and forgotten if
    :math:`a_{t-1} > a_t`. Both definitions of forgetting in use count the same events,
    in `n_forgotten`, and differ in the rows that were never learned:

    - Tanzer et al. [1]_ count 0 for them: a row is forgettable if ``n_forgotten > 0``,
      learned if ``n_learned > 0``, and their ratio is that of the numbers of both.
    - Toneva et al. [2]_ count as many as can be, such as
      ``n_forgotten.where(n_learned > 0, n_seen)``: a row is unforgettable if
      ``(n_forgotten == 0) & (n_learned > 0)``.

    *Which rows.* There is a place for each row of the `X` given to `fit`. Rows held out
    for early stopping and rows of weight zero are not seen. (`partial_fit` does not
    leave rows of weight zero out.)

    *Fit again.* `fit` starts the trace anew. A fit that goes on with a net
    (`warm_start`, `partial_fit`) goes on with the trace if it is given as many rows
    with the same targets, and if the trace has seen the epochs before; else the trace
    starts anew. Chunks of a stream are not mixed up: what is left is the trace of the
    last.

    *Where it is.* An estimator keeps the callbacks that it is given, so that the very
    object can be read after `fit`. Those of a clone, as `cross_validate` and
    `GridSearchCV` make them, are clones, too; the attribute `trace_` of any fitted
    classifier has the one that is filled. A trace has no targets and no inputs, is
    pickled with the model, and loads on a machine without a GPU. After Ctrl-C it has
    what was seen so far.

    Means and squared deviations are updated by Welford's method, in float32.

    References
    ----------
    .. [1] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828
    .. [2] Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural
       Network Learning", 2019, https://arxiv.org/abs/1812.05159
    .. [3] Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin
       Ranking", 2020, https://arxiv.org/abs/2001.10528
    .. [4] Swayamdipta et al., "Dataset Cartography", 2020,
       https://arxiv.org/abs/2009.10795

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from torch import nn
    >>> from sklearn_memgen import NetClassifier
    >>> from sklearn_memgen.training import Trace
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> trace = Trace()
    >>> sizes = {"in_features": 4, "out_features": 3}
    >>> model = NetClassifier(
    ...     nn.Linear, module_params=sizes, callbacks=[trace], random_state=0
    ... )
    >>> frame = model.fit(X.to_numpy(), y).trace_.to_frame(index=X.index)
    >>> model.trace_ is trace
    True
    >>> frame.shape
    (150, 10)
    >>> bool((frame["n_learned"] - frame["n_forgotten"] == frame["last_correct"]).all())
    True
    >>> y[frame["aum"].idxmin()] in (1, 2)  # those that are hard to tell apart
    True
    """

    def __init__(self) -> None:
        self.state_: Tensor | None = None
        self.epoch_ = 0
        self.key_: tuple[int, int] | None = None
        # Of this training: where the rows are, and what was seen of them in this epoch.
        self.rows_: Tensor | None = None
        self.observed_: Tensor | None = None
        self.pending_: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.n_pending_ = 0

    # During training

    def on_train_begin(
        self, net: Any, X: Any = None, y: Any = None, **kwargs: Any
    ) -> None:
        """Make accumulators, or go on with those that are there.

        Raises
        ------
        TypeError
            If the net is not a `ResidentNet` trained on a `ResidentDataset`, or its
            targets are no classes.
        """
        if not isinstance(X, ResidentDataset) or X.y is None:
            raise TypeError(
                "Trace follows nets that are trained on a ResidentDataset with targets,"
                f" as NetClassifier trains them; got {type(X).__name__}"
            )
        if X.y.is_floating_point():
            raise TypeError(
                "Trace follows classifiers: margins and correctness need classes, but "
                f"the targets are numbers of {X.y.dtype}"
            )
        origin = X.origin or Origin(np.arange(len(X.y)), X.y.cpu().numpy())
        key = _key_of(origin.targets)
        self._close_epoch()
        if self.state_ is None or (key, len(net.history)) != (self.key_, self.epoch_):
            self.state_ = torch.zeros(len(ACCUMULATORS), len(origin.targets))
        self.state_ = self.state_.to(net.device)
        self.observed_ = torch.full_like(self.state_[:3], torch.nan)
        self.rows_ = torch.from_numpy(origin.rows).to(net.device)
        self.key_, self.epoch_ = key, len(net.history)

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Add the last epoch to the accumulators."""
        self._close_epoch()
        self.epoch_ = len(net.history)

    def observe(self, batch: Batch, logits: Tensor, losses: Tensor) -> None:
        """Keep what a step computed; see `Observer`."""
        y, rows = batch[1], batch.rows
        if isinstance(rows, slice):
            rows = torch.arange(rows.start, rows.stop, device=logits.device)
        self.pending_.append((rows, logits, losses, y))
        self.n_pending_ += len(y)
        if self.n_pending_ >= _BLOCK_ROWS:
            self._look()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Add the last epoch, and leave the device."""
        self.__dict__.update(self.__getstate__())

    def _look(self) -> None:
        """Look at the logits of the last steps."""
        pending, self.pending_, self.n_pending_ = self.pending_, [], 0
        if not pending or self.rows_ is None or self.observed_ is None:
            return
        rows, logits, losses, y = map(torch.cat, zip(*pending, strict=True))
        observed = torch.stack([*label_margins(logits, y), losses.float()])
        rows = self.rows_.index_select(0, rows.to(self.rows_.device))
        self.observed_.scatter_(1, rows.expand(3, -1), observed)

    def _close_epoch(self) -> None:
        """Add what was observed to the accumulators."""
        self._look()
        if self.state_ is None or self.observed_ is None:
            return
        state = accumulate(self.state_, self.observed_, self.epoch_)
        self.observed_.fill_(torch.nan)  # first, so that Ctrl-C cannot count it twice
        self.state_ = state

    # Afterwards

    def to_frame(self, index: Any = None) -> pd.DataFrame:
        """Return a row for each row of the `X` that was given to `fit`, in its order.

        It may be called during training, too, by other callbacks, say.

        Parameters
        ----------
        index : Index or array-like of shape (n_samples,), default=None
            The index of the frame, such as ``X.index``. By default rows are numbered.

        Returns
        -------
        frame : DataFrame of shape (n_samples, 10)
            - `n_seen`: how often the row was seen, an epoch each; 0 for rows held out
              and rows of weight zero, of which all other columns are missing;
            - `n_correct`: how often it was correct;
            - `last_correct`: whether it was when it was last seen;
            - `first_learned_epoch`: the first epoch in which it was, counted from 1;
              missing if it never was;
            - `n_learned`, `n_forgotten`: learning and forgetting events;
            - `aum`: the mean margin ("area under the margin"), in units of logits;
            - `confidence`, `variability`: mean and standard deviation (of the
              population) of the probability of its label;
            - `mean_loss`: the mean loss, in nats if it is the cross-entropy.

            Counts are ``Int64``, `last_correct` is ``boolean``, others are floats.

        Raises
        ------
        NotInitializedError
            If the trace has not seen any training.
        ValueError
            If `index` is of another length.
        """
        if self.state_ is None:
            raise NotInitializedError(
                "this Trace has seen no training; pass it to a classifier by "
                "callbacks=[trace] and fit that. The trace of a clone is in its "
                "attribute trace_"
            )
        self._close_epoch()
        values = dict(
            zip(ACCUMULATORS, self.state_.cpu().double().numpy(), strict=True)
        )
        values["n_learned"] = values["n_forgotten"] + values["last_correct"]
        n_seen = values["n_seen"].astype(np.int64)
        if index is None:
            index = pd.RangeIndex(len(n_seen))
        elif len(index) != len(n_seen):
            raise ValueError(
                f"index has {len(index)} entries, but the trace has {len(n_seen)} rows"
            )
        unseen = n_seen == 0

        def count(name: str, missing: np.ndarray = unseen) -> Any:
            return pd.arrays.IntegerArray(values[name].astype(np.int64), missing)

        first = values["first_learned_epoch"]
        deviations = np.sqrt(values["squares"] / np.maximum(n_seen, 1))
        floats = {
            "aum": values["mean_margin"],
            "confidence": values["mean_probability"],
            "variability": deviations,
            "mean_loss": values["mean_loss"],
        }
        return pd.DataFrame(
            {
                "n_seen": n_seen,
                "n_correct": count("n_correct"),
                "last_correct": pd.arrays.BooleanArray(
                    values["last_correct"] > 0, unseen
                ),
                "first_learned_epoch": count("first_learned_epoch", first == 0),
                "n_learned": count("n_learned"),
                "n_forgotten": count("n_forgotten"),
            }
            | {name: np.where(unseen, np.nan, x) for name, x in floats.items()},
            index=index,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return a state that any machine can load: the accumulators on the CPU."""
        self._close_epoch()
        state = None if self.state_ is None else self.state_.cpu()
        return self.__dict__ | {"state_": state, "rows_": None, "observed_": None}


def _key_of(targets: np.ndarray) -> tuple[int, int]:
    """Return what tells the rows of one training from those of another."""
    return len(targets), zlib.crc32(pd.util.hash_array(targets).tobytes())
