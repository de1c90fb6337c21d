"""Estimators are compared on the very same few rows."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from sklearn_memgen import ShotSplit, few_shot_curve

COLUMNS = ["estimator", "shots", "episode", "score", "fit_seconds"]
NAMES = ("one", "two")
PAIR = {"neighbor": KNeighborsClassifier(1), "svm": SVC()}


class Recorder(ClassifierMixin, BaseEstimator):
    """Knows which rows it saw: `X` holds their numbers."""

    seen: list = []

    def __init__(self, name="one"):
        self.name = name

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.learned_ = np.ravel(X).tolist()
        return self

    def predict(self, X):
        self.seen.append((self.name, self.learned_, np.ravel(X).tolist()))
        return np.repeat(self.classes_[:1], len(X))


class Fussy(ClassifierMixin, BaseEstimator):
    """Raises at fewer rows than it wants, in fit or, if told so, in predict."""

    def __init__(self, n_rows=10, late=False):
        self.n_rows = n_rows
        self.late = late

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.n_seen_ = len(X)
        if not self.late and self.n_seen_ < self.n_rows:
            raise ValueError(f"{self.n_seen_} rows are too few")
        return self

    def predict(self, X):
        if self.late and self.n_seen_ < self.n_rows:
            raise RuntimeError("cannot predict")
        return np.repeat(self.classes_[:1], len(X))


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def curve(iris):
    return few_shot_curve(PAIR, *iris, shots=(20, 1, 5), n_episodes=6, random_state=0)


# The curve


def test_curve_has_a_row_for_each_fit(curve):
    assert curve.columns.tolist() == COLUMNS
    assert curve[COLUMNS[:3]].to_numpy().tolist() == [
        [name, n_shots, episode]
        for name in ("neighbor", "svm")
        for n_shots in (1, 5, 20)
        for episode in range(6)
    ]
    assert curve["score"].between(0, 1).all()
    assert (curve["fit_seconds"] > 0).all()
    means = curve.groupby("shots")["score"].mean()
    assert means[20] > means[1] + 0.05


def test_scores_are_those_of_the_splitter(iris, curve):
    split = ShotSplit(5, n_episodes=6, random_state=0)
    expected = cross_val_score(SVC(), *iris, cv=split)
    found = curve.query("estimator == 'svm' and shots == 5")["score"]
    np.testing.assert_array_equal(found, expected)


def test_all_estimators_have_the_very_same_episodes():
    X, y = np.arange(60.0)[:, None], np.arange(60) % 3
    Recorder.seen.clear()
    few_shot_curve(
        [(name, Recorder(name)) for name in NAMES],
        *(X, y),
        shots=(1, 4),
        n_ways=2,
        n_episodes=5,
        n_test=3,
        random_state=None,
    )
    one, two = ([s[1:] for s in Recorder.seen if s[0] == name] for name in NAMES)
    assert len(one) == 10
    assert one == two
    assert len({tuple(learned) for learned, _ in one}) == 10
    for (few, tested), (more, same_tested) in zip(one[:5], one[5:], strict=True):
        assert (len(few), len(more), len(tested)) == (2, 8, 6)
        assert more[:2] == few
        assert tested == same_tested


def test_random_state_repeats_the_curve(iris):
    params = {"shots": [2], "n_episodes": 4}
    scores = [
        few_shot_curve(PAIR, *iris, random_state=seed, **params)["score"].tolist()
        for seed in (0, 0, 1, np.random.RandomState(0), np.random.RandomState(0))
    ]
    assert scores[0] == scores[1] != scores[2]
    assert scores[3] == scores[4]


def test_jobs_change_nothing_but_time(iris, curve):
    again = few_shot_curve(
        PAIR, *iris, shots=(1, 5, 20), n_episodes=6, random_state=0, n_jobs=2
    )
    pd.testing.assert_frame_equal(
        again.drop(columns="fit_seconds"), curve.drop(columns="fit_seconds")
    )


def test_estimators_are_left_unfitted(iris):
    estimator = SVC()
    few_shot_curve({"svm": estimator}, *iris, shots=[1], n_episodes=1)
    assert not hasattr(estimator, "classes_")


@pytest.mark.parametrize(
    "convert", [np.asarray, lambda X: csr_array(X.to_numpy())], ids=["array", "sparse"]
)
def test_kinds_of_tables_make_no_difference(iris, curve, convert):
    X, y = iris
    found = few_shot_curve(
        {"neighbor": KNeighborsClassifier(1)},
        convert(X),
        y.map({0: "a", 1: "b", 2: "c"}),
        shots=(5,),
        n_episodes=6,
        random_state=0,
    )
    expected = curve.query("estimator == 'neighbor' and shots == 5")["score"]
    np.testing.assert_allclose(found["score"], expected)


def test_scoring_by_name_by_function_and_by_the_estimator(iris):
    def inverted(estimator, X, y):
        return -accuracy_score(y, estimator.predict(X))

    accuracy, inverse, own, loss = (
        few_shot_curve(
            {"one": KNeighborsClassifier(3)},
            *iris,
            shots=[3],
            n_episodes=3,
            scoring=scoring,
            random_state=0,
        )["score"]
        for scoring in ("accuracy", inverted, None, "neg_log_loss")
    )
    np.testing.assert_array_equal(inverse, -accuracy)
    np.testing.assert_array_equal(own, accuracy)
    assert (loss < 0).all()


def test_groups_reach_the_splitter():
    X, y = np.arange(40.0)[:, None], np.arange(40) % 2
    groups = np.arange(40) // 4
    Recorder.seen.clear()
    few_shot_curve({"one": Recorder()}, X, y, shots=[2], n_episodes=5, groups=groups)
    for _, learned, tested in Recorder.seen:
        assert not {row // 4 for row in learned} & {row // 4 for row in tested}


# What goes wrong


@pytest.mark.parametrize("late", [False, True], ids=["fit", "predict"])
def test_estimator_that_raises_has_missing_scores(iris, late):
    estimators = {"fussy": Fussy(late=late), "dummy": DummyClassifier()}
    with pytest.warns(FitFailedWarning) as caught:
        curve = few_shot_curve(estimators, *iris, shots=(1, 5), n_episodes=3)
    [warning] = caught
    assert warning.filename == __file__
    for part in ("'fussy' raised in 3 of 6 episodes", "rows are too few", "nan"):
        assert late or part in str(warning.message)
    missing = curve[curve["score"].isna()]
    assert missing["estimator"].tolist() == ["fussy"] * 3
    assert missing["shots"].tolist() == [1] * 3
    assert missing["fit_seconds"].isna().all() == (not late)
    assert curve["fit_seconds"].notna().sum() == 9 + 3 * late


def test_error_score(iris):
    params = {"shots": (1,), "n_episodes": 2}
    with pytest.warns(FitFailedWarning, match=r"whose score is -1\.5"):
        curve = few_shot_curve({"f": Fussy()}, *iris, error_score=-1.5, **params)
    assert curve["score"].tolist() == [-1.5, -1.5]
    assert curve["score"].dtype == float
    with pytest.raises(ValueError, match="3 rows are too few"):
        few_shot_curve({"f": Fussy()}, *iris, error_score="raise", **params)


def test_estimators_check_their_parameters(iris):
    with pytest.raises(ValueError, match="'C' parameter of SVC"):
        few_shot_curve({"svm": SVC(C=-1.0)}, *iris, shots=[1], error_score="raise")


def test_shots_beyond_the_smallest_class_are_left_out(iris):
    X, y = iris
    with pytest.warns(
        UserWarning, match=r"shots \[50, 100\] are left out: class 0 has 50 rows"
    ) as caught:
        curve = few_shot_curve(
            {"one": DummyClassifier()}, X, y, shots=(49, 100, 50), n_episodes=1
        )
    assert curve["shots"].tolist() == [49]
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match=r"shots=\[50\] are all too many: class 0"):
        few_shot_curve({"one": DummyClassifier()}, X, y, shots=[50])


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"estimators": {}}, ValueError, "at least one"),
        ({"estimators": [SVC()]}, TypeError, "got the element SVC"),
        ({"estimators": {"svm": SVC}}, TypeError, "'svm' must be an estimator"),
        ({"estimators": [("a", SVC()), ("a", SVC())]}, ValueError, "'a'.*repeat"),
        ({"shots": (0, 1)}, ValueError, "shots must be positive integers; got 0"),
        ({"shots": (1.5,)}, ValueError, "shots must be positive integers; got 1.5"),
        ({"n_ways": 4}, ValueError, "n_ways=4.*y has 3"),
        ({"scoring": "acuracy"}, ValueError, "acuracy"),
        ({"error_score": "nan"}, ValueError, "error_score must.*got 'nan'"),
        ({"scoring": ["accuracy", "f1"]}, ValueError, "scoring must.*'accuracy'"),
        ({"n_episodes": 0}, ValueError, "'n_episodes'.*Got 0"),
    ],
)
def test_bad_parameters_are_named_with_their_value(iris, params, error, message):
    X, y = iris
    defaults = {"estimators": PAIR, "shots": (1,)}
    with pytest.raises(error, match=message):
        few_shot_curve(X=X, y=y, **(defaults | params))
