"""joblib's dask backend, with data that outlive the workers that hold them."""

from __future__ import annotations

from typing import Any

import joblib
from joblib._dask import DaskDistributedBackend, is_weakrefable

__all__ = ["register_dask"]

#: Arguments of fewer bytes travel with their call, as joblib's own backend has it.
_SMALL = 1_000


class _DurableDaskBackend(DaskDistributedBackend):
    """Sends data as tasks, which dask can do again.

    joblib's own backend scatters large arguments: a worker has the only copy until
    others ask for it. If it dies all calls that need them are cancelled. What a task
    returns is made again, from what the scheduler keeps.

    joblib's own lets tasks run on when a call is given up, too. These are cancelled.
    """

    def start_call(self) -> None:
        """Begin a call of `joblib.Parallel`."""
        super().start_call()
        self._sent: dict[int, Any] = {}  # keeps the ids from being given to others

    def stop_call(self) -> None:
        """Let go of the data."""
        super().stop_call()
        for key in self._sent:
            del self.data_futures[key]
        self._sent = {}

    def submit(self, func: Any, callback: Any = None) -> Any:
        """Send a batch of calls, after the data that were not yet sent."""
        for _, args, kwargs in func.items:
            for value in (*args, *kwargs.values()):
                self._send(value)
        return super().submit(func, callback)

    def _send(self, value: Any) -> None:
        import dask
        from dask.sizeof import sizeof

        key = id(value)
        if key in self.data_futures or not is_weakrefable(value):
            return
        if sizeof(value) > _SMALL:
            # The warning says to send data just once, which is what happens here.
            with dask.config.set(
                {"distributed.admin.large-graph-warning-threshold": "1PB"}
            ):
                future = self.client.submit(_as_it_is, value, pure=False)
            self.data_futures[key] = future
            self._sent[key] = value

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what is not finished."""
        unfinished = list(self._results)
        super().abort_everything(ensure_ready)
        self.client.cancel(unfinished)


def _as_it_is(value: Any) -> Any:
    return value


def register_dask() -> None:
    """Make joblib's "dask" backend outlive the death of workers, in this process.

    joblib's own backend puts data into the memory of a worker. Where that dies with the
    only copy, a search such as `GridSearchCV` ends with an error. After this call
    ``joblib.parallel_config(backend="dask")`` has the scheduler keep the data, once, so
    that dask can send them again, and do again what was lost. Also, what still runs
    when a search ends with an error or by Ctrl-C is cancelled.

    `PopulationSearchCV` does without: it sends again what was lost. For all other
    searches on machines that can fail this is the way.

    Raises
    ------
    ImportError
        If dask.distributed is not installed, or joblib is older than 1.6.

    Examples
    --------
    >>> from sklearn_memgen.many_machines import register_dask
    >>> register_dask()  # doctest: +SKIP
    >>> with joblib.parallel_config(backend="dask"):  # doctest: +SKIP
    ...     search.fit(X, y)
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "register_dask needs dask.distributed; "
            "pip install 'sklearn-memgen[scale]' has it"
        ) from error
    if "submit" not in vars(DaskDistributedBackend):
        raise ImportError(
            f"register_dask needs joblib 1.6 or newer, got {joblib.__version__}"
        )
    joblib.register_parallel_backend("dask", _DurableDaskBackend)
