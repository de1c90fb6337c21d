"""Tokens get tags from a transformer that is fine-tuned."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_memgen import (
    LotteryPrunedNet,
    NoisyFineTuneProbe,
    TokenClassifier,
    entity_f1_score,
)
from sklearn_memgen._tokens import read_tokens, split_values, token_index
from sklearn_memgen.training import Trace
from tests.tiny_text import make_sentences


@pytest.fixture
def make_model(tiny_model):
    def make(**params):
        defaults = {
            "learning_rate": 1e-2,
            "max_epochs": 8,
            "max_length": 64,
            "random_state": 0,
        }
        return TokenClassifier(tiny_model, **(defaults | params))

    return make


def flat(lists):
    return [value for own in lists for value in own]


@pytest.mark.parametrize(
    "params",
    [{}, {"head": "prototype"}, {"head": "prototype", "episodic": True}],
    ids=["linear", "prototype", "episodic"],
)
def test_it_learns_and_generalizes(make_model, params):
    X, y = make_sentences(300)
    model = make_model(**params).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.9
    assert model.classes_.tolist() == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    found = model.predict(X[200:])
    assert [len(own) for own in found] == [len(own) for own in X[200:]]
    assert type(found[0]) is list and type(found[0][0]) is str
    probabilities = model.predict_proba(X[200:])
    for own, tags in zip(probabilities, found, strict=True):
        np.testing.assert_allclose(own.sum(axis=1), 1, rtol=1e-5)
        assert model.classes_[own.argmax(axis=1)].tolist() == tags
    scores = model.decision_function(X[200:])
    assert [s.shape for s in scores] == [p.shape for p in probabilities]


def test_the_background_of_prototypes_has_a_logit_of_its_own(make_model):
    X, y = make_sentences(50)
    model = make_model(head="prototype", max_epochs=1).fit(X, y)
    module = model.net_.module_
    assert not module.has_prototype[4]
    assert module.background_logit.item() != -4


def test_every_token_gets_a_tag_whatever_it_is(make_model):
    """Long sentences are read in parts, and tokens of no sub-word token count."""
    X, y = make_sentences(80)
    model = make_model(max_length=16).fit(X, y)
    strange = [
        [],
        ["", " ", "\u200b", "Rome"],
        ["x" * 100_000],
        ["Anna", "visits", "Rome"] * 500,
        flat(X),
    ]
    found = model.predict(strange)
    assert [len(own) for own in found] == [len(own) for own in strange]
    assert model.predict([[], []]) == [[], []]
    alone = model.decision_function([["Anna", "visits", "Rome"]])[0]
    beside = model.decision_function([*strange, ["Anna", "visits", "Rome"]])[-1]
    np.testing.assert_allclose(beside, alone, atol=1e-5)


def test_it_goes_where_taggers_go(make_model):
    X, y = make_sentences(60)
    model = make_model(max_epochs=2)
    assert not is_classifier(model)
    assert clone(model).get_params() == model.get_params()
    scores = cross_val_score(model, X, y, cv=3)
    scoring = make_scorer(entity_f1_score)
    np.testing.assert_array_equal(
        cross_val_score(model, X, y, cv=3, scoring=scoring), scores
    )
    search = GridSearchCV(model, {"learning_rate": [1e-2, 1e-9]}, cv=2).fit(X, y)
    assert search.best_params_ == {"learning_rate": 1e-2}
    series = pd.Series(X, index=range(5, 65))
    array = np.array([np.array(own, dtype=object) for own in y], dtype=object)
    again = make_model(max_epochs=2).fit(series, array)
    expected = model.fit(X, y).predict_proba(X)
    for one, other in zip(again.predict_proba(series), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    stored = pickle.loads(pickle.dumps(model))
    assert stored.predict(X) == model.predict(X)


def test_a_tag_that_is_new_at_score_is_missed(make_model):
    X, y = make_sentences(60)
    model = make_model().fit(X, y)
    before = model.score(X, y)
    changed = [["B-NEW" if tag == "B-LOC" else tag for tag in own] for own in y]
    assert 0 < model.score(X, changed) < before
    with pytest.raises(ValueError, match="B-NEW"):
        model.set_params(warm_start=True).fit(X, changed)


@pytest.mark.parametrize(
    ("X", "y", "error", "match"),
    [
        (
            [["a", "b"], ["c"]],
            [["O", "O"], ["O", "B-X"]],
            ValueError,
            "sentence 1 has 1",
        ),
        ([["a"], ["b"]], [["O"]], ValueError, "2 sentences, but y has 1"),
        (["a b", "c"], [["O"], ["O"]], ValueError, "sentence 0 of X is 'a b'"),
        ([["a"], ["b"]], ["O", "B-X"], ValueError, "that of sentence 0 is 'O'"),
        ([["a", None]], [["O", "O"]], TypeError, "word 1 of sentence 0 is None"),
        ([["a"], ["b"]], [["O"], [3]], TypeError, "tag 0 of sentence 1 is 3"),
        ([], [], ValueError, "0 sample"),
        ([[], []], [[], []], ValueError, "0 sample"),
        ([["a"], ["b"]], [["O"], ["O"]], ValueError, "2 classes"),
        ([["a"]], None, ValueError, "requires y"),
        ("a text", [["O"]], ValueError, "X is str"),
    ],
)
def test_errors_name_the_sentence(make_model, X, y, error, match):
    with pytest.raises(error, match=match):
        make_model().fit(X, y)


def test_weights_of_sentences_and_of_tokens(make_model):
    X, y = make_sentences(30)
    wrong = [["B-LOC"] * len(own) for own in y]
    settings = {"max_epochs": 2, "dropout": 0.0}
    expected = make_model(**settings).fit(X, y)
    weight = [1.0] * 30 + [0.0] * 30
    left_out = make_model(**settings).fit([*X, *X], [*y, *wrong], weight)
    for one, other in zip(
        expected.predict_proba(X), left_out.predict_proba(X), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    # A token of weight zero is read, but its tag is not learned.
    half = [np.arange(len(own)) % 2 for own in y]
    mixed = [
        [tag if keep else "B-LOC" for tag, keep in zip(own, keeps, strict=True)]
        for own, keeps in zip(y, half, strict=True)
    ]
    one = make_model(**settings).fit(X, y, half)
    other = make_model(**settings).fit(X, mixed, half)
    for a, b in zip(one.predict_proba(X), other.predict_proba(X), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    with pytest.raises(ValueError, match="29 entries, but X has 30"):
        make_model().fit(X, y, [1.0] * 29)
    with pytest.raises(ValueError, match="sentence 0 has"):
        make_model().fit(X, y, [np.ones(2)] * 30)
    with pytest.raises(ValueError, match="Negative"):
        make_model().fit(X, y, [-1.0] * 30)


def test_whole_sentences_are_held_out_and_the_rarest_tag_is_spread(make_model):
    X, y = make_sentences(100)
    for k in range(10):
        y[k * 10][0] = "B-RARE"
    examples = read_tokens(make_model(), X, y, None, classes=None)
    kept, held_out = examples.split(True, 0.2, np.random.RandomState(0))
    assert len(kept) + len(held_out) == 100
    assert (held_out.y == "B-RARE").sum() == 2
    for part in (kept, held_out):
        tokens = np.array(flat(X))[part.origin.rows]
        assert flat(part.data) == tokens.tolist()
        assert part.y.tolist() == np.array(flat(y))[part.origin.rows].tolist()
    model = make_model(early_stopping=True, max_epochs=3).fit(X, y)
    assert "valid_loss" in model.history_


def test_a_trace_has_a_row_for_each_token(make_model):
    X, y = make_sentences(40)
    X.insert(3, [])
    y.insert(3, [])
    model = make_model(callbacks=[Trace()], max_epochs=4, max_length=16).fit(X, y)
    frame = model.trace_.to_frame(model.token_index(X))
    assert (frame["n_seen"] == 4).all()
    assert 3 not in frame.index.get_level_values("sentence")
    assert frame.loc[7].shape[0] == len(X[7])


def test_a_probe_of_tokens(make_model):
    """Noise, curves, judgments and predictions are those of tokens."""
    X, y = make_sentences(150)
    tags = np.array(flat(y))
    wrong = np.random.default_rng(0).random(len(tags)) < 0.1
    noisy = np.where(wrong, "B-PER", tags)
    wrong = noisy != tags
    given = [part.tolist() for part in split_values(X, noisy)]
    probe = NoisyFineTuneProbe(
        make_model(),
        noise_levels=(0.0, 0.2),
        max_epochs=6,
        refit="clean",
        preset=None,
        random_state=0,
    ).fit(X, given)
    assert not is_classifier(probe)
    assert probe.examples_.index.equals(token_index(X))
    assert probe.examples_["given_label"].tolist() == noisy.tolist()
    quality = probe.examples_["label_quality"].to_numpy()
    assert quality[wrong].mean() < quality[~wrong].mean() - 0.3
    noise = probe.noise_.set_index("level")
    assert abs(noise.loc[0.2, "realized"] - 0.2) < 0.01
    # Of the levels the tokens that are learned, not the sentences.
    assert noise["n_rows"].between(0.8 * len(tags), len(tags)).all()
    found = probe.predict(X)
    assert [len(own) for own in found] == [len(own) for own in X]
    assert probe.score(X, y) > 0.9
    assert [len(p) for p in probe.predict_proba(X)] == [len(own) for own in X]
    suspects = probe.suspects(10, X)
    for (sentence, token), row in suspects.iterrows():
        assert X[sentence][token] == row["token"]
    events = probe.learning_events_
    assert set(events.index.get_level_values("class")) == set(noisy)
    assert events.xs("wrong", level="labels")["n_labels"].sum() == round(
        0.2 * noise.loc[0.2, "n_rows"]
    )
    curve = probe.class_learning_curve("LOC", [5, 40])
    assert set(curve["head"]) == {"standard", "prototype"}
    assert curve.query("count == 40")["f1"].max() > 0.8
    with pytest.raises(ValueError, match="none of the classes"):
        probe.class_learning_curve("MISC", [5])


def test_the_settings_of_tanzer_et_al(make_model):
    X, y = make_sentences(70)
    probe = NoisyFineTuneProbe(
        make_model(),
        noise_levels=(0.0, 0.4),
        max_epochs=3,
        preset="tanzer2022",
        reference=False,
        threshold_fraction=None,
        random_state=0,
    ).fit(X, y)
    model = probe.estimators_[0]
    assert model.encoder_.max_length == 50
    assert model.net_.batch_size == 64
    assert model.net_.clip_norm == 1.0
    assert model.net_.schedule == "linear"
    assert {group["lr"] for group in model.net_.optimizer_.param_groups} == {1e-4}
    assert model.history_["learning_rate"].is_monotonic_decreasing


def test_a_probe_of_episodes(make_model):
    """What no episode has had yet is neither known nor suspect."""
    X, y = make_sentences(120)
    tags = np.array(flat(y))
    wrong = np.random.default_rng(0).random(len(tags)) < 0.1
    noisy = np.where(wrong, "B-PER", tags)
    given = [part.tolist() for part in split_values(X, noisy)]
    probe = NoisyFineTuneProbe(
        make_model(head="prototype", episodic=True, batch_size=8),
        noise_levels=(0.0, 0.2),
        max_epochs=6,
        random_state=0,
    ).fit(X, given)
    quality = probe.examples_["label_quality"].to_numpy()
    assert roc_auc_score(noisy == tags, quality) > 0.8
    assert probe.score(X, y) > 0.7


def test_a_lottery_of_tokens(make_model):
    X, y = make_sentences(60)
    lottery = LotteryPrunedNet(
        make_model(), remaining=0.5, scope="global", max_epochs=3, random_state=0
    ).fit(X, y)
    assert [len(own) for own in lottery.predict(X)] == [len(own) for own in X]
    assert 0 < lottery.score(X, y) <= 1


def test_the_rows_of_a_batch_do_not_change_the_tokens_of_another(make_model):
    """Sentences of a batch are padded, and padding is seen by none."""
    X, y = make_sentences(40)
    model = make_model(max_epochs=1).fit(X, y)
    whole = np.concatenate(model.decision_function(X))
    alone = np.concatenate([model.decision_function([own])[0] for own in X])
    np.testing.assert_allclose(whole, alone, atol=1e-5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    shuffled = model.decision_function([X[k] for k in order])
    parts = split_values(X, whole)
    for k, scores in zip(order, shuffled, strict=True):
        np.testing.assert_allclose(scores, parts[k], atol=1e-5)
