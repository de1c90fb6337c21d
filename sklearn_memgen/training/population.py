"""Population: many nets trained as one, with the results of each trained alone."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence

import joblib
import pandas as pd
import torch

from sklearn_memgen.training.devices import resolve_device
from sklearn_memgen.training.member import (
    Member,
    StartedMember,
    TrainedMember,
    train_alone,
)
from sklearn_memgen.training.multipliers import check_option
from sklearn_memgen.training.net import ResidentNet
from sklearn_memgen.training.stackable import CannotStackError, stacking_key
from sklearn_memgen.training.stacked import train_stacked
from sklearn_memgen.training.stacking_rule import (
    count_chunks,
    may_pay,
    stacking_pays,
)

__all__ = ["Population"]

_STRATEGIES = ("auto", "stacked", "sequential", "joblib")


class Population:
    """Many nets, each with its own seed, rows, labels and settings, trained as one.

    However they are trained, member k is the net that is trained alone, but for
    rounding: its weights, its history, its early stopping and its trace.

    Parameters
    ----------
    members : sequence of Member
        The nets and their data.
    strategy : {"auto", "stacked", "sequential", "joblib"}, default="auto"
        "stacked" computes members whose nets have the same structure, on the same
        table, in one go, in chunks that stay in the cache; "sequential" trains one
        after another, and "joblib" in `n_jobs` processes. "auto" stacks where it can be
        done and pays, see Notes, and trains the others by "joblib" if `n_jobs` is more
        than 1, else "sequential".
    n_jobs : int, default=None
        Processes, as joblib has it. On a CPU each has a stack of its own, if there are
        members enough.
    device : str or torch.device, default="auto"
        Where the nets are; see `resolve_device`.

    Attributes
    ----------
    results_ : list of TrainedMember
        What has become of each member.
    interrupted_ : bool
        Whether Ctrl-C ended the training. Members that were finished, or begun, are
        there; the others have no net.

    Warns
    -----
    UserWarning
        If training was interrupted, or members failed. Their errors are in `results_`.

    Notes
    -----
    Not stacked are nets with running statistics (BatchNorm), dropout, sparse gradients
    or hooks, those whose modules `torch.func.vmap` cannot compute, and those with
    callbacks that look at batches (but `Trace` and other observers are served).
    Whether the others agree with the nets alone is checked on a few rows before.

    In a stack, times in the history are those of all members together. A callback that
    draws at random has the numbers it has alone; one that changes the net between
    passes changes it.

    Examples
    --------
    >>> import torch
    >>> from sklearn_memgen.training import (
    ...     ArrayTensors, Member, Population, ResidentDataset, ResidentNet
    ... )
    >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> data = ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())
    >>> def make_net():
    ...     return ResidentNet(torch.nn.Linear(3, 1), lr=0.1, max_epochs=5, verbose=0)
    >>> members = [Member(make_net, data, seed=seed) for seed in range(4)]
    >>> population = Population(members).train()
    >>> len(population.nets_)
    4
    >>> population.history_.shape[0]  # 4 members, 5 epochs
    20
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        strategy: str = "auto",
        n_jobs: int | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        self.members = list(members)
        self.strategy = strategy
        self.n_jobs = n_jobs
        self.device = device

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, k: int) -> TrainedMember:
        return self.results_[k]

    def __iter__(self) -> Iterator[TrainedMember]:
        return iter(self.results_)

    def __repr__(self) -> str:
        return f"Population of {len(self)} members, strategy={self.strategy!r}"

    # Training

    def train(self, *, warn: bool = True) -> Population:
        """Train all members to their ends.

        Parameters
        ----------
        warn : bool, default=True
            Whether to warn of members that failed, and of an interruption.

        Returns
        -------
        population : Population
            Itself.

        Raises
        ------
        ValueError
            If `strategy` is unknown, or "stacked" and a member cannot be stacked, or
            if two members have a callback in common.
        """
        check_option("strategy", self.strategy, _STRATEGIES)
        self._check_callbacks()
        self._device = resolve_device(self.device)
        self._started: dict[int, StartedMember] = {}
        self.interrupted_ = False
        self.results_ = [TrainedMember() for _ in self.members]
        left = list(range(len(self)))
        try:
            if self.strategy == "stacked" or (
                self.strategy == "auto" and may_pay(len(self), self._device)
            ):
                left = self._train_stacked()
            if self._uses_joblib(len(left)):
                self._train_by_joblib(left)
            else:
                for k in left:
                    self._train_alone(k)
        except KeyboardInterrupt:
            self.interrupted_ = True
        finally:
            del self._started
        if warn:
            self._warn()
        return self

    def _check_callbacks(self) -> None:
        owners: dict[int, int] = {}
        for k, member in enumerate(self.members):
            for callback in member.callbacks:
                bare = callback[1] if isinstance(callback, tuple) else callback
                owner = owners.setdefault(id(bare), k)
                if owner != k:
                    raise ValueError(
                        f"members {owner} and {k} have the same "
                        f"{type(bare).__name__} among their callbacks; give each one "
                        "of its own"
                    )

    def _train_stacked(self) -> list[int]:
        """Train what can be stacked, and return the members that are left."""
        groups: dict[Hashable, list[int]] = {}
        left: list[int] = []
        for k in range(len(self)):
            started = self._start(k)
            if started is None:
                continue
            try:
                groups.setdefault(stacking_key(started), []).append(k)
            except CannotStackError as error:
                left += self._refuse([k], error)
        for group in groups.values():
            left += self._train_group(group)
        return sorted(left)

    def _train_group(self, group: list[int]) -> list[int]:
        """Train members of one structure, and return those that are left."""
        net = self._started[group[0]].net
        n_jobs = joblib.effective_n_jobs(self.n_jobs)
        if self.strategy == "auto" and not stacking_pays(net, len(group), n_jobs):
            return group
        n_chunks = count_chunks(net, len(group), n_jobs)
        size = -(-len(group) // n_chunks)  # even, so that the last is not small
        chunks = [group[k : k + size] for k in range(0, len(group), size)]
        if n_jobs > 1 and n_chunks > 1 and self._device.type == "cpu":
            return self._train_chunks_away(chunks)
        left: list[int] = []
        for at, chunk in enumerate(chunks):
            started = [self._started.pop(k) for k in chunk]
            try:
                train_stacked(started, self._device)
            except CannotStackError as error:
                return left + self._refuse(group[at * size :], error)
            except Exception:
                left += chunk  # alone, each has its own error or none
            finally:
                for k, one in zip(chunk, started, strict=True):
                    self.results_[k] = one.result("stacked")
        return left

    def _train_chunks_away(self, chunks: list[list[int]]) -> list[int]:
        """Train stacks in processes, and return the members that are left."""
        jobs = []
        for chunk in chunks:
            for k in chunk:
                del self._started[k]  # they are made anew, where they are trained
            members = [self.members[k] for k in chunk]
            jobs.append(joblib.delayed(_train_chunk)(members, self._device))
        parallel = joblib.Parallel(n_jobs=self.n_jobs, return_as="generator")
        left: list[int] = []
        for chunk, results in zip(chunks, parallel(jobs), strict=True):
            if isinstance(results, CannotStackError):
                left += self._refuse(chunk, results)
                continue
            for k, result in zip(chunk, results, strict=True):
                self.results_[k] = result
        return left

    def _refuse(self, members: list[int], error: CannotStackError) -> list[int]:
        """Return members that cannot be stacked, unless they were to be."""
        if self.strategy == "stacked":
            raise ValueError(
                f"member {members[0]} cannot be stacked: {error}; strategy='auto' "
                "trains it alone"
            ) from error
        return members

    def _start(self, k: int) -> StartedMember | None:
        """Make the net of a member, or keep the error."""
        try:
            self._started[k] = StartedMember(self.members[k], self._device)
        except Exception as error:
            self.results_[k] = TrainedMember(error=error)
            return None
        return self._started[k]

    def _train_alone(self, k: int) -> None:
        started = self._started.pop(k, None) or self._start(k)
        if started is None:
            return
        started.train()
        self._started.pop(k, None)
        self.results_[k] = started.result("sequential")
        if getattr(started.net, "interrupted_", False):
            raise KeyboardInterrupt

    def _uses_joblib(self, n_members: int) -> bool:
        if self.strategy != "auto":
            return self.strategy == "joblib"
        return n_members > 1 and joblib.effective_n_jobs(self.n_jobs) > 1

    def _train_by_joblib(self, left: list[int]) -> None:
        self._started.clear()  # they are made anew, where they are trained
        parallel = joblib.Parallel(n_jobs=self.n_jobs, return_as="generator")
        results = parallel(
            joblib.delayed(train_alone)(
                self.members[k].with_rows_only(), self._device, "joblib"
            )
            for k in left
        )
        for k, result in zip(left, results, strict=True):
            self.results_[k] = result

    def _warn(self) -> None:
        """Say what did not go well."""
        failed = [k for k, result in enumerate(self.results_) if result.error]
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(self)} members failed; the first is member "
                f"{failed[0]}: {self.results_[failed[0]].error}",
                UserWarning,
                stacklevel=3,
            )
        if self.interrupted_:
            n_finished = sum(result.finished for result in self.results_)
            warnings.warn(
                f"training was interrupted; {n_finished} of {len(self)} members are "
                "finished",
                UserWarning,
                stacklevel=3,
            )

    # Results

    @property
    def nets_(self) -> list[ResidentNet | None]:
        """The nets, None where none was made."""
        return [result.net for result in self.results_]

    @property
    def errors_(self) -> dict[int, Exception]:
        """The error of each member that failed."""
        return {k: r.error for k, r in enumerate(self.results_) if r.error is not None}

    @property
    def history_(self) -> pd.DataFrame:
        """A row for each epoch of each member, indexed by `member` and `epoch`."""
        histories = {k: result.history for k, result in enumerate(self.results_)}
        frames = [
            frame.assign(member=k).set_index(["member", "epoch"])
            for k, frame in histories.items()
            if len(frame)
        ]
        return pd.concat(frames) if frames else pd.DataFrame()


def _train_chunk(
    members: Sequence[Member], device: torch.device
) -> list[TrainedMember] | CannotStackError:
    """Train members as a stack, in another process."""
    population = Population(members, strategy="stacked", n_jobs=1, device=device)
    try:
        return population.train(warn=False).results_
    except ValueError as error:
        if isinstance(error.__cause__, CannotStackError):
            return error.__cause__
        raise
