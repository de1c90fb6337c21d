"""Pictures of what rows did while nets learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from sklearn_memgen._axes import INK, SOFT, set_title
from sklearn_memgen.inspection._display import InspectionDisplay

__all__ = ["AumDisplay", "DataMapDisplay", "ForgettingDisplay"]

_PLAIN, _STRONG = "#9DB4C6", "#D55E00"
_REGIONS = {"easy": "#0072B2", "ambiguous": "#E69F00", "hard": _STRONG}
#: From so many forgetting events on they are counted together.
_MOST_FORGOTTEN = 15


class _DynamicsDisplay(InspectionDisplay):
    """A picture of rows that have been learned already, or are to be."""

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, y: Any = None, **params: Any
    ) -> Self:
        """Train nets on rows, or take what a fitted estimator has learned.

        Parameters
        ----------
        estimator : classifier with a net, or one that is fitted
            Without `X` a fitted one: a `NoisyFineTuneProbe`, of whose rows those are
            taken that a net of level 0 learned, with suspect labels apart; or a
            classifier that has learned with a `training.Trace`.
        X, y : inputs and labels, default=None
            What nets are to learn.
        **params
            See the function that this is the picture of.

        Returns
        -------
        display : InspectionDisplay
            What `plot` draws.
        """
        if X is not None:
            return cls(cls._inspect(estimator, X, y, **params))
        if hasattr(estimator, "find_label_issues"):
            return cls(cls._of_probe(estimator))
        return cls(cls._result_type().from_trace(estimator.trace_, **params))

    @staticmethod
    def _result_type() -> Any:
        raise NotImplementedError

    @classmethod
    def _of_probe(cls, probe: Any) -> Any:
        raise TypeError(f"{cls.__name__} is no picture of a {type(probe).__name__}")


def _by_issue(is_issue: np.ndarray) -> Iterator[tuple[np.ndarray, str, str]]:
    """Yield rows, color and words of labels that are suspect and of others."""
    for rows, color, words in (
        (~is_issue, _PLAIN, "other rows"),
        (is_issue, _STRONG, "suspect labels"),
    ):
        yield rows, color, f"{int(rows.sum()):,} {words}"


class DataMapDisplay(_DynamicsDisplay):
    """A data map: confidence of each row against its variability.

    Make it with `from_estimator`.

    Parameters
    ----------
    result : DataMap
        What `data_map` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    .. [1] Swayamdipta et al., "Dataset Cartography", 2020,
       https://arxiv.org/abs/2009.10795
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.data_maps import data_map

        return data_map(*args, **params)

    @staticmethod
    def _result_type() -> Any:
        from sklearn_memgen.inspection.data_maps import DataMap

        return DataMap

    @classmethod
    def _of_probe(cls, probe: Any) -> Any:
        examples = probe.examples_
        rows = np.flatnonzero(examples["confidence"].notna())
        learned = examples.iloc[rows]
        names = ("confidence", "variability", "correctness", "n_forgotten")
        return cls._result_type()(
            **{name: learned[name].to_numpy() for name in names},
            rows=rows,
            index=learned.index,
            is_issue=probe.find_label_issues()[rows],
        )

    def _draw(self, ax: Any) -> None:
        result = self.result
        if result.is_issue is not None:
            groups = list(_by_issue(result.is_issue))
        else:
            region = result.region
            groups = [
                (region == name, color, f"{int((region == name).sum()):,} {name}")
                for name, color in _REGIONS.items()
            ]
        for rows, color, words in groups:
            ax.scatter(
                result.variability[rows],
                result.confidence[rows],
                s=9,
                lw=0,
                color=color,
                alpha=0.7,
                label=words,
            )
        ax.set_xlabel("variability")
        ax.set_ylabel("confidence")
        ax.set_xlim(left=-0.01)
        ax.set_ylim(-0.02, 1.02)
        set_title(ax, "Data map")
        ax.legend(frameon=False, fontsize=8, markerscale=1.6)


class ForgettingDisplay(_DynamicsDisplay):
    """How many rows were forgotten how often, suspect ones apart.

    Make it with `from_estimator`.

    Parameters
    ----------
    result : ForgettingEvents
        What `forgetting` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.forgetting_events import forgetting

        return forgetting(*args, **params)

    @staticmethod
    def _result_type() -> Any:
        from sklearn_memgen.inspection.forgetting_events import ForgettingEvents

        return ForgettingEvents

    @classmethod
    def _of_probe(cls, probe: Any) -> Any:
        examples = probe.examples_
        rows = np.flatnonzero(examples["n_forgotten"].notna())
        learned = examples.iloc[rows]
        counts = np.rint(learned["n_forgotten"].to_numpy()).astype(int)
        first = learned["first_learned_epoch"].to_numpy(dtype=float)
        return cls._result_type()(
            counts=counts[None],
            learned=~np.isnan(first)[None],
            first_learned_epoch=first,
            rows=rows,
            index=learned.index,
            is_issue=probe.find_label_issues()[rows],
        )

    def _draw(self, ax: Any) -> None:
        result = self.result
        n_forgotten = result.n_forgotten.clip(max=_MOST_FORGOTTEN)
        highest = n_forgotten.max(initial=0)
        if result.is_issue is not None:
            groups = list(_by_issue(result.is_issue))
        else:
            words = f"{len(n_forgotten):,} rows, {len(result.counts)} nets"
            groups = [(np.ones(len(n_forgotten), dtype=bool), "#0072B2", words)]
        width = 0.8 / len(groups)
        for k, (rows, color, words) in enumerate(groups):
            if not rows.any():
                continue
            counts = np.bincount(n_forgotten[rows], minlength=highest + 1)
            places = np.arange(highest + 1) + (k - (len(groups) - 1) / 2) * width
            ax.bar(places, counts / rows.sum(), width, color=color, label=words)
        if highest == _MOST_FORGOTTEN:
            ticks = [0, 5, 10, _MOST_FORGOTTEN]
            ax.set_xticks(ticks, ["0", "5", "10", f"{_MOST_FORGOTTEN} or more"])
        else:
            ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("times forgotten")
        ax.set_ylabel("share of the rows")
        set_title(ax, "How often rows were forgotten")
        ax.legend(frameon=False, fontsize=8)


class AumDisplay(_DynamicsDisplay):
    """The area under the margin of all labels, and the threshold.

    Make it with `from_estimator`.

    Parameters
    ----------
    result : AreaUnderMargin
        What `aum` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last `plot`.
    figure_ : matplotlib Figure
        Their figure.

    References
    ----------
    .. [1] Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin
       Ranking", 2020, https://arxiv.org/abs/2001.10528
    """

    @staticmethod
    def _inspect(*args: Any, **params: Any) -> Any:
        from sklearn_memgen.inspection.area_under_margin import aum

        return aum(*args, **params)

    @staticmethod
    def _result_type() -> Any:
        from sklearn_memgen.inspection.area_under_margin import AreaUnderMargin

        return AreaUnderMargin

    def _draw(self, ax: Any) -> None:
        result = self.result
        everything = np.concatenate([result.aum, result.threshold_aum])
        edges = np.linspace(everything.min(), everything.max(), 51)
        if result.has_threshold:
            for rows, color, words in _by_issue(result.is_issue):
                ax.hist(result.aum[rows], edges, color=color, label=words, alpha=0.85)
            ax.hist(
                result.threshold_aum,
                edges,
                color=INK,
                histtype="step",
                label=f"{len(result.threshold_aum):,} threshold samples",
            )
            for threshold in result.thresholds:
                ax.axvline(threshold, color=SOFT, lw=1, ls="--")
        else:
            words = f"{len(result.aum):,} rows"
            ax.hist(result.aum, edges, color=_PLAIN, label=words)
        ax.set_xlabel("area under the margin (logits)")
        ax.set_ylabel("rows")
        set_title(ax, "How far labels are ahead of other classes")
        ax.legend(frameon=False, fontsize=8)
