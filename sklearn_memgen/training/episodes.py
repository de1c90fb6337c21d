"""Episodes: batches of a support set and of queries that are compared with it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from sklearn_memgen.training.batches import Batch, ResidentBatches, ResidentDataset

__all__ = ["EpisodicBatches"]

#: Share of an episode that may be rows with the class that it is about.
_OWN_SHARE = 0.5


class EpisodicBatches(ResidentBatches):
    r"""Iterate over a dataset in episodes, each of which is about one class.

    Half of the rows of an episode are its support, from which a `nets.PrototypeNet` has
    the means of the classes, and the other half are queries, whose loss is learned
    from [1]_. The class is drawn at random, so that a rare one comes as often as
    others; up to half of the rows, in support and queries alike, have it.

    Parameters
    ----------
    dataset, device
        See `ResidentBatches`.
    batch_size : int
        Rows of an episode, 4 at least.
    shuffle : bool, default=False
        Without it there are ordinary batches, to validate with.
    background : int, default=None
        A class that no episode is about, such as that of tokens that are no entity.

    Notes
    -----
    A pass has as many episodes as there would be batches. Some rows come several times
    in it, and some not at all. A row that has several targets is one with a class if
    one of them is of it.

    Tanzer et al. [2]_ have 10 sentences of the class and 100 others in the support of
    an episode, and up to 15 and 20 in its queries.

    References
    ----------
    .. [1] Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning",
       2017, https://arxiv.org/abs/1703.05175
    .. [2] Tanzer, Ruder and Rei, "Memorisation versus Generalisation in Pre-trained
       Language Models", 2022, https://arxiv.org/abs/2105.00828

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import ArrayTensors, ResidentDataset
    >>> from sklearn_memgen.training.episodes import EpisodicBatches
    >>> y = torch.tensor([0] * 38 + [1] * 2)
    >>> data = ResidentDataset(ArrayTensors({"": torch.zeros(40, 3)}), y)
    >>> batch = next(iter(EpisodicBatches(data, batch_size=8, shuffle=True)))
    >>> len(batch[1]), int(batch.support.sum())
    (8, 4)
    """

    def __init__(
        self,
        dataset: ResidentDataset,
        *,
        batch_size: int,
        shuffle: bool = False,
        device: torch.device | str = "cpu",
        background: int | None = None,
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, shuffle=shuffle, device=device)
        self.background = background
        if self.shuffle and self.batch_size < 4:
            raise ValueError(
                "episodes need batches of 4 rows or more, for support and queries; got "
                f"batch_size={self.batch_size}"
            )

    @cached_property
    def _rows_of_classes(self) -> list[Tensor]:
        """The rows that have each class which an episode can be about."""
        targets = self.dataset.targets.cpu()
        counts = getattr(self.dataset.X, "n_targets", None)
        rows = torch.arange(len(self.dataset))
        if counts is not None:
            rows = rows.repeat_interleave(counts.cpu())
        classes = [c for c in targets.unique().tolist() if c != self.background]
        # Two at least, of which one can be support and one a query.
        found = [rows[targets == c].unique() for c in classes]
        return [own for own in found if len(own) > 1]

    def __iter__(self) -> Iterator[Batch]:
        if not self.shuffle or not self._rows_of_classes:
            yield from super().__iter__()
            return
        for _ in range(len(self)):
            yield self._draw()

    def _draw(self) -> Batch:
        """Draw an episode."""
        n_classes, n_rows = len(self._rows_of_classes), len(self.dataset)
        own = self._rows_of_classes[int(torch.randint(n_classes, ()))]
        size = min(self.batch_size, n_rows)
        own = own[torch.randperm(len(own))[: int(_OWN_SHARE * size)]]
        drawn = torch.randperm(n_rows)[:size]
        others = drawn[~torch.isin(drawn, own)][: size - len(own)]
        # In turn, so that support and queries have as many rows with the class.
        rows = torch.cat([own, others])
        rows = torch.cat([rows[::2], rows[1::2]])
        n_support = -(-len(rows) // 2)
        home = self.dataset.targets.device
        rows = rows.to(home)
        support = self.dataset.targets_of(rows[:n_support])
        numbers = self.dataset.targets_of(rows)
        assert isinstance(support, Tensor) and isinstance(numbers, Tensor)
        block = self.dataset.take(rows).to(self.device)
        inputs, y = block.batch(slice(0, len(rows)))
        is_support = torch.arange(len(numbers), device=self.device) < len(support)
        n_queries = max(len(numbers) - len(support), 1)
        weight = (~is_support).float() * (len(numbers) / n_queries)
        if block.weight is not None:
            weight = weight * block.weight
        batch = Batch(inputs, y, weight, numbers.to(self.device))
        batch.support = is_support
        return batch
