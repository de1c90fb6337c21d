"""Scouts of a SourceNet: what they learn, and the guide that is made of them."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from sklearn_memgen import GuidedTransferClassifier, NetClassifier, SourceNet
from sklearn_memgen._scout_tasks import ScoutTask, draw_subsets
from sklearn_memgen._scouting import explore
from sklearn_memgen.training import Displacement, Guide

SMALL = {
    "hidden_layer_sizes": (16, 8),
    "max_epochs": 4,
    "scout_epochs": 3,
    "random_state": 0,
    "device": "cpu",
}
LABELED = SMALL | {"objective": "supervised"}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:500], y[:500]


@pytest.fixture(scope="module")
def source(digits):
    return SourceNet(**LABELED, n_scouts=9).fit(*digits)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 4, 400)
    X = pd.DataFrame({"size": kind + 0.3 * rng.normal(size=400)})
    for name in ("color", "shape", "maker"):
        value = np.where(rng.random(400) < 0.8, kind, rng.integers(0, 4, 400))
        X[name] = np.array(list("abcd"))[value]
    X["same"] = "always"
    return X, kind


def assert_close(one, other, rtol=1e-4):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=rtol, atol=1e-6)


def weights_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


# What comes back


def test_scouts_are_told_and_measured(source):
    scouts = source.scouts_
    layers = ["body.deep.layers.0", "body.deep.layers.2", "head"]
    assert list(scouts) == ["classes", "n_rows", "loss", "accuracy", *layers]
    assert len(set(scouts["classes"])) == len(scouts) == 9
    assert all(len(set(classes)) == 3 for classes in scouts["classes"])
    assert scouts["n_rows"].between(130, 170).all()
    assert scouts["accuracy"].between(0.5, 1).all()
    assert (scouts[layers] > 0).all(axis=None)
    # The mean square over the scouts is what the displacement tells of a layer.
    rms = np.sqrt((scouts[layers] ** 2).mean())
    np.testing.assert_allclose(rms, source.displacement_.by_layer()["rms"], rtol=1e-6)


def test_the_guide_is_that_of_the_displacement(source):
    assert source.guide_ == source.displacement_.guide()
    named = dict(source.net_.module_.named_parameters())
    assert list(source.guide_) == list(named)
    for name, multiplier in source.guide_.items():
        assert multiplier.shape == named[name].shape
        assert (multiplier.min(), multiplier.max()) == (0, 1)


def test_the_base_stays_where_it_was(digits, source):
    """A base that shared its weights with the scouts would go along with them."""
    alone = SourceNet(**LABELED).fit(*digits)
    before, after = weights_of(alone.net_.module_), weights_of(source.net_.module_)
    assert all(torch.equal(before[name], after[name]) for name in before)
    base = source.displacement_._sums.base
    assert all(torch.equal(value, after[name]) for name, value in base.items())
    assert not hasattr(alone, "guide_")


def test_scouts_learn_the_rows_of_their_classes(digits):
    X, y = digits
    seen = SourceNet(**LABELED, n_scouts="all", classes_per_scout=9).fit(X, y)
    missing = [set(range(10)) - set(classes) for classes in seen.scouts_["classes"]]
    assert sorted(missing.pop().pop() for _ in range(10)) == list(range(10))
    counts = [
        (y != next(iter(set(range(10)) - set(c)))).sum()
        for c in seen.scouts_["classes"]
    ]
    assert seen.scouts_["n_rows"].tolist() == counts


# One guide, however it comes about


def tasks_of(y, subsets):
    return [ScoutTask(s, np.flatnonzero(np.isin(y, s))) for s in subsets]


def send(source, digits, subsets, strategy="auto"):
    X, y = digits
    data = _dataset(source, X, y)
    source._rng = np.random.RandomState(0)
    found = explore(
        source, tasks_of(y, subsets), data, "classes", 10, strategy=strategy
    )
    return found.displacement.guide()


def _dataset(source, X, y):
    from sklearn_memgen._labels import LabeledExamples
    from sklearn_memgen.tables.columns import as_table

    examples = LabeledExamples(as_table(X), y, classes=source.classes_)
    return examples.encode(source.encoder_)


def test_stacked_scouts_are_those_trained_one_by_one(digits, source):
    subsets = [(0, 1), (2, 3), (4, 5), (1, 7), (8, 9)]
    stacked = send(source, digits, subsets, strategy="stacked")
    assert_close(stacked, send(source, digits, subsets, strategy="sequential"), 0.02)


def test_identical_scouts_give_the_guide_of_one(digits, source):
    one = send(source, digits, [(0, 1)], strategy="sequential")
    many = send(source, digits, [(0, 1)] * 3, strategy="sequential")
    assert_close(one, many)


def test_the_order_of_the_scouts_does_not_matter(digits, source):
    subsets = [(0, 1), (2, 3), (4, 5)]
    there = send(source, digits, subsets, strategy="sequential")
    assert_close(there, send(source, digits, subsets[::-1], strategy="sequential"))


def test_a_seed_repeats_scouts_and_another_does_not(digits, source):
    again = SourceNet(**LABELED, n_scouts=9).fit(*digits)
    assert again.guide_ == source.guide_
    pd.testing.assert_frame_equal(again.scouts_, source.scouts_)
    other = SourceNet(**LABELED | {"random_state": 1}, n_scouts=9).fit(*digits)
    assert other.scouts_["classes"].tolist() != source.scouts_["classes"].tolist()


def test_clones_and_pickles_keep_the_guide(digits, source):
    assert clone(source).guide_ is source.guide_
    twin = pickle.loads(pickle.dumps(source))
    assert twin.guide_ == source.guide_
    assert twin.displacement_.guide(scope="global") == source.displacement_.guide(
        scope="global"
    )
    assert NetClassifier(source=source, max_epochs=1).fit(*digits).source is source


def test_rates_and_epochs_of_scouts(digits, source):
    slow = SourceNet(**LABELED, n_scouts=3, scout_learning_rate=1e-5).fit(*digits)
    far = source.scouts_["head"].mean()
    assert slow.scouts_["head"].mean() < 0.1 * far
    long = SourceNet(**LABELED | {"scout_epochs": None, "max_epochs": 12}, n_scouts=3)
    assert long.fit(*digits).scouts_["head"].mean() > 0


# Other tasks


def test_columns_of_a_table(table):
    """A scout predicts some columns; one that holds a single value is none of them."""
    X, _ = table
    source = SourceNet(**SMALL, n_scouts="all").fit(X)
    columns = ["size", "color", "shape", "maker"]
    assert source.scouts_["columns"].tolist() == list(
        itertools.combinations(columns, 3)
    )
    assert (source.scouts_["n_rows"] == 400).all()
    assert "accuracy" not in source.scouts_
    # The logits of a column that no scout predicts stay where they are.
    alone = SourceNet(**SMALL, n_scouts="all", classes_per_scout=1, weight_decay=0.0)
    alone.fit(X)
    assert alone.scouts_["columns"].tolist() == [(name,) for name in columns]
    module = alone.net_.module_
    single = (module.cells == 4).nonzero().item()
    assert not alone.guide_["decoder.bias"][module.columns == single].any()
    assert module.is_open.sum() == 4  # the base predicts as before


def test_clusters_of_rows(table):
    X, kind = table
    source = SourceNet(**LABELED, n_scouts=6).fit(X, kind == 1)  # two classes are few
    assert next(iter(source.scouts_)) == "clusters"
    assert source.scouts_["n_rows"].between(3, 400).all()
    images = np.random.default_rng(0).random((60, 5, 5))
    module = nn.Sequential(nn.Flatten(), nn.Linear(25, 6), nn.ReLU())
    arrays = SourceNet(module=module, **SMALL, n_scouts=2).fit(images)
    assert next(iter(arrays.scouts_)) == "clusters"
    assert "decoder.weight" in arrays.guide_
    few = SourceNet(**SMALL, scout_tasks="clusters", classes_per_scout=2, n_scouts=1)
    assert few.fit(X[:8]).scouts_["n_rows"].between(2, 8).all()


def test_a_function_says_which_rows(digits):
    X, y = digits
    asked = []

    def halves(X, y, n_scouts, random_state):
        asked.append((len(X), len(y), n_scouts, type(random_state)))
        return [np.arange(250), list(range(250, 500)), np.arange(250)]

    weight = np.ones(500)
    weight[:50] = 0
    source = SourceNet(**LABELED, n_scouts=3, scout_tasks=halves)
    source.fit(X, y, sample_weight=weight)
    assert asked == [(500, 500, 3, np.random.RandomState)]
    assert source.scouts_["task"].tolist() == [0, 1, 2]
    assert source.scouts_["n_rows"].tolist() == [200, 250, 200]  # without weight zero
    first, _, third = source.scouts_["loss"]
    assert first == pytest.approx(third, rel=1e-3)


def test_subsets_are_different_and_drawn_evenly():
    drawn = draw_subsets(40, 10, 3, "classes", np.random.RandomState(0))
    assert len(set(drawn)) == 40
    assert all(tuple(sorted(set(s))) == s and max(s) < 10 for s in drawn)
    everything = draw_subsets("all", 5, 2, "classes", np.random.RandomState(0))
    assert everything == list(itertools.combinations(range(5), 2))
    assert draw_subsets(10, 5, 2, "classes", np.random.RandomState(0)) == everything
    many = draw_subsets(30, 1000, 8, "classes", np.random.RandomState(0))
    assert len(set(many)) == 30 and all(len(set(s)) == 8 for s in many)
    counts = np.zeros(6)
    for seed in range(300):
        (one,) = draw_subsets(1, 6, 2, "classes", np.random.RandomState(seed))
        counts[list(one)] += 1
    assert counts.min() > 70


# From random weights


@pytest.mark.parametrize("objective", ["supervised", "masked"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_scouts_of_a_base_that_is_not_pretrained(digits, objective, early_stopping):
    """They begin with the very weights that a base begins with that is trained."""
    params = LABELED | {"objective": objective, "early_stopping": early_stopping}
    source = SourceNet(**params | {"max_epochs": 0}, n_scouts=3).fit(*digits)
    assert source.history_.empty
    still = SourceNet(**params | {"max_epochs": 1, "learning_rate": 1e-30}).fit(*digits)
    start, unmoved = (weights_of(one.net_.module_) for one in (source, still))
    assert all(torch.equal(start[name], unmoved[name]) for name in start)
    assert len(source.scouts_) == 3
    assert source.scouts_["loss"].notna().all()
    assert any(value.any() for value in source.guide_.values())
    twin = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(
        twin.transform(digits[0]), source.transform(digits[0])
    )


def test_scouts_of_no_passes_are_refused(digits):
    model = SourceNet(**LABELED, n_scouts=2).set_params(max_epochs=0)
    with pytest.raises(ValueError, match="scout_epochs=None makes as many passes"):
        model.set_params(scout_epochs=None).fit(*digits)


# Bad input


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_scouts": 3, "classes_per_scout": 11}, "=11 is more than the 10 classes"),
        (
            {"n_scouts": 121},
            r"n_scouts=121 is more than the 120 .* 3 out of 10 classes",
        ),
        ({"n_scouts": 3, "scout_tasks": "columns"}, "predict some columns of a table"),
        ({"n_scouts": 0}, "'n_scouts' parameter"),
        ({"n_scouts": 2, "scout_tasks": "rows"}, "'scout_tasks' parameter"),
    ],
)
def test_bad_parameters(digits, params, message):
    if params.get("classes_per_scout"):
        params = params | {"scout_tasks": "classes"}
    model = SourceNet(**LABELED).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)
    assert model.set_params(n_scouts=1, scout_tasks="auto", classes_per_scout=3)
    model.fit(*digits)  # a fit that failed can be repeated


def test_classes_without_labels_and_too_few_columns(digits, table):
    with pytest.raises(ValueError, match="needs objective='supervised'"):
        SourceNet(**SMALL, n_scouts=2, scout_tasks="classes").fit(digits[0])
    model = SourceNet(**SMALL, n_scouts=2, scout_tasks="columns", classes_per_scout=5)
    with pytest.raises(ValueError, match="=5 is more than the 4 columns there are"):
        model.fit(table[0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 1], []], "returned no rows for scout 1"),
        ([], "returned no scouts"),
        ([[0, 500]], "returned row 500 for scout 0, but X has 500 rows"),
        ([[-1]], "returned row -1"),
        ([[0.5]], "the dtype float64"),
        ([[[1, 2]]], r"the shape \(1, 2\)"),
    ],
)
def test_bad_functions(digits, rows, message):
    model = SourceNet(**LABELED, n_scouts=2, scout_tasks=lambda *given: rows)
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)
    assert not hasattr(model, "net_")


def test_scouts_that_do_not_move_are_warned_of(digits):
    model = SourceNet(**LABELED, n_scouts=2, scout_learning_rate=1e-30)
    with pytest.warns(
        UserWarning, match="none of the 2 scouts differs from the base"
    ) as (caught):
        model.fit(*digits)
    assert [record.filename for record in caught] == [__file__]
    assert not any(value.any() for value in model.guide_.values())


def test_a_scout_that_diverges_is_an_error(digits):
    model = SourceNet(**LABELED, n_scouts=2, scout_learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="learning_rate=1e"):
        model.fit(*digits)


def test_without_scouts_there_is_no_guide(digits, monkeypatch):
    """The line that is pointed at is the user's, through another estimator, too."""
    from sklearn_memgen import _scouting

    def interrupted(self, **params):
        self.interrupted_ = True
        self.results_ = []
        return self

    monkeypatch.setattr(_scouting.Population, "train", interrupted)
    model = GuidedTransferClassifier(
        source_params={**SMALL, "n_scouts": 2}, max_epochs=1
    )
    for call, keywords in (
        (model.fit, {}),
        (model.partial_fit, {"classes": range(10)}),
    ):
        with (
            pytest.warns(UserWarning, match="scouts? came back") as caught,
            pytest.raises(ValueError, match="the source has sent none"),
        ):
            call(*digits, **keywords)
        assert [record.filename for record in caught] == [__file__] * 2


def test_ctrl_c_keeps_the_scouts_that_came_back(digits, monkeypatch):
    from sklearn_memgen import _scouting

    monkeypatch.setattr(_scouting, "_FEWEST_TOGETHER", 2)
    monkeypatch.setattr(_scouting, "members_a_chunk", lambda net: 1)
    monkeypatch.setattr(_scouting, "auto_max_epochs", None)  # scouts have 3 epochs
    train, groups = _scouting.Population.train, []

    def interrupted(self, **params):
        groups.append(self)
        train(self, **params)
        if len(groups) == 2:
            self.interrupted_ = True
            self.results_ = self.results_[:1]
        return self

    monkeypatch.setattr(_scouting.Population, "train", interrupted)
    model = SourceNet(**LABELED, n_scouts=9)
    with pytest.warns(UserWarning, match="interrupted; 3 of 9 scouts came back") as (
        caught
    ):
        model.fit(*digits)
    assert [record.filename for record in caught] == [__file__]
    assert len(model.scouts_) == model.displacement_.n_scouts == 3
    assert isinstance(model.guide_, Guide)
    assert isinstance(model.displacement_, Displacement)
