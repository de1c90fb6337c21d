"""Gradient descent goes where the theory of Soudry et al. says."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from sklearn_memgen import NetClassifier, WideDeepClassifier, WideDeepRegressor
from sklearn_memgen.datasets import make_separable, make_xor
from sklearn_memgen.inspection._max_margin import NotSeparableError, max_margin
from sklearn_memgen.inspection.margin import margin_path
from sklearn_memgen.inspection.margin_display import MarginPathDisplay


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, 8), nn.Tanh(), nn.Linear(8, n_classes))


def make_clouds(n_classes, n_rows=90, n_features=6, seed=0):
    random = np.random.RandomState(seed)
    y = np.arange(n_rows) % n_classes
    X = random.normal(size=(n_rows, n_features))
    X[np.arange(n_rows), y] += 7
    return X, y


@pytest.fixture(scope="module")
def figure_1():
    return margin_path(None, *make_separable(random_state=0), n_steps=20_000)


# The SVM


@pytest.mark.parametrize("seed", range(5))
def test_svm_is_that_of_scikit_learn(seed):
    """SVC has an intercept, which rows and their negatives make zero."""
    X, y = make_clouds(2, seed=seed)
    both, labels = np.r_[X, -X], np.r_[y, 1 - y]
    svm = SVC(kernel="linear", C=1e9, tol=1e-9).fit(both, labels)
    weights = max_margin(X, y, 2)
    np.testing.assert_allclose(weights, svm.coef_.T, rtol=1e-5, atol=1e-7)
    assert (X @ weights * (2 * y - 1)[:, None]).min() == pytest.approx(1)


def test_svm_of_several_classes_is_that_of_crammer_and_singer():
    X, y = make_clouds(4)
    svm = LinearSVC(
        multi_class="crammer_singer",
        C=1e4,
        fit_intercept=False,
        tol=1e-8,
        max_iter=100_000,
    ).fit(X, y)
    np.testing.assert_allclose(max_margin(X, y, 4), svm.coef_.T, rtol=1e-4, atol=1e-5)


def test_svm_does_not_depend_on_units():
    X, y = make_clouds(2)
    np.testing.assert_allclose(max_margin(1e6 * X, y, 2) * 1e6, max_margin(X, y, 2))


@pytest.mark.parametrize("classes", [(1, 2), (0, 1, 2)])
def test_what_cannot_be_separated_is_found_out(classes):
    X, y = load_iris(return_X_y=True)
    rows = np.isin(y, classes)
    codes = np.searchsorted(classes, y[rows])
    with pytest.raises(NotSeparableError):
        max_margin(np.c_[X[rows], np.ones(rows.sum())], codes, len(classes))


# The way


def test_angle_of_gradient_descent_falls_like_one_over_log_t(figure_1):
    late = figure_1.steps > 100
    inverse = 1 / np.log(figure_1.steps[late])
    for optimizer in ("gd", "momentum"):
        angle = figure_1.angle[figure_1.optimizers.index(optimizer)]
        assert np.corrcoef(inverse, angle[late])[0, 1] > 0.95
        assert angle[-1] < angle[late][0] / 3


def test_one_over_the_angle_is_linear_in_log_t_on_real_rows():
    """So says the theory, where support vectors are of different weights."""
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    path = margin_path(
        None, X, y == 0, fit_intercept=True, optimizers=["gd"], n_steps=10_000
    )
    late = path.steps > 100
    logs, inverse = np.log(path.steps[late]), 1 / path.angle[0, late]
    assert np.corrcoef(logs, inverse)[0, 1] > 0.999


def test_norm_grows_by_log_t_over_the_margin_and_loss_falls_like_one_over_t():
    path = margin_path(None, *make_separable(0), optimizers=["gd"], n_steps=20_000)
    late = path.steps > 1000
    logs = np.log(path.steps[late])
    slope, _ = np.polyfit(logs, path.norm[0, late], 1)
    assert slope == pytest.approx(1 / path.max_margin, rel=0.02)
    slope, _ = np.polyfit(logs, np.log(path.loss[0, late]), 1)
    assert slope == pytest.approx(-1, abs=0.02)


def test_adam_goes_elsewhere(figure_1):
    gd, adam = (figure_1.optimizers.index(name) for name in ("gd", "adam"))
    assert figure_1.cos_gap[adam, -1] > 5 * figure_1.cos_gap[gd, -1]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_steps_are_those_of_torch(n_classes):
    """Each optimizer ends where torch's own leads a linear layer in float64."""
    X, y = make_clouds(n_classes, n_rows=40)
    path = margin_path(None, X, y, n_steps=30, learning_rate=0.01)
    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)
    makers = {
        "gd": lambda p: torch.optim.SGD(p, lr=0.01),
        "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, dampening=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    }
    n_outputs = 1 if n_classes == 2 else n_classes
    for optimizer, name in enumerate(path.optimizers):
        layer = nn.Linear(X.shape[1], n_outputs, bias=False).double()
        nn.init.zeros_(layer.weight)
        steps = makers[name](layer.parameters())
        # The first step of torch's momentum is not dampened; a buffer of zeros is.
        if name == "momentum":
            steps.state[layer.weight]["momentum_buffer"] = torch.zeros_like(
                layer.weight
            )
        for _ in range(30):
            steps.zero_grad()
            logits = layer(inputs)
            if n_outputs == 1:
                loss = nn.functional.softplus(-logits[:, 0] * (2 * labels - 1)).sum()
            else:
                loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
            loss.backward()
            steps.step()
        weights = layer.weight.detach().numpy().T
        norm = np.linalg.norm(weights)
        assert path.norm[optimizer, -1] == pytest.approx(norm, rel=1e-6)
        svm = path.svm_direction.reshape(weights.shape)
        cosine = (weights * svm).sum() / norm
        assert path.cos_gap[optimizer, -1] == pytest.approx(1 - cosine, abs=1e-9)
        scores = X @ weights
        if n_outputs == 1:
            leads = scores[:, 0] * (2 * y - 1)
        else:
            own = scores[np.arange(len(y)), y]
            scores[np.arange(len(y)), y] = -np.inf
            leads = own - scores.max(axis=1)
        assert path.margin[optimizer, -1] == pytest.approx(leads.min() / norm)


def test_frame_has_a_row_for_each_optimizer_and_step(figure_1):
    frame = figure_1.to_frame()
    assert frame.columns.tolist() == [
        "optimizer",
        "step",
        "loss",
        "norm",
        "angle",
        "cos_gap",
        "margin",
        "margin_gap",
    ]
    assert len(frame) == 3 * len(figure_1.steps)
    np.testing.assert_allclose(np.cos(np.radians(frame.angle)), 1 - frame.cos_gap)
    assert figure_1.max_margin == pytest.approx(np.sqrt(2))
    assert (frame["margin_gap"] > -1e-9).all()


def test_intercept_is_a_feature_of_ones():
    X, y = make_separable(random_state=0)
    X = X + 3  # no plane through the origin separates these
    with pytest.raises(ValueError, match="planes through the origin.*fit_intercept"):
        margin_path(None, X, y)
    path = margin_path(None, X, y, fit_intercept=True, n_steps=100)
    ones = margin_path(None, np.c_[X, np.ones(len(X))], y, n_steps=100)
    np.testing.assert_allclose(path.margin, ones.margin)
    assert len(path.svm_direction) == 3


# Where features come from


def test_unfitted_net_of_one_layer_stands_for_its_inputs():
    X, y = make_separable(random_state=0)
    X = X.astype(np.float32)
    labels = np.array(["no", "yes"])[y]
    net = NetClassifier(
        nn.Linear, module_params={"in_features": 2, "out_features": 2}, device="cpu"
    )
    path = margin_path(net, X, labels, n_steps=50)
    plain = margin_path(None, X, labels, n_steps=50)
    np.testing.assert_allclose(path.norm, plain.norm)
    assert path.classes.tolist() == ["no", "yes"]
    assert not hasattr(net, "net_")


def test_last_layer_of_a_fitted_net_is_followed():
    X, y = make_clouds(3)
    net = NetClassifier(MLP, max_epochs=100, early_stopping=False, random_state=0)
    net.fit(X, y)
    before = {k: v.clone() for k, v in net.net_.module_.state_dict().items()}
    path = margin_path(net, X, y, n_steps=50, optimizers=["gd"])
    with torch.no_grad():
        hidden, bend, _ = net.net_.module_
        features = bend(hidden(torch.from_numpy(X).float())).double()
    direct = margin_path(None, features.numpy(), y, n_steps=50, optimizers=["gd"])
    np.testing.assert_allclose(path.angle, direct.angle, rtol=1e-4)
    assert path.svm_direction.shape == (8, 3)
    after = net.net_.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_pipelines_and_wide_deep_classifiers_have_a_last_layer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X, y = X[:150], y[:150]
    model = make_pipeline(
        StandardScaler().set_output(transform="pandas"),
        WideDeepClassifier(max_epochs=60, early_stopping=False, random_state=0),
    ).fit(X, y)
    path = margin_path(model, X, y, n_steps=20, fit_intercept=True)
    assert path.max_margin > 0


# Pictures


def test_display_draws_three_panels_or_one(figure_1):
    pytest.importorskip("matplotlib").use("Agg")
    display = figure_1.plot()
    assert [len(ax.lines) for ax in display.ax_] == [4, 4, 4]
    one = display.figure_.add_subplot()
    assert MarginPathDisplay(figure_1).plot(one).ax_ is one
    with pytest.raises(ValueError, match="one axes, or three; got 2"):
        figure_1.plot(display.ax_[:2])
    X, y = make_separable(random_state=0)
    drawn = MarginPathDisplay.from_estimator(None, X, y, n_steps=3).plot()
    assert drawn.result.steps.tolist() == [1, 2, 3]


# Bad input


def test_what_is_not_separable_is_told():
    X, y = make_xor(random_state=0)
    with pytest.raises(ValueError, match="100 rows are not linearly separable in"):
        margin_path(None, X, y, fit_intercept=True)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimizers": ["sgd"]}, "optimizers must be a list of some of"),
        ({"optimizers": "gd"}, "optimizers"),
        ({"optimizers": []}, "optimizers must be a list of some of"),
        ({"optimizers": ["gd", "gd"]}, "once each"),
        ({"n_steps": 1}, "n_steps"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"n_records": 0}, "n_records"),
    ],
)
def test_wrong_parameters_are_told(params, message):
    with pytest.raises(ValueError, match=message):
        margin_path(None, *make_separable(random_state=0), **params)


def test_one_class_is_told():
    with pytest.raises(ValueError, match="at least 2 classes"):
        margin_path(None, np.eye(3), np.zeros(3, dtype=int))


def test_estimators_without_a_last_layer_are_told():
    X, y = make_clouds(2)
    with pytest.raises(ValueError, match="not fitted.*Fit it first"):
        margin_path(NetClassifier(MLP), X, y)
    with pytest.raises(TypeError, match="classifier"):
        margin_path(WideDeepRegressor(), X, y)
    with pytest.raises(TypeError, match="SVC"):
        margin_path(SVC(), X, y)

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6))

        def forward(self, X):
            return X @ self.weight

    net = NetClassifier(Product, max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"ends in a torch.nn.Linear layer.*Product"):
        margin_path(net, X, y)
