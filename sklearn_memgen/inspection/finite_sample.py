"""A net of two layers that fits any labels, as a theorem has it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state
from torch import Tensor, nn

from sklearn_memgen._sklearn import validate_params

__all__ = ["FiniteSampleNet", "finite_sample_net"]

#: Directions that are tried, to find one that tells all rows well apart.
_DIRECTIONS = 32


class FiniteSampleNet(nn.Module):
    r"""The function :math:`c(x) = \sum_j w_j \max(a \cdot x - b_j, 0)`.

    Parameters
    ----------
    direction : Tensor of shape (n_features,)
        :math:`a`, the weights of all hidden units.
    thresholds : Tensor of shape (n_units,)
        :math:`b`, where they begin to be active.
    weights : Tensor of shape (n_units,)
        :math:`w`, those of the output.
    """

    def __init__(self, direction: Tensor, thresholds: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.direction = nn.Parameter(direction)
        self.thresholds = nn.Parameter(thresholds)
        self.weights = nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_features) to (batch,), in the precision of the weights."""
        along = x.to(self.direction.dtype) @ self.direction
        return (along[:, None] - self.thresholds).relu() @ self.weights


@validate_params({"random_state": ["random_state"]}, prefer_skip_nested_validation=True)
def finite_sample_net(
    X: ArrayLike,
    y: ArrayLike,
    *,
    random_state: int | np.random.RandomState | None = 0,
) -> FiniteSampleNet:
    r"""Make a net of ReLUs that has any wanted value on each of n rows.

    With 2 n + d weights two layers are enough for n rows of d features, whatever the
    values are. So the number of weights alone says nothing about how a net
    generalizes.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        The rows.
    y : array-like of shape (n_rows,)
        The value at each: numbers, such as class indices.
    random_state : int, RandomState instance or None, default=0
        Draws directions, of which the one is taken that tells rows best apart.

    Returns
    -------
    net : FiniteSampleNet
        In float64, not trained. It has a unit for each row that differs from others.

    Raises
    ------
    ValueError
        If `X` or `y` is not of finite numbers, or equal rows have different values.

    Notes
    -----
    Sorted by :math:`z_i = a \cdot x_i` the rows lie on a line. With thresholds
    :math:`b_1 < z_1 \le b_2 < z_2 \le \dots` the matrix :math:`\max(z_i - b_j, 0)` is
    triangular without zeros in its diagonal, so that some :math:`w` solves for any y
    [1]_. Here :math:`b_{j + 1} = z_j`: the net joins its values by straight lines, and
    :math:`w` are the changes of slope.

    References
    ----------
    .. [1] Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding Deep Learning
       Requires Rethinking Generalization", 2017, theorem 1,
       https://arxiv.org/abs/1611.03530

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn_memgen.inspection import finite_sample_net
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(50, 3)), rng.integers(10, size=50)
    >>> net = finite_sample_net(X, y)
    >>> sum(p.numel() for p in net.parameters())  # 2 * 50 + 3
    103
    >>> fitted = net(torch.from_numpy(X)).detach().numpy()
    >>> bool((fitted.round() == y).all())
    True
    """
    table: np.ndarray = check_array(X, dtype=np.float64, input_name="X")
    values = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
    if values.shape != (len(table),):
        raise ValueError(
            f"y must have a number for each of the {len(table)} rows of X; got an "
            f"array of shape {values.shape}"
        )
    rows, first, which = np.unique(
        table, axis=0, return_index=True, return_inverse=True
    )
    if (differ := values != values[first][which.ravel()]).any():
        row = int(differ.argmax())
        twin = int(first[which.ravel()[row]])
        raise ValueError(
            f"rows {twin} and {row} of X are equal, but y has {values[twin]:g} and "
            f"{values[row]:g}: no function has both values"
        )
    direction, along = _tell_apart(rows, check_random_state(random_state))
    order = along.argsort()
    z, wanted = along[order], values[first][order]
    gaps = np.diff(z)
    begin = z[0] - (gaps.mean() if len(gaps) else 1.0)
    thresholds = np.r_[begin, z[:-1]]
    slopes = np.diff(np.r_[0.0, wanted]) / (z - thresholds)
    weights = np.diff(np.r_[0.0, slopes])
    return FiniteSampleNet(
        *(torch.from_numpy(part) for part in (direction, thresholds, weights))
    )


def _tell_apart(
    rows: np.ndarray, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return the direction of the largest smallest gap, and the rows along it."""
    scale = rows.std(axis=0)
    scale[scale == 0] = 1.0
    directions = rng.normal(size=(_DIRECTIONS, rows.shape[1])) / scale
    along = np.sort(rows @ directions.T, axis=0)
    if len(rows) > 1:
        gaps = np.diff(along, axis=0).min(axis=0) / np.ptp(along, axis=0)
        best = int(gaps.argmax())
        if not gaps[best] > np.finfo(float).eps:
            raise ValueError(
                f"X has rows that {_DIRECTIONS} random directions do not tell apart; "
                "they differ by less than rounding"
            )
    else:
        best = 0
    return directions[best], rows @ directions[best]
