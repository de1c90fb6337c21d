"""Searches on a cluster of dask: two workers, real ones, that are killed."""

import os
import signal
import sys
import threading
import time
import warnings
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.datasets import make_memgen_classification
from sklearn_memgen.many_machines import register_dask
from sklearn_memgen.model_selection import PopulationSearchCV
from sklearn_memgen.training import (
    ArrayTensors,
    Member,
    Population,
    ResidentDataset,
    ResidentNet,
)

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

# In one process, so that there is one cluster.
pytestmark = pytest.mark.xdist_group("cluster")

PATIENCE = 100  # seconds, after which what is waited for will not come


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come")
        time.sleep(0.01)


def score_and_record(model, X, y, *, folder, n_free=None, n_processes=1):
    """Score, and leave a note of it.

    A process that has made `n_free` notes waits for a file "go", and all wait until
    there are notes of `n_processes`.
    """
    mine = f"fit-{os.getpid()}-"
    n = len(list(folder.glob(mine + "*")))
    (folder / f"{mine}{n}").touch()
    wait_until(lambda: len(pids_of(folder)) >= n_processes)
    if n_free is not None and n >= n_free:
        (folder / f"waits-{os.getpid()}").touch()
        wait_until((folder / "go").exists)
    p = model.predict_proba(X)[np.arange(len(X)), np.searchsorted(model.classes_, y)]
    return float(np.log(p).mean())


def pids_of(folder, kind="fit"):
    return {int(path.name.split("-")[1]) for path in folder.glob(f"{kind}-*")}


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            memory_limit="2GiB",
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


@pytest.fixture
def on_cluster(cluster):
    """joblib's dask backend, on two workers that are well."""
    cluster.get_client().wait_for_workers(2, timeout=PATIENCE)
    return partial(
        joblib.parallel_config, backend="dask", wait_for_workers_timeout=PATIENCE
    )


@pytest.fixture
def durable(monkeypatch):
    """`register_dask`, for one test."""
    monkeypatch.setitem(joblib.parallel.BACKENDS, "dask", None)
    register_dask()


@pytest.fixture(scope="module")
def table():
    return make_memgen_classification(n_samples=240, random_state=0)


def make_search(kind, folder, **watch):
    model = WideDeepClassifier(
        max_epochs=1,
        hidden_layer_sizes=(8,),
        n_members=2,
        crosses=[],
        memorize=[],
        caution=False,
        random_state=0,
    )
    grid = {"learning_rate": [1e-3, 3e-3, 1e-2], "embedding_dim": [2, 4]}
    scoring = partial(score_and_record, folder=folder, **watch)
    # Alone, and not in stacks, whose rounding depends on how fits are divided.
    how = {} if kind is GridSearchCV else {"strategy": "sequential"}
    return kind(model, grid, cv=3, refit=False, scoring=scoring, **how)


N_FITS = 18


@pytest.fixture(scope="module")
def alone(table, tmp_path_factory):
    """The scores of the search in this process."""
    search = make_search(GridSearchCV, tmp_path_factory.mktemp("alone"))
    return search.fit(*table).cv_results_["mean_test_score"]


searches = pytest.mark.parametrize("kind", [GridSearchCV, PopulationSearchCV])


@searches
def test_a_search_is_spread_and_gives_what_it_gives_alone(
    kind, on_cluster, cluster, table, alone, tmp_path
):
    search = make_search(kind, tmp_path, n_processes=2)
    with on_cluster():
        search.fit(*table)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone)
    assert pids_of(tmp_path) == {worker.pid for worker in cluster.workers.values()}
    assert len(list(tmp_path.glob("fit-*"))) == N_FITS


def make_member_net():
    return ResidentNet(torch.nn.Linear(3, 1), lr=0.1, max_epochs=3, verbose=0)


def test_members_of_a_population_are_spread(on_cluster):
    X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    data = ResidentDataset(ArrayTensors({"": X}), (X[:, 0] > 0).long())
    members = [Member(make_member_net, data, seed=seed) for seed in range(4)]
    here = Population(members, strategy="sequential", device="cpu").train()
    with on_cluster():
        there = Population(members, strategy="joblib", device="cpu").train()
    assert [result.strategy for result in there] == ["joblib"] * 4
    for net, expected in zip(there.nets_, here.nets_, strict=True):
        for name, value in expected.module_.state_dict().items():
            assert torch.equal(net.module_.state_dict()[name], value)
        assert net.history[:, "train_loss"] == expected.history[:, "train_loss"]


# The data


def test_rows_are_sent_once_and_not_with_each_part(on_cluster, monkeypatch):
    """The data, the metadata and the rows of the splits."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 2)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    module = torch.nn.Linear(2, 2)
    net = NetClassifier(module, max_epochs=1, random_state=0, device="cpu")
    grid = {"learning_rate": [1e-3, 1e-2], "batch_size": [512, 1024]}
    sent = []

    def scatter(client, data, *args, **kwargs):
        sent.append(data)
        return original(client, data, *args, **kwargs)

    original = distributed.Client.scatter
    monkeypatch.setattr(distributed.Client, "scatter", scatter)
    large = {"distributed.admin.large-graph-warning-threshold": "40kB"}
    search = PopulationSearchCV(net, grid, cv=3, refit=False)
    with (
        warnings.catch_warnings(record=True) as caught,
        dask.config.set(large),
        on_cluster(),
    ):
        warnings.simplefilter("always")
        search.fit(X, y, sample_weight=np.ones(len(X)))
    assert not [w for w in caught if "large graph" in str(w.message)]
    assert len(sent) == 3
    assert sent[0] is X and sent[1] is y


# Ctrl-C


class Noting(PopulationSearchCV):
    """Leaves a note when a part has come back and was kept."""

    def _run_parts(self, *args):
        for part in super()._run_parts(*args):
            yield part
            (self.scoring.keywords["folder"] / "kept").touch()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("backend", ["joblib's own", "durable"])
def test_ctrl_c_keeps_what_is_finished(backend, request, on_cluster, table, tmp_path):
    """What is not finished is cancelled after `register_dask`, and else runs on."""
    if backend == "durable":
        request.getfixturevalue("durable")
    search = make_search(Noting, tmp_path, n_free=6)
    client = distributed.Client.current()

    def interrupt():
        try:
            wait_until((tmp_path / "kept").exists)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with (
        on_cluster(),
        pytest.warns(UserWarning, match="the search was interrupted"),
        pytest.raises(KeyboardInterrupt),
    ):
        search.fit(*table)
    thread.join()
    if backend == "durable":  # though workers are not done with it
        wait_until(lambda: not any(client.processing().values()))
    (tmp_path / "go").touch()
    assert client.submit(max, 1, 2).result(timeout=PATIENCE) == 2
    scores = [search.cv_results_[f"split{i}_test_score"] for i in range(3)]
    assert 0 < np.isfinite(scores).sum() < N_FITS


# Workers that die


def kill_in_the_middle(folder, n_killed, cluster):
    """Kill one worker that is fitting or all, and let the others go on.

    Returns the thread that does it, and how many fits were begun before, by process.
    """
    killed = {}

    def kill():
        try:
            wait_until(lambda: pids_of(folder, "waits"))
            busy = min(pids_of(folder, "waits"))
            others = {worker.pid for worker in cluster.workers.values()} - {busy}
            for pid in [busy, *others][:n_killed]:
                n_begun = len(list(folder.glob("fit-*")))
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda pid=pid: is_gone(pid))
                killed[pid] = n_begun
        finally:
            (folder / "go").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, killed


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_population_search_sends_again_what_was_lost(
    on_cluster, cluster, table, alone, tmp_path
):
    """With joblib's own backend, which cancels all that needs the data."""
    search = make_search(PopulationSearchCV, tmp_path, n_free=1)
    thread, killed = kill_in_the_middle(tmp_path, 2, cluster)
    with on_cluster(), pytest.warns(UserWarning, match="of 18 fits are left and are"):
        search.fit(*table)
    thread.join()
    assert len(killed) == 2
    assert max(killed.values()) < N_FITS
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone)


@pytest.mark.usefixtures("durable")
@pytest.mark.parametrize(
    ("kind", "n_killed"), [(GridSearchCV, 2), (PopulationSearchCV, 1)]
)
def test_no_result_is_lost_with_a_worker(
    kind, n_killed, on_cluster, cluster, table, alone, tmp_path
):
    """Where all are killed, all data that workers had are lost for certain."""
    search = make_search(kind, tmp_path, n_free=1)
    thread, killed = kill_in_the_middle(tmp_path, n_killed, cluster)
    with on_cluster():
        search.fit(*table)
    thread.join()
    assert len(killed) == n_killed
    assert max(killed.values()) < N_FITS
    assert pids_of(tmp_path) - set(killed)  # others did the rest
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone)


def test_register_dask_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"sklearn-memgen\[scale\]"):
        register_dask()
