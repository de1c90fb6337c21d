"""The probe finds labels that were made wrong, and keeps scikit-learn's contract."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from sklearn_memgen import (
    DataMapDisplay,
    ForgettingDisplay,
    NetClassifier,
    NoiseCurvesDisplay,
    NoisyFineTuneProbe,
    SourceNet,
    WideDeepClassifier,
)
from sklearn_memgen._label_quality import two_means_count
from sklearn_memgen.datasets import make_memgen_classification
from sklearn_memgen.training import Trace
from tests.probes import LEVELS, MLP, make_blobs, small_probe


@pytest.fixture(scope="module")
def fitted():
    """A probe of blobs of which a tenth has a wrong label."""
    X, y, true, wrong = make_blobs()
    frame = pd.DataFrame(X, index=[f"row {k}" for k in range(len(X))])
    frame.columns = ["a", "b", "c", "d"]
    probe = NoisyFineTuneProbe(
        noise_levels=LEVELS, max_epochs=12, n_repeats=2, random_state=0
    )
    return probe.fit(frame, y), frame, y, true, wrong


def test_wrong_labels_have_the_lowest_quality(fitted):
    probe, _, _, _, wrong = fitted
    quality = probe.examples_["label_quality"]
    assert roc_auc_score(~wrong, quality) > 0.98
    assert quality.between(0, 1).all()
    assert roc_auc_score(wrong, probe.examples_["loss_at_settling"]) > 0.95


@pytest.mark.parametrize(
    ("method", "least"), [("known_noise", 5), ("threshold", 40), ("two_means", 40)]
)
def test_issues_are_about_as_many_as_there_are(fitted, method, least):
    probe, _, _, _, wrong = fitted
    issues = probe.find_label_issues(method)
    assert issues.shape == wrong.shape
    # Of 60. All mistakes are to the next class; those that are known are not, and there
    # are fewer like them.
    assert least <= issues.sum() <= 80
    assert (issues & wrong).sum() > 0.8 * issues.sum()


@pytest.mark.parametrize("n_wrong", [0, 200, 400])
def test_known_noise_counts_even_mistakes(n_wrong):
    X, _, true, wrong = make_blobs(1200, n_wrong)
    shift = np.random.RandomState(1).randint(1, 3, size=len(true))
    y = np.where(wrong, (true + shift) % 3, true)
    probe = small_probe(noise_levels=(0.0, 0.2), max_epochs=8).fit(X, y)
    assert abs(probe.n_label_issues_ - n_wrong) <= 60


def test_number_of_issues_is_that_of_the_mask(fitted):
    probe = fitted[0]
    assert probe.n_label_issues_ == probe.find_label_issues().sum()


def test_suggested_labels_are_the_true_ones(fitted):
    probe, _, _, true, wrong = fitted
    suggested = probe.examples_["suggested_label"].to_numpy()
    assert (suggested == probe.classes_[true])[wrong].mean() > 0.9


def test_predictions_are_better_than_the_labels(fitted):
    probe, frame, y, true, wrong = fitted
    predicted = probe.predict(frame)
    assert (predicted == probe.classes_[true]).mean() > 0.95
    assert (predicted[wrong] == y[wrong]).mean() < 0.2
    probabilities = probe.predict_proba(frame)
    assert len(probe.estimators_) == 2  # repeats, averaged
    each = [model.predict_proba(frame) for model in probe.estimators_]
    np.testing.assert_allclose(probabilities, np.mean(each, axis=0))


def test_examples_keep_the_index_and_the_order(fitted):
    probe, frame, y, _, _ = fitted
    assert probe.examples_.index.equals(frame.index)
    assert (probe.examples_["given_label"] == y).all()
    # With two nets of level 0 every row was learned by one, but some never well.
    there = probe.examples_.drop(columns="first_learned_epoch").notna()
    assert there.all(axis=None)


def test_noise_is_reported_as_it_came_out(fitted):
    noise = fitted[0].noise_
    assert noise["level"].tolist() == [*LEVELS, *LEVELS]
    counts = noise["realized"] * noise["n_rows"]
    np.testing.assert_allclose(counts, np.rint(noise["nominal"] * noise["n_rows"]))


def test_curves_hang_together(fitted):
    curves = fitted[0].curves_
    assert len(curves) == 2 * len(LEVELS) * 12
    at_zero = curves[curves["level"] == 0]
    assert at_zero["wrong_accuracy"].isna().all()
    np.testing.assert_allclose(at_zero["accuracy"], at_zero["clean_accuracy"])
    noisy = curves[curves["level"] > 0]
    for name in ("accuracy", "loss"):
        mixed = (
            noisy["level"] * noisy[f"wrong_{name}"]
            + (1 - noisy["level"]) * noisy[f"clean_{name}"]
        )
        np.testing.assert_allclose(noisy[name], mixed, atol=0.01)
    assert (noisy["wrong_accuracy"] + noisy["original_accuracy"] <= 1).all()


def test_curves_are_those_of_the_history_and_of_the_trace():
    """What is recorded on the side is what training saw."""
    X, y, _, _ = make_blobs(300)
    probe = small_probe(estimator=NetClassifier(MLP)).fit(X, y)
    model = probe.estimators_[0]
    at_zero = probe.curves_[probe.curves_["level"] == 0]
    np.testing.assert_allclose(at_zero["loss"], model.history_["train_loss"], rtol=1e-4)
    trace = model.trace_.to_frame()
    right = trace["n_correct"].sum() / trace["n_seen"].sum()
    assert at_zero["accuracy"].mean() == pytest.approx(right, rel=1e-6)


def test_held_out_rows_have_a_quality_but_no_dynamics():
    X, y, _, wrong = make_blobs(300, 30)
    examples = small_probe(max_epochs=8).fit(X, y).examples_
    unseen = examples["aum"].isna()
    assert unseen.sum() == 30  # a tenth
    assert examples["label_quality"].notna().all()
    assert roc_auc_score(~wrong[unseen], examples["label_quality"][unseen]) > 0.9


@pytest.mark.parametrize("strategy", ["stacked", "joblib"])
def test_strategy_changes_nothing_but_rounding(strategy):
    X, y, _, _ = make_blobs(200)
    net = NetClassifier(MLP)
    n_jobs = 2 if strategy == "joblib" else None
    params = {"estimator": net, "threshold_fraction": None}
    alone = small_probe(strategy="sequential", **params).fit(X, y)
    other = small_probe(strategy=strategy, n_jobs=n_jobs, **params).fit(X, y)
    pd.testing.assert_frame_equal(alone.curves_, other.curves_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        alone.predict_proba(X), other.predict_proba(X), atol=1e-3
    )


def test_course_is_not_blurred():
    X, y, _, _ = make_blobs(400)
    net = NetClassifier(MLP, early_stopping=True, n_iter_no_change=1, ema_decay=0.99)
    probe = small_probe(estimator=net, max_epochs=6).fit(X, y)
    history = probe.estimators_[0].history_
    assert len(history) == 6
    assert history["learning_rate"].nunique() == 1
    assert probe.estimators_[0].net_.ema_decay is None
    assert net.ema_decay == 0.99  # the one that was given is left alone
    assert not hasattr(net, "net_")


def test_own_callbacks_are_copied_for_each_net():
    X, y, _, _ = make_blobs(200)
    given = Trace()
    probe = small_probe(estimator=NetClassifier(MLP, callbacks=[given])).fit(X, y)
    assert given.state_ is None
    assert probe.estimators_[0].trace_.state_ is not None


def test_module_of_a_fixed_size_has_threshold_samples_of_other_classes():
    X, y, _, wrong = make_blobs(400, 40)
    torch.manual_seed(0)
    net = NetClassifier(nn.Linear(4, 3), learning_rate=0.03)
    probe = small_probe(estimator=net, max_epochs=8).fit(X, y)
    assert roc_auc_score(~wrong, probe.examples_["label_quality"]) > 0.95
    assert 0 < probe.find_label_issues("threshold").sum() < 200


def test_clean_refit_leaves_suspects_out(monkeypatch):
    X, y, true, wrong = make_blobs(600, 100)
    fits = []

    def fit(self, X, y, sample_weight=None):
        fits.append((X, y, sample_weight))
        return original(self, X, y, sample_weight)

    original = NetClassifier.fit
    monkeypatch.setattr(NetClassifier, "fit", fit)
    weight = np.linspace(0.5, 1, len(y))
    probe = small_probe(estimator=NetClassifier(MLP), refit="clean", max_epochs=8)
    probe.fit(X, y, sample_weight=weight)
    clean = ~probe.find_label_issues()
    assert wrong[clean].mean() < 0.7 * wrong.mean()
    [(learned, labels, weights)] = fits
    np.testing.assert_array_equal(learned, X[clean])
    np.testing.assert_array_equal(labels, y[clean])
    np.testing.assert_array_equal(weights, weight[clean])
    assert len(probe.estimators_) == 1
    assert (probe.predict(X) == probe.classes_[true]).mean() > 0.9


# Inputs that are hard


def test_level_zero_alone():
    X, y, _, wrong = make_blobs(400, 40)
    probe = small_probe(noise_levels=[0.0], max_epochs=8).fit(X, y)
    assert roc_auc_score(~wrong, probe.examples_["label_quality"]) > 0.95


def test_no_threshold_samples():
    X, y, _, _ = make_blobs(100)
    probe = small_probe(threshold_fraction=None).fit(X, y)
    with pytest.raises(ValueError, match="threshold_fraction=None"):
        probe.find_label_issues("threshold")
    alone = small_probe(noise_levels=[0.0], threshold_fraction=None).fit(X, y)
    np.testing.assert_array_equal(
        alone.find_label_issues(), alone.find_label_issues("two_means")
    )
    with pytest.raises(ValueError, match="a level above 0"):
        alone.find_label_issues("known_noise")
    with pytest.raises(ValueError, match="got 'best'"):
        probe.find_label_issues("best")


def test_reference_makes_half_of_the_quality():
    X, y, _, _ = make_blobs(300, 30)
    params = {"noise_levels": (0.0,), "threshold_fraction": None}
    with_it = small_probe(**params).fit(X, y)
    without = small_probe(reference=False, **params).fit(X, y)
    half = with_it.examples_["label_quality"] - without.examples_["label_quality"] / 2
    # The nets are the same; what is added is half a probability, high for right labels.
    assert half.between(0, 0.5).all()
    assert half.corr(without.examples_["label_quality"]) > 0.5
    pd.testing.assert_frame_equal(with_it.curves_, without.curves_)


def test_two_means_of_equal_losses_are_no_issues():
    assert two_means_count(np.full(5, 0.7)) == 0


# What is kept


def test_probe_is_repeatable_and_leaves_global_seeds_alone():
    X, y, _, _ = make_blobs(150)
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.RandomState(3).uniform()
    first = small_probe(n_repeats=2).fit(X, y)
    assert np.random.uniform() == expected
    second = small_probe(n_repeats=2).fit(X, y)
    pd.testing.assert_frame_equal(first.examples_, second.examples_)
    pd.testing.assert_frame_equal(first.phases_, second.phases_)


def test_pickle_has_no_training_data(fitted):
    probe, frame, _, _, _ = fitted
    copied = pickle.loads(pickle.dumps(probe))
    np.testing.assert_allclose(  # where weights lie in memory may change how sums round
        copied.predict_proba(frame), probe.predict_proba(frame), atol=1e-6
    )
    X, y, _, _ = make_blobs(20_000, 0)
    size = len(pickle.dumps(small_probe(max_epochs=1).fit(X, y).estimators_))
    assert size < 2_000_000  # the trace of 20,000 rows has 720,000


def test_suspects_show_their_rows(fitted):
    probe, frame, _, _, wrong = fitted
    table = probe.suspects(10, frame)
    assert table.shape == (10, 9)
    assert table["label_quality"].is_monotonic_increasing
    assert wrong[frame.index.get_indexer(table.index)].mean() > 0.8
    pd.testing.assert_frame_equal(table[["a", "b"]], frame.loc[table.index, ["a", "b"]])
    with pytest.raises(ValueError, match="X has 5 rows; the probe was fitted on 600"):
        probe.suspects(3, frame[:5])


def test_displays_draw_what_was_found(fitted):
    pytest.importorskip("matplotlib").use("Agg")
    probe, _, _, _, _ = fitted
    curves = NoiseCurvesDisplay.from_estimator(probe).plot()
    assert curves.level == 0.4
    assert len(curves.ax_.lines) == 4
    assert (
        len(NoiseCurvesDisplay.from_estimator(probe, level=0.0).plot().ax_.lines) == 2
    )
    with pytest.raises(ValueError, match="level=0.3 is none of"):
        NoiseCurvesDisplay.from_estimator(probe, level=0.3)
    data_map = DataMapDisplay.from_estimator(probe).plot()
    assert sum(len(c.get_offsets()) for c in data_map.ax_.collections) == 600
    forgetting = ForgettingDisplay.from_estimator(probe).plot()
    heights = [bar.get_height() for bar in forgetting.ax_.patches]
    assert sum(heights) == pytest.approx(2)  # two groups, shares of each


def test_known_noise_of_a_mixed_table_is_found():
    X, y, parts = make_memgen_classification(
        n_samples=2000, exception_fraction=0, random_state=0, return_parts=True
    )
    probe = NoisyFineTuneProbe(noise_levels=LEVELS, random_state=0).fit(X, y)
    quality = probe.examples_["label_quality"]
    assert roc_auc_score(parts != "noise", quality) > 0.8
    ends = probe.phases_["settling_end"]
    assert ends[0.4] <= ends[0.2]  # more noise, less settling
    assert probe.phases_["memorizes"].all()


@pytest.mark.parametrize("kind", [NetClassifier, WideDeepClassifier])
def test_nets_start_from_a_source(kind):
    """Every net of the probe, whatever its labels, starts from the same body."""
    X, y = make_memgen_classification(n_samples=400, random_state=0)
    source = SourceNet(hidden_layer_sizes=(16,), max_epochs=3, random_state=0).fit(X)
    before = {n: t.clone() for n, t in source.net_.module_.state_dict().items()}
    model = kind(source=source, learning_rate=1e-9, random_state=0)
    probe = NoisyFineTuneProbe(model, noise_levels=(0.0, 0.4), max_epochs=2)
    probe.fit(X, y)
    assert probe.estimators_[0].encoder_ is source.encoder_
    module = probe.estimators_[0].net_.module_
    deep = module.body.deep if kind is NetClassifier else module.deep
    # At such a rate it is still what it started from.
    started = source.make_body().deep.embedding.weight
    torch.testing.assert_close(deep.embedding.weight, started, atol=1e-4, rtol=0)
    for name, tensor in source.net_.module_.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    both = NetClassifier(nn.Linear(2, 2), source=source)
    with pytest.raises(ValueError, match="module and encoder must"):
        NoisyFineTuneProbe(both).fit(X, y)
