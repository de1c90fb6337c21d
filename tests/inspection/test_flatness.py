"""Sharpness agrees with what can be computed in full, and changes nothing."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier
from sklearn_memgen.inspection.flatness import Sharpness, sharpness
from sklearn_memgen.inspection.sharpness_display import MEASURES, SharpnessDisplay


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=5):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


class Softmax(nn.Linear):
    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes, bias=False)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def fit(module, X, y, **params):
    return NetClassifier(module, random_state=0, max_epochs=10, **params).fit(X, y)


@pytest.fixture(scope="module")
def mlp(iris):
    return fit(MLP, *iris)


@pytest.fixture(scope="module")
def found(mlp, iris):
    return sharpness(mlp, *iris, n_iter=60, n_probes=400, random_state=0)


def as_function(model, X, y):
    """Return the loss of all weights in one vector, and these."""
    module = copy.deepcopy(model.net_.module_).double().eval()
    names = [name for name, _ in module.named_parameters()]
    shapes = [p.shape for p in module.parameters()]
    sizes = [p.numel() for p in module.parameters()]
    inputs, targets = torch.from_numpy(X).double(), torch.from_numpy(y).long()

    def loss(vector):
        parts = vector.split(sizes)
        weights = {n: v.view(s) for n, v, s in zip(names, parts, shapes, strict=True)}
        logits = torch.func.functional_call(module, weights, (inputs,))
        return F.cross_entropy(logits, targets)

    flat = torch.cat([p.detach().flatten() for p in module.parameters()])
    return loss, flat


# Against what is computed in full


def test_curvature_is_that_of_the_whole_hessian(mlp, iris, found):
    loss, weights = as_function(mlp, *iris)
    hessian = torch.autograd.functional.hessian(loss, weights)
    values = np.linalg.eigvalsh(hessian.numpy())
    assert found.values["hessian_eigenvalue"] == pytest.approx(values[-1], rel=2e-3)
    assert found.smallest_eigenvalue == pytest.approx(values[0], abs=0.02 * values[-1])
    trace, error = values.sum(), found.std_errors["hessian_trace"]
    assert abs(found.values["hessian_trace"] - trace) < 4 * error
    assert error < 0.1 * trace
    assert len(found.traces) == 400
    assert found.residual < 2e-3 * values[-1]


def test_curvature_of_softmax_regression_in_closed_form(iris):
    X, y = iris
    model = fit(Softmax, X, y)
    P = model.predict_proba(X)
    # The Hessian is the mean of (diag(p) - p p') times x x'.
    S = np.einsum("ni,ij->nij", P, np.eye(3)) - np.einsum("ni,nj->nij", P, P)
    hessian = np.einsum("nij,nk,nl->ikjl", S, X, X).reshape(12, 12) / len(X)
    result = sharpness(model, X, y, n_probes=300, random_state=1)
    values = np.linalg.eigvalsh(hessian)
    assert result.values["hessian_eigenvalue"] == pytest.approx(values[-1], rel=1e-3)
    assert (
        abs(result.values["hessian_trace"] - values.sum())
        < 4 * (result.std_errors["hessian_trace"])
    )


def test_large_negative_curvature_is_not_taken_for_the_largest(iris):
    class Saddle(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.1, 0.1]))

        def forward(self, X):
            fall = 4 * self.w[1] ** 2 - self.w[0] ** 2 + 0 * X[:, 0]
            return torch.stack([fall, 0 * fall, 0 * fall], dim=1)

    class FirstLogit(nn.Module):
        def __init__(self, reduction="none"):
            super().__init__()

        def forward(self, logits, y):
            return -logits[:, 0]

    model = fit(Saddle, *iris, criterion=FirstLogit, learning_rate=1e-6)
    result = sharpness(model, *iris, measures="hessian_eigenvalue")
    np.testing.assert_allclose(result.eigenvalues[-1], [-8, 2], rtol=1e-4)
    assert result.values["hessian_eigenvalue"] == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("adaptive", [False, True])
def test_step_up_the_gradient(mlp, iris, adaptive):
    loss, weights = as_function(mlp, *iris)
    weights.requires_grad_()
    (slope,) = torch.autograd.grad(loss(weights), weights)
    scale = weights.abs() if adaptive else torch.ones_like(weights)
    step = 0.3 * scale**2 * slope / (scale * slope).norm()
    expected = (loss(weights + step) - loss(weights)).item()
    name = "adaptive" if adaptive else "sam"
    result = sharpness(mlp, *iris, measures=[name], rho=0.3, adaptive_rho=0.3)
    assert list(result.values) == [name]
    assert result.values[name] == pytest.approx(expected, rel=1e-4)


def test_highest_point_of_the_box(mlp, iris, found):
    loss, weights = as_function(mlp, *iris)
    base, box = float(loss(weights)), 1e-3 * (weights.abs() + 1)
    value = found.values["keskar"]
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (200, len(weights)), generator=draw) * 2 - 1
    corners = [float(loss(weights + s * box)) for s in signs]
    assert value > 100 * (max(corners) - base) / (1 + base) > 0

    def descend(z):
        z = torch.from_numpy(z).requires_grad_()
        below = -loss(weights + z * box)
        (slope,) = torch.autograd.grad(below, z)
        return below.item(), slope.numpy()

    bounds = [(-1, 1)] * len(weights)
    best = minimize(
        descend,
        np.zeros(len(weights)),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 10},
    )
    assert value >= 0.99 * 100 * (-best.fun - base) / (1 + base)
    assert found.ascent[0] == pytest.approx(base, rel=1e-5)


# Scaling


def test_only_the_adaptive_form_is_blind_to_the_scale_of_layers(mlp, iris):
    scaled = copy.deepcopy(mlp)
    first, _, second = scaled.net_.module_
    with torch.no_grad():
        first.weight *= 10
        first.bias *= 10
        second.weight /= 10
    np.testing.assert_allclose(
        scaled.predict_proba(iris[0]), mlp.predict_proba(iris[0]), rtol=1e-4
    )
    one, other = (
        sharpness(model, *iris, random_state=0).values for model in (mlp, scaled)
    )
    assert other["adaptive"] == pytest.approx(one["adaptive"], rel=1e-3)
    for name in set(MEASURES) - {"adaptive"}:
        assert abs(np.log(other[name] / one[name])) > 0.2, name


# All that a net may be


def test_estimator_stays_as_it_is(mlp, iris):
    before = pickle.dumps(mlp.net_.module_.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    training = mlp.net_.module_.training
    sharpness(mlp, *iris)
    assert pickle.dumps(mlp.net_.module_.state_dict()) == before
    assert mlp.net_.module_.training == training
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])


def test_random_state_repeats_all(mlp, iris):
    one, two, other = (
        sharpness(mlp, *iris, n_rows=40, random_state=seed) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())
    assert one.values != other.values
    assert (one.n_rows, one.n_given) == (40, 150)


def test_all_rows_are_the_mean_over_batches(mlp, iris):
    X, y = (np.concatenate([part] * 10) for part in iris)
    once = sharpness(mlp, *iris, random_state=0)
    often = sharpness(mlp, X, y, n_rows=None, random_state=0)
    assert often.n_rows == 1500
    for name, value in once.values.items():
        assert often.values[name] == pytest.approx(value, rel=1e-3), name


def test_tables_of_ids_with_sparse_gradients(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X = X.iloc[:, :3].assign(bins=pd.cut(X["mean area"], 9).astype(str))
    results = []
    for limit in (0, 2**30):  # all tables are sparse, or none
        monkeypatch.setattr("sklearn_memgen.nets.deep.SPARSE_FROM", limit)
        monkeypatch.setattr("sklearn_memgen.nets.wide_deep._WIDE_SPARSE_FROM", limit)
        model = WideDeepClassifier(max_epochs=2, random_state=0).fit(X, y)
        if limit == 0:
            module = model.net_.module_
            assert module.deep.embedding.sparse
            assert module.wide.ids.sparse
            trained = module.state_dict()
        else:
            model.net_.module_.load_state_dict(trained)
        results.append(sharpness(model, X, y, n_iter=8, random_state=0).values)
    assert results[0] == pytest.approx(results[1], rel=1e-3)
    assert results[0]["hessian_trace"] > 0


def test_ensembles_pipelines_attention_and_recurrence(iris):
    class Reader(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.read = nn.GRU(1, 8, batch_first=True)
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
            self.norm = nn.BatchNorm1d(8)
            self.out = nn.Linear(8, n_classes)

        def forward(self, X):
            hidden, _ = self.read(X[..., None])
            hidden, _ = self.attend(hidden, hidden, hidden, need_weights=False)
            return self.out(F.dropout(self.norm(hidden[:, -1]), 0.5, self.training))

    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    ensemble = WideDeepClassifier(n_members=3, max_epochs=3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), ensemble).fit(X, names)
    for model in (fit(Reader, X, names), pipeline):
        result = sharpness(model, X, names, n_iter=5, n_probes=3, random_state=0)
        assert np.isfinite(list(result.values.values())).all()
        assert result.error == pytest.approx(1 - model.score(X, names))


def test_net_that_errs_nowhere(iris):
    X, y = iris
    X, y = X[y < 2], y[y < 2]
    model = fit(Softmax, X, y)
    with torch.no_grad():
        model.net_.module_.weight *= 1e6
    right = model.predict_proba(X)[np.arange(len(y)), y] == 1
    result = sharpness(model, X[right], y[right], random_state=0)
    assert result.loss == 0
    assert result.values["sam"] == result.values["hessian_trace"] == 0
    assert np.isfinite(list(result.values.values())).all()
    result.plot()


# The result and its picture


def test_frame(found):
    frame = found.to_frame()
    assert isinstance(found, Sharpness)
    assert frame.columns.tolist() == ["measure", "value", "std_error", "n_rows"]
    assert frame["measure"].tolist() == list(MEASURES)
    assert frame["std_error"].notna().tolist() == [False] * 4 + [True]
    assert found.settings == {"rho": 0.05, "adaptive_rho": 0.5, "epsilon": 1e-3}
    assert found.n_parameters == 4 * 5 + 5 + 5 * 3 + 3


def test_picture_of_one_and_of_several(mlp, iris, found):
    pytest.importorskip("matplotlib")
    ax = found.plot().ax_
    words = [text.get_text().split("\n") for text in ax.get_yticklabels()]
    assert words == [list(pair) for pair in MEASURES.items()]
    assert len(ax.collections) == 5
    assert ax.get_legend() is None
    display = SharpnessDisplay({"one": found, "two": found}).plot(ax.figure.gca())
    assert [t.get_text() for t in display.ax_.get_legend().texts] == ["one", "two"]
    drawn = SharpnessDisplay.from_estimator(mlp, *iris, measures=["sam"]).plot()
    assert len(drawn.ax_.get_yticklabels()) == 1


# What goes wrong


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"measures": ["flat"]}, ValueError, "measures must be some of.*'flat'"),
        ({"measures": []}, ValueError, "measures must be some of"),
        ({"rho": 0}, ValueError, "rho == 0"),
        ({"adaptive_rho": -1.0}, ValueError, "adaptive_rho == -1.0"),
        ({"epsilon": "small"}, TypeError, "epsilon must be"),
        ({"n_rows": 0}, ValueError, "n_rows == 0"),
        ({"n_iter": 0}, ValueError, "n_iter == 0"),
        ({"n_probes": 1}, ValueError, "n_probes == 1"),
    ],
)
def test_bad_parameters_are_named_with_their_value(mlp, iris, params, error, message):
    with pytest.raises(error, match=message):
        sharpness(mlp, *iris, **params)


def test_bad_classifiers(mlp, iris):
    X, y = iris
    with pytest.raises(NotFittedError):
        sharpness(NetClassifier(MLP), X, y)
    with pytest.raises(TypeError, match="classifier with a net"):
        sharpness(StandardScaler().fit(X), X, y)
    with pytest.raises(ValueError, match="4 features"):
        sharpness(mlp, X[:, :2], y)
    broken = copy.deepcopy(mlp)
    with torch.no_grad():
        broken.net_.module_[0].weight.fill_(np.nan)
    with pytest.raises(ValueError, match="loss of the estimator.*nan"):
        sharpness(broken, X, y)
    frozen = copy.deepcopy(mlp)
    frozen.net_.module_.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter can change"):
        sharpness(frozen, X, y)


def test_layer_without_second_derivative_is_named(iris):
    class Bag(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.table = nn.Parameter(torch.randn(10, 4))
            self.out = nn.Linear(4, n_classes)

        def forward(self, X):
            ids = X.abs().long().clamp(max=9)
            return self.out(F.embedding_bag(ids, self.table).square())

    model = fit(Bag, *iris)
    with pytest.raises(RuntimeError, match="leave hessian_eigenvalue and hessian_tr"):
        sharpness(model, *iris)
    assert sharpness(model, *iris, measures=["keskar"]).values["keskar"] > 0
