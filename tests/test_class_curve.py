"""A probe tells how many rows a class needs before it is predicted."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from torch import nn

from sklearn_memgen import (
    ClassCurveDisplay,
    NetClassifier,
    NoisyFineTuneProbe,
    SourceNet,
    WideDeepClassifier,
    _class_curve,
    rows_needed,
)
from sklearn_memgen.datasets import make_memgen_classification
from sklearn_memgen.training import Trace

SCORES = ["precision", "recall", "f1"]
COLUMNS = ["head", "count", "repeat", *SCORES]
COLUMNS += ["first_predicted_epoch", "first_learned_epoch"]


class MLP(nn.Sequential):
    """A user's own module."""

    def __init__(self, n_features, n_classes):
        super().__init__(nn.Linear(n_features, 32), nn.ReLU(), nn.Linear(32, n_classes))


class Convolution(nn.Sequential):
    """A module of images."""

    def __init__(self, n_classes):
        super().__init__(
            nn.Conv2d(1, 8, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(n_classes),
        )


def make_probe(estimator=None, **params):
    defaults = {
        "noise_levels": (0.0,),
        "threshold_fraction": None,
        "max_epochs": 8,
        "random_state": 0,
    }
    return NoisyFineTuneProbe(estimator, **(defaults | params))


def make_table(n_rows=600, seed=0):
    """Return numbers whose three classes overlap a little."""
    random = np.random.RandomState(seed)
    codes = random.randint(3, size=n_rows)
    X = random.normal(size=(n_rows, 4))
    X[np.arange(n_rows), codes] += 3
    return X, np.array(["ash", "elm", "oak"])[codes]


@pytest.fixture(scope="module")
def fitted():
    X, y = make_table()
    probe = make_probe(NetClassifier(MLP, learning_rate=0.01), n_repeats=2)
    return probe.fit(X, y)


@pytest.fixture(scope="module")
def curve(fitted):
    return fitted.class_learning_curve("oak", counts=(150, 5, 25, 9999))


@pytest.fixture
def members(monkeypatch):
    """The nets that a curve is of."""
    seen = []

    def train_all(nets, *args):
        seen.extend(nets)
        return original(nets, *args)

    original = _class_curve.train_all
    monkeypatch.setattr(_class_curve, "train_all", train_all)
    return seen


def test_curve_has_a_row_for_each_net(curve):
    assert curve.columns.tolist() == COLUMNS
    nets = curve[["head", "count", "repeat"]].to_numpy().tolist()
    assert nets == [
        [head, count, repeat]
        for head in ("standard", "prototype")
        for count in (5, 25, 150)
        for repeat in (0, 1)
    ]
    assert curve[SCORES].stack().between(0, 1).all()


@pytest.mark.parametrize("head", ["standard", "prototype"])
def test_f1_rises_with_the_rows(curve, head):
    f1 = curve[curve["head"] == head].groupby("count")["f1"].mean()
    assert f1[150] > 0.85
    assert f1[150] > f1[5] + 0.05


def test_epochs_are_counted_from_one(curve):
    for name in ("first_predicted_epoch", "first_learned_epoch"):
        assert curve[name].dropna().between(1, 8).all()
    many = curve[curve["count"] == 150]
    assert many["first_learned_epoch"].notna().all()


def test_what_is_never_predicted_has_no_epoch_and_no_precision():
    """At such a rate nothing is learned, and the other classes are all there is."""
    X, y = make_table()
    y[:] = np.where(np.arange(600) < 20, "oak", "ash")
    net = NetClassifier(nn.Linear(4, 2), learning_rate=1e-9)
    with torch.no_grad():
        net.module.weight.zero_()
        net.module.bias.copy_(torch.tensor([1.0, 0.0]))
    curve = make_probe(net).fit(X, y)
    [row] = curve.class_learning_curve("oak", [5], heads=["standard"]).to_dict(
        "records"
    )
    assert row["recall"] == row["f1"] == 0
    missing = ("precision", "first_predicted_epoch", "first_learned_epoch")
    assert all(np.isnan(row[name]) for name in missing)


def test_rows_are_nested_and_held_out_ones_shared(fitted, members):
    fitted.class_learning_curve("elm", counts=(5, 25, 150))
    codes = members[0].training.y.numpy()
    for repeat in (0, 1):
        of_repeat = members[repeat::2]
        rows = [set(member.rows.tolist()) for member in of_repeat]
        assert rows[0] < rows[1] < rows[2]
        assert rows[:3] == rows[3:]  # of the standard and the prototype head
        others = [{row for row in chosen if codes[row] != 1} for chosen in rows]
        assert all(chosen == others[0] for chosen in others)
        n_own = [len(chosen) - len(others[0]) for chosen in rows[:3]]
        assert n_own == [5, 25, 150]
        assert len({member.seed for member in of_repeat}) == 1
        held_out = of_repeat[0].callbacks[0].is_class
        assert len(others[0]) == (codes != 1).sum() - (~held_out).sum()
        assert abs(held_out.sum() - (codes == 1).sum() / 10) <= 1
    assert members[0].seed != members[1].seed


def test_a_call_is_repeatable_and_draws_the_same_rows(fitted, curve, members):
    again = fitted.class_learning_curve("oak", counts=(5, 150), heads=["prototype"])
    first = curve[(curve["head"] == "prototype") & (curve["count"] != 25)]
    # Fewer nets are trained one by one, which rounds otherwise.
    pd.testing.assert_frame_equal(
        again, first.reset_index(drop=True), rtol=0.1, atol=0.1
    )


def test_random_state_repeats_the_curve():
    X, y = make_table(200)
    curves = [
        make_probe(NetClassifier(MLP), max_epochs=3, random_state=seed)
        .fit(X, y)
        .class_learning_curve("ash", [10])
        for seed in (1, 1, 2)
    ]
    pd.testing.assert_frame_equal(curves[0], curves[1])
    assert not curves[0].equals(curves[2])


def test_curve_leaves_the_probe_and_global_seeds_alone(fitted):
    np.random.seed(3)
    torch.manual_seed(3)
    before = fitted.predict_proba(np.eye(4)), np.random.get_state()[1].tolist()
    state = torch.random.get_rng_state()
    fitted.class_learning_curve("ash", [5])
    np.testing.assert_array_equal(fitted.predict_proba(np.eye(4)), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("strategy", ["stacked", "joblib"])
def test_strategy_changes_nothing_but_rounding(strategy):
    X, y = make_table(200)
    n_jobs = 2 if strategy == "joblib" else None
    curves = [
        make_probe(NetClassifier(MLP), max_epochs=3, strategy=one, n_jobs=n_jobs)
        .fit(X, y)
        .class_learning_curve("ash", [5, 40])
        for one in ("sequential", strategy)
    ]
    pd.testing.assert_frame_equal(*curves, rtol=0.1, atol=0.1)


# What it learns from


def test_prototypes_and_other_outputs_for_two_classes(members):
    X, y = make_table()
    y = np.where(y == "oak", 1, 0)
    probe = make_probe(WideDeepClassifier(n_members=2, hidden_layer_sizes=(16,)))
    curve = probe.fit(X, y).class_learning_curve(1, [150])
    assert (curve["f1"] > 0.7).all()
    module = members[1].make_net().module_
    assert module.prototypes.shape == (2, 2, _class_curve._N_FEATURES)


def test_images():
    X, y = load_digits(return_X_y=True)
    images = (X / 16).reshape(-1, 1, 8, 8)[:800]
    probe = make_probe(NetClassifier(Convolution, learning_rate=0.01))
    curve = probe.fit(images, y[:800]).class_learning_curve(3, [5, 60])
    assert (curve.loc[curve["count"] == 60, "f1"] > 0.7).all()


def test_module_of_fixed_outputs_has_them_compared():
    X, y = make_table()
    torch.manual_seed(0)
    net = NetClassifier(nn.Linear(4, 3), learning_rate=0.03)
    curve = make_probe(net).fit(X, y).class_learning_curve("oak", [150])
    assert (curve["f1"] > 0.8).all()


@pytest.mark.parametrize("kind", [NetClassifier, WideDeepClassifier])
def test_nets_start_from_a_source(kind, members):
    X, y = make_memgen_classification(n_samples=400, random_state=0)
    source = SourceNet(hidden_layer_sizes=(16,), max_epochs=3, random_state=0).fit(X)
    probe = make_probe(kind(source=source, random_state=0), max_epochs=2).fit(X, y)
    probe.class_learning_curve(y[0], [20])
    for member in members:
        module = member.make_net()
        module = module.module_ if module.initialized_ else module.initialize().module_
        body = getattr(module, "body", module)
        body = getattr(body, "body", body)
        torch.testing.assert_close(
            body.deep.embedding.weight, source.make_body().deep.embedding.weight
        )


def test_mixed_table_and_rows_of_weight_zero(mixed_table, members):
    X, y = mixed_table
    weight = np.ones(400)
    weight[:100] = 0
    probe = make_probe().fit(X, y, sample_weight=weight)
    curve = probe.class_learning_curve("yes", [5, 60])
    assert np.isfinite(curve["f1"]).all()
    assert len(members[0].training) == 300


def test_dict_of_arrays():
    class Sum(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.linear = nn.Linear(4, n_classes)

        def forward(self, left, right):
            return self.linear(torch.cat([left, right], 1))

    X, y = make_table(200)
    parts = {"left": X[:, :2], "right": X[:, 2:]}
    probe = make_probe(NetClassifier(Sum), max_epochs=2).fit(parts, y)
    assert len(probe.class_learning_curve("oak", [5])) == 2


def test_own_callbacks_are_copied_for_each_net(members):
    X, y = make_table(200)
    given = Trace()
    probe = make_probe(NetClassifier(MLP, callbacks=[given]), max_epochs=1).fit(X, y)
    probe.class_learning_curve("oak", [5])
    assert given.state_ is None


def test_a_class_of_two_rows_learns_one_and_holds_one_out(members):
    X, y = make_table(100)
    y[:] = np.where(np.arange(100) % 2, "ash", "elm")
    y[[7, 50]] = "oak"
    probe = make_probe(NetClassifier(MLP), n_repeats=3, max_epochs=2).fit(X, y)
    curve = probe.class_learning_curve("oak", [1])
    assert len(curve) == 6
    assert all(member.callbacks[-2].is_class.sum() == 1 for member in members)


# What is refused


@pytest.mark.parametrize("counts", [[0], [-5], [2.5], [True], ["5"]])
def test_counts_that_are_none(fitted, counts):
    with pytest.raises(ValueError, match="counts must be positive integers; got"):
        fitted.class_learning_curve("oak", counts)


def test_no_count_is_small_enough(fitted):
    n_there = int((fitted.examples_["given_label"] == "oak").sum() * 0.9)
    with pytest.raises(ValueError, match=r"has (\d+) rows to learn") as error:
        fitted.class_learning_curve("oak", (500, 1000))
    assert f" {n_there} " in str(error.value) or f" {n_there - 1} " in str(error.value)
    with pytest.raises(ValueError, match="rows to learn"):
        fitted.class_learning_curve("oak", ())


def test_unknown_class_and_head(fitted):
    with pytest.raises(ValueError, match=r"class_='fir' is none of .*'ash', 'elm'"):
        fitted.class_learning_curve("fir")
    with pytest.raises(ValueError, match="got 'linear'"):
        fitted.class_learning_curve("oak", heads=["linear"])


def test_a_class_of_one_row():
    X, y = make_table(60)
    y[:] = np.where(np.arange(60) % 2, "ash", "elm")
    y[7] = "oak"
    probe = make_probe(NetClassifier(MLP), max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="class_='oak' has a single row"):
        probe.class_learning_curve("oak", [1])


def test_rows_are_not_in_the_pickle(fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(
        loaded.predict_proba(np.eye(4)), fitted.predict_proba(np.eye(4)), atol=1e-6
    )
    for probe in (loaded, clone(fitted)):
        with pytest.raises(NotFittedError, match="fit"):
            probe.class_learning_curve("oak", [5])
    with pytest.raises(NotFittedError, match="call fit again"):
        loaded.class_learning_curve("oak", [5])


# The answer


def make_curve(**f1_by_head):
    frames = [
        pd.DataFrame(
            {"head": head, "count": [5, 25, 100, 500], "repeat": 0, "f1": f1}
        ).assign(recall=lambda frame: frame["f1"])
        for head, f1 in f1_by_head.items()
    ]
    return pd.concat(frames)


def test_rows_needed_are_counted_for_good():
    curve = make_curve(standard=[0.1, 0.0, 0.85, 0.8], prototype=[0.2, 0.78, 0.7, 0.75])
    needed = rows_needed(curve)
    assert needed.index.tolist() == ["standard", "prototype"]
    assert needed.loc["standard"].tolist() == [100, 100]  # luck at 5 does not count
    assert needed.loc["prototype"].tolist() == [5, 500]  # 0.72 are needed
    assert rows_needed(curve, well=0.8).loc["prototype", "predicted_well"] == 25


def test_rows_needed_are_missing_if_there_are_never_enough():
    needed = rows_needed(make_curve(standard=[0, 0, 0, 0.0], prototype=[0, 0, 0, 0.5]))
    assert needed.loc["standard"].isna().all()
    assert needed.loc["prototype"].tolist() == [500, 500]
    nothing = rows_needed(make_curve(standard=[0, 0, 0, 0.0]))
    assert nothing.isna().all(axis=None)


def test_most_repeats_must_predict_the_class():
    curve = pd.concat(
        make_curve(standard=f1).assign(repeat=repeat)
        for repeat, f1 in enumerate(([0.2, 0.3, 0.8, 0.8], [0, 0.3, 0.8, 0.8]))
    )
    assert rows_needed(curve).loc["standard", "predicted"] == 25


def test_display_draws_a_line_for_each_head(fitted, curve):
    pytest.importorskip("matplotlib").use("Agg")
    display = ClassCurveDisplay(curve).plot()
    words = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert words == ["standard head", "prototype head"]
    assert len(display.ax_.lines) == 4  # nets and means
    other = ClassCurveDisplay.from_estimator(
        fitted, "ash", counts=[5], heads=["standard"]
    )
    assert other.plot(display.ax_).ax_ is display.ax_
    assert "ash" in display.ax_.get_title(loc="left")
