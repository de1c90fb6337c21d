"""Memorization and influence: what nets on subsets of the rows tell."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_memgen import NetClassifier, NoisyFineTuneProbe, WideDeepClassifier
from sklearn_memgen.inspection._subsets import draw_subsets
from sklearn_memgen.inspection.memorization import memorization_scores
from sklearn_memgen.inspection.memorization_display import MemorizationDisplay
from sklearn_memgen.inspection.memorized_rows import MemorizationScores


class MLP(nn.Sequential):
    def __init__(self, n_features, n_classes, n_units=64):
        super().__init__(
            nn.Linear(n_features, n_units), nn.ReLU(), nn.Linear(n_units, n_classes)
        )


def made_of(included, outcomes, labels, is_probability=False):
    """Return scores of nets that were never trained."""
    index = pd.RangeIndex(len(labels))
    predictions = np.where(outcomes > 0.5, labels, 1 - labels)
    return MemorizationScores(
        included,
        predictions,
        outcomes,
        None,
        labels,
        np.array([0, 1]),
        index,
        None,
        is_probability,
    )


def quick(**params):
    """Return a net that learns a few hundred rows by heart in a moment."""
    settings = {"max_epochs": 40, "batch_size": 32, "learning_rate": 0.02}
    return NetClassifier(MLP, **(settings | {"weight_decay": 0.0} | params))


@pytest.fixture(scope="module")
def wrong_labels():
    """Two classes far apart, and four rows with the label of the other."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    X = rng.normal(size=(120, 20)) + 1.5 * y[:, None]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    wrong = np.array([5, 20, 70, 110])
    y[wrong] = 1 - y[wrong]
    return X.astype(np.float32), y, wrong


@pytest.fixture(scope="module")
def scores(wrong_labels):
    X, y, _ = wrong_labels
    return memorization_scores(quick(), X, y, n_models=24, random_state=0)


# Subsets


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("n_rows", [11, 100, 257])
def test_subsets_are_of_one_size_and_leave_all_rows_out_as_often(share, n_rows):
    rng = np.random.RandomState(0)
    codes = rng.randint(3, size=n_rows)
    included = draw_subsets(codes, 40, share, rng)
    assert set(included.sum(axis=1)) == {round(share * n_rows)}
    assert np.ptp(included.sum(axis=0)) <= 1


def test_each_class_has_its_share_of_a_subset():
    codes = np.repeat([0, 1, 2], [600, 300, 100])
    included = draw_subsets(codes, 30, 0.7, np.random.RandomState(0))
    shares = np.array([included[:, codes == k].mean(axis=1) for k in range(3)])
    assert np.abs(shares - 0.7).max() < 0.07


def test_subsets_are_those_of_chance():
    """Two rows are left out together as often as independent draws would have it."""
    included = draw_subsets(np.zeros(40, int), 4000, 0.7, np.random.RandomState(0))
    out = ~included
    together = (out[:, :1] & out[:, 1:]).mean(axis=0)
    # 12 of 40 rows without putting back.
    np.testing.assert_allclose(together, 0.3 * 11 / 39, atol=0.025)


# Scores


def test_wrong_labels_are_known_only_by_heart(scores, wrong_labels):
    *_, wrong = wrong_labels
    frame = scores.to_frame()
    assert frame["memorization"].nlargest(4).index.sort_values().tolist() == [*wrong]
    assert frame["memorization"][wrong].min() > 0.9
    assert frame["memorization"].drop(wrong).mean() < 0.05


def test_scores_are_means_over_nets_with_and_without_the_row():
    """Checked against a loop over rows and nets, and Agresti and Caffo's formula."""
    rng = np.random.default_rng(1)
    included = rng.random((30, 8)) < 0.6
    outcomes = rng.random((30, 8)) < 0.5
    scores = made_of(included, outcomes, np.zeros(8, int))
    for i, row in scores.to_frame().iterrows():
        with_it, without = outcomes[included[:, i], i], outcomes[~included[:, i], i]
        assert row["memorization"] == pytest.approx(with_it.mean() - without.mean())
        variance = 0.0
        for side in (with_it, without):
            share = (side.sum() + 1) / (len(side) + 2)
            variance += share * (1 - share) / (len(side) + 2)
        assert row["std_error"] == pytest.approx(np.sqrt(variance))
        assert row["n_in"] + row["n_out"] == 30


def test_standard_errors_of_probabilities_are_those_of_means():
    rng = np.random.default_rng(1)
    included, outcomes = rng.random((30, 5)) < 0.6, rng.random((30, 5))
    scores = made_of(included, outcomes, np.zeros(5, int), is_probability=True)
    for i, row in scores.to_frame().iterrows():
        sides = outcomes[included[:, i], i], outcomes[~included[:, i], i]
        variance = sum(side.var(ddof=1) / len(side) for side in sides)
        assert row["std_error"] == pytest.approx(np.sqrt(variance))


def test_standard_errors_tell_how_scores_of_other_nets_differ(wrong_labels):
    """Over two draws the scores differ by as much as the errors say."""
    X, y, _ = wrong_labels
    noisy = X + 3 * np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    frames = [
        memorization_scores(
            quick(max_epochs=8), noisy, y, n_models=16, random_state=seed
        ).to_frame()
        for seed in (0, 1)
    ]
    one, other = frames
    z = (one["memorization"] - other["memorization"]) / np.hypot(
        one["std_error"], other["std_error"]
    )
    assert 0.5 < z.std() < 1.2


def test_what_others_say_is_the_label_that_was_right(scores, wrong_labels):
    _, y, wrong = wrong_labels
    frame = scores.to_frame()
    assert (frame["predicted_out"][wrong] == 1 - y[wrong]).all()
    assert (frame["predicted_out"] == frame["label"]).mean() > 0.9


def test_scores_can_be_repeated_and_leave_the_estimator_alone(wrong_labels, scores):
    X, y, _ = wrong_labels
    model = quick()
    again = memorization_scores(model, X, y, n_models=24, random_state=0)
    pd.testing.assert_frame_equal(again.to_frame(), scores.to_frame())
    assert not hasattr(model, "net_") and model.random_state is None


def test_two_halves_of_the_nets_agree(wrong_labels):
    X, y, _ = wrong_labels
    hard = X + 2.5 * np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    scores = memorization_scores(
        quick(), hard, y, n_models=40, outcome="probability", random_state=0
    )
    assert scores.agreement() > 0.6
    columns = np.random.default_rng(0).permutation(len(y))
    shuffled = made_of(scores.included[:, columns], scores.outcomes, y, True)
    assert shuffled.agreement() < 0.3


def test_rows_held_out_to_stop_by_count_as_not_learned(wrong_labels):
    X, y, _ = wrong_labels
    model = quick(early_stopping=True, validation_fraction=0.25)
    scores = memorization_scores(model, X, y, n_models=8, random_state=0)
    assert (scores.included.sum(axis=1) == 84 - 21).all()


def test_an_encoder_with_target_statistics_does_not_see_the_rows_left_out():
    """The share of a category would tell a net the label of a row it has not seen."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(200), 3)
    X = pd.DataFrame({"who": who.astype(str), "number": rng.normal(size=600)})
    y = (rng.random(600) < rng.choice([0.1, 0.9], 200)[who]).astype(int)
    model = WideDeepClassifier(
        hidden_layer_sizes=(16,),
        n_members=1,
        max_epochs=6,
        caution=False,
        early_stopping=False,
    )
    known = {
        encode: memorization_scores(
            model, X, y, n_models=6, encode=encode, random_state=0
        )
        for encode in ("auto", "each", "once")
    }
    correct = {k: s.to_frame()["correct_out"].mean() for k, s in known.items()}
    assert correct["auto"] == correct["each"]
    assert correct["once"] > correct["each"] + 0.05


# Influence


def test_influence_is_that_of_the_only_row_like_it():
    """Each test row is answered by one training row alone, and that is found."""
    rng = np.random.default_rng(0)
    X = np.eye(30, dtype=np.float32) * 8
    y = rng.permutation(np.repeat([0, 1], 15))
    scores = memorization_scores(
        quick(max_epochs=80, batch_size=8),
        pd.DataFrame(X, index=[f"a{i}" for i in range(30)]),
        y,
        X_test=pd.DataFrame(X[:10], index=[f"t{i}" for i in range(10)]),
        y_test=y[:10],
        n_models=60,
        random_state=0,
    )
    pairs = scores.influence()
    assert len(pairs) > 3
    assert (pairs["train_row"].str[1:] == pairs["test_row"].str[1:]).all()
    assert pairs["influence"].is_monotonic_decreasing
    memorization = scores.to_frame()["memorization"]
    same = memorization.loc[pairs["train_row"]].to_numpy()
    np.testing.assert_allclose(pairs["influence"], same, atol=1e-6)


def test_influence_among_training_rows_is_by_nets_without_the_second():
    rng = np.random.default_rng(0)
    included, outcomes = rng.random((80, 6)) < 0.6, rng.random((80, 6)) < 0.5
    scores = made_of(included, outcomes, np.zeros(6, int))
    pairs = scores.influence(min_influence=-1, min_memorization=-1, n_std=-99)
    assert len(pairs) == 6 * 5
    for pair in pairs.itertuples():
        i, j = pair.train_row, pair.test_row
        others = ~included[:, j]
        with_i = outcomes[others & included[:, i], j].mean()
        without = outcomes[others & ~included[:, i], j].mean()
        assert pair.influence == pytest.approx(with_i - without, abs=1e-6)


def test_nothing_is_influenced_where_nothing_is_memorized(scores):
    assert scores.influence(min_memorization=1.1).empty
    assert scores.influence().columns.tolist() == [
        "train_row",
        "test_row",
        "influence",
        "std_error",
    ]


# Inputs


def test_tables_pipelines_and_other_estimators_go_in(mixed_table):
    X, y = mixed_table
    X = X.set_index(np.arange(400) + 1000)
    wide_deep = WideDeepClassifier(hidden_layer_sizes=(8,), n_members=1, max_epochs=1)
    for model in (wide_deep, NoisyFineTuneProbe(wide_deep)):
        frame = memorization_scores(model, X, y, n_models=4).to_frame()
        assert frame.index.tolist() == X.index.tolist()
        assert frame["label"].tolist() == y.tolist()
    numbers, labels = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), quick(max_epochs=1))
    scores = memorization_scores(pipeline, numbers, labels, n_models=4)
    assert scores.outcomes.shape == (4, 150)


def test_a_class_of_one_row_is_known_only_with_it(wrong_labels):
    X, y, _ = wrong_labels
    X, y = np.vstack([X, np.full((1, 20), -6.0)]), np.append(y, 2)
    with pytest.warns(UserWarning, match=r"classes \[2\] have one row each"):
        scores = memorization_scores(quick(), X, y, n_models=12, random_state=0)
    assert scores.to_frame()["correct_out"].iloc[-1] == 0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_models": 3}, "The 'n_models' parameter"),
        ({"subset": 1.0}, "The 'subset' parameter"),
        ({"outcome": "corect"}, "The 'outcome' parameter"),
        ({"encode": "twice"}, "The 'encode' parameter"),
        ({"strategy": "fast"}, "The 'strategy' parameter"),
        ({"subset": 0.01}, "subset=0.01 of 120 rows leaves 1 to learn"),
        ({"subset": 0.999}, "subset=0.999 of 120 rows leaves 120 to learn"),
        ({"X_test": np.zeros((2, 20))}, "X_test and y_test must be given together"),
        (
            {"X_test": np.zeros((2, 20)), "y_test": [0, 7]},
            "y has classes [7] that were not there before",
        ),
    ],
)
def test_bad_parameters_are_named(wrong_labels, params, message):
    X, y, _ = wrong_labels
    with pytest.raises(ValueError, match=re.escape(message)):
        memorization_scores(quick(), X, y, **params)


@pytest.mark.parametrize("model", [LogisticRegression(), NetClassifier, None])
def test_what_has_no_net_is_refused(wrong_labels, model):
    X, y, _ = wrong_labels
    with pytest.raises(TypeError, match="estimator must be"):
        memorization_scores(model, X, y)


def test_progress_is_shown_if_wanted(wrong_labels, capsys):
    X, y, _ = wrong_labels
    memorization_scores(quick(max_epochs=1), X, y, n_models=4, verbose=1)
    assert "4/4" in capsys.readouterr().err
    memorization_scores(quick(max_epochs=1), X, y, n_models=4)
    assert not capsys.readouterr().err


# Pictures


def test_the_picture_counts_memorized_rows(scores):
    display = scores.plot()
    words = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    n_memorized = int((scores.memorization >= 0.25).sum())
    assert f"{n_memorized} memorized" in words
    assert display.ax_.get_title(loc="left").startswith(f"{n_memorized / 120:.1%}")


def test_the_picture_can_be_made_in_one_go(wrong_labels):
    X, y, _ = wrong_labels
    display = MemorizationDisplay.from_estimator(quick(max_epochs=1), X, y, n_models=4)
    assert display.plot().figure_ is display.ax_.figure
