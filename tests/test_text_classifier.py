"""Texts are classified by a transformer that is fine-tuned."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_memgen import (
    GuidedTransferClassifier,
    LotteryPrunedNet,
    NetClassifier,
    NoisyFineTuneProbe,
    PopulationSearchCV,
    SourceNet,
    TextClassifier,
)
from sklearn_memgen.nets.text import TextBody, sequence_net
from sklearn_memgen.tables import TextEncoder
from sklearn_memgen.training import Guide, GuideCallback, Trace
from tests.tiny_text import make_texts


@pytest.fixture
def make_model(tiny_model):
    def make(**params):
        defaults = {
            "learning_rate": 3e-3,
            "max_epochs": 8,
            "max_length": 64,
            "random_state": 0,
        }
        return TextClassifier(tiny_model, **(defaults | params))

    return make


def weights_of(model):
    return {n: p.clone() for n, p in model.net_.module_.state_dict().items()}


def assert_same_weights(one, other):
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert torch.equal(weight, theirs[name]), name


@pytest.mark.parametrize("head", ["linear", "prototype"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_it_learns_and_generalizes(make_model, head, n_classes):
    X, y = make_texts(400, n_classes)
    model = make_model(head=head, learning_rate=1e-2).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.9
    probabilities = model.predict_proba(X[300:])
    assert probabilities.shape == (100, n_classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert model.classes_.tolist() == sorted(set(y))
    assert (model.predict(X[300:]) == model.classes_[probabilities.argmax(1)]).all()


def test_episodes_learn_as_well(make_model):
    X, y = make_texts(400, 3)
    model = make_model(head="prototype", episodic=True, learning_rate=1e-2)
    assert model.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.9


@pytest.mark.parametrize(
    "form",
    [list, np.array, pd.Series, lambda X: pd.DataFrame({"text": X}), np.vstack],
    ids=["list", "array", "series", "frame", "column"],
)
def test_forms_of_texts(make_model, form):
    """All that hold the same texts give the same model."""
    X, y = make_texts(60)
    expected = make_model(max_epochs=2).fit(X, y).predict_proba(X)
    model = make_model(max_epochs=2).fit(form(X), y)
    np.testing.assert_array_equal(model.predict_proba(form(X)), expected)


def test_a_column_of_a_frame_and_a_pair_of_columns(make_model):
    X, y = make_texts(60)
    frame = pd.DataFrame({"id": range(60), "title": X, "body": X[::-1]})
    one = make_model(max_epochs=1, columns="title").fit(frame, y)
    assert one.feature_names_in_.tolist() == ["id", "title", "body"]
    pair = make_model(max_epochs=1, columns=["title", "body"]).fit(frame, y)
    assert pair.predict(frame).shape == (60,)
    with pytest.raises(ValueError, match="title"):
        one.predict(frame.drop(columns="title"))


def test_the_same_seed_gives_the_same_model_and_global_seeds_stay(make_model):
    X, y = make_texts(60)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one = make_model(max_epochs=2).fit(X, y)
    assert torch.rand(1) == expected
    assert_same_weights(one, make_model(max_epochs=2).fit(X, y))
    other = make_model(max_epochs=2, random_state=1).fit(X, y)
    assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_prediction_depends_on_its_text_alone(make_model):
    """But for rounding, whatever is beside it."""
    X, y = make_texts(60)
    model = make_model(max_epochs=2).fit(X, y)
    whole = model.decision_function(X)
    for k in (0, 17, 59):
        np.testing.assert_allclose(
            model.decision_function([X[k]])[0], whole[k], atol=1e-5
        )
    order = np.random.default_rng(0).permutation(60)
    shuffled = model.decision_function([X[k] for k in order])
    np.testing.assert_allclose(shuffled, whole[order], atol=1e-5)


def test_nothing_at_predict_time_crashes(make_model):
    X, y = make_texts(60)
    model = make_model(max_epochs=2, max_length=32).fit(X, y)
    strange = ["", None, np.nan, "\x00\ud7ff\U0001f600", "x" * 100_000, "why " * 30_000]
    whole = model.decision_function([*X, *strange])
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(whole[:60], model.decision_function(X), atol=1e-5)
    np.testing.assert_allclose(whole[60:62], whole[[60, 60]], atol=1e-5)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ("a text", "list"),
        ([], "0 sample"),
        (pd.DataFrame({"a": ["x"] * 4, "b": ["y"] * 4}), "columns"),
    ],
)
def test_errors_say_what_is_wrong(make_model, X, match):
    with pytest.raises(ValueError, match=match):
        make_model().fit(X, ["a", "b"] * 2)


def test_bad_parameters(make_model, tmp_path):
    X, y = make_texts(20)
    for params in ({"head": "x"}, {"pooling": "x"}, {"max_length": 0}, {"dropout": 1}):
        name = next(iter(params))
        with pytest.raises(ValueError, match=f"'{name}' parameter of TextClassifier"):
            make_model(**params).fit(X, y)
    with pytest.raises(ValueError, match=str(tmp_path)):
        TextClassifier(str(tmp_path)).fit(X, y)
    with pytest.raises(OSError, match="no-such/model"):
        TextClassifier("no-such/model").fit(X, y)


def test_a_pickle_predicts_without_the_folder(tmp_path, tiny_model):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    X, y = make_texts(40)
    model = TextClassifier(folder, max_epochs=1, max_length=64).fit(X, y)
    stored = pickle.dumps(model)
    shutil.rmtree(folder)
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(X), expected)
    assert all(text.encode() not in stored for text in X)


def test_it_goes_where_classifiers_of_scikit_learn_go(make_model):
    X, y = make_texts(90)
    model = make_model(max_epochs=2)
    assert is_classifier(model)
    assert clone(model).get_params() == model.get_params()
    scores = cross_val_score(model, X, y, cv=3)
    assert scores.shape == (3,)
    pipeline = make_pipeline(
        FunctionTransformer(lambda X: [t.lower() for t in X]), model
    )
    assert pipeline.fit(X, y).predict(X[:2]).shape == (2,)
    grid = {"head": ["linear", "prototype"]}
    for search in (
        GridSearchCV(model, grid, cv=2),
        PopulationSearchCV(model, grid, cv=2),
    ):
        assert search.fit(X, y).best_params_["head"] in grid["head"]


def test_weights_of_texts_count(make_model):
    """A text of weight 0 is left out."""
    X, y = make_texts(40)
    X, y = [*X, "card card card"], [*y, "train"]
    weight = np.r_[np.ones(40), 0]
    left_out = make_model(max_epochs=2, dropout=0.0).fit(X, y, weight)
    assert_same_weights(
        left_out, make_model(max_epochs=2, dropout=0.0).fit(X[:-1], y[:-1])
    )


def test_dropout_zero_learns_without_chance(make_model):
    """All that is random then is the head, the order, and the batches."""
    X, y = make_texts(30)
    model = make_model(max_epochs=1, dropout=0.0).fit(X, y)
    module = copy.deepcopy(model.net_.module_)
    inputs = model.encoder_.transform(X).inputs()
    module.train()
    trained = module(**inputs)
    torch.testing.assert_close(trained, module.eval()(**inputs))


def test_biases_and_norms_are_not_decayed_and_the_head_has_its_rate(make_model):
    X, y = make_texts(30)
    model = make_model(max_epochs=1, head_learning_rate=0.5, schedule="constant")
    groups = model.fit(X, y).net_.optimizer_.param_groups
    names = {p: n for n, p in model.net_.module_.named_parameters()}
    decay, rates = {}, {}
    for group in groups:
        for parameter in group["params"]:
            decay[names[parameter]] = group["weight_decay"]
            rates[names[parameter]] = group["lr"]
    assert len(decay) == len(names)
    for name, value in decay.items():
        is_free = name.endswith("bias") or "LayerNorm" in name
        assert value == (0 if is_free else 0.01), name
    assert {n for n, rate in rates.items() if rate == 0.5} == {
        "head.weight",
        "head.bias",
    }


def test_micro_batches_change_rounding_only(make_model):
    X, y = make_texts(50)
    params = {"max_epochs": 2, "dropout": 0.0, "optimizer": "sgd"}
    whole = make_model(**params).fit(X, y)
    parts = make_model(**params, micro_batch_size=5).fit(X, y)
    for name, weight in weights_of(whole).items():
        torch.testing.assert_close(
            weights_of(parts)[name], weight, atol=1e-5, rtol=1e-4, msg=name
        )


def test_from_random_weights_and_from_a_model_itself(make_model, tiny_model):
    from transformers import AutoModel

    X, y = make_texts(40)
    drawn = make_model(pretrained=False, max_epochs=1, learning_rate=1e-9).fit(X, y)
    given = make_model(max_epochs=1, learning_rate=1e-9).fit(X, y)
    name = next(n for n in weights_of(given) if n.endswith("word_embeddings.weight"))
    loaded = AutoModel.from_pretrained(tiny_model)
    original = loaded.embeddings.word_embeddings.weight.detach()
    torch.testing.assert_close(weights_of(given)[name], original)
    assert not torch.allclose(weights_of(drawn)[name], original, atol=1e-3)
    with pytest.raises(ValueError, match="pass one by tokenizer="):
        TextClassifier(loaded).fit(X, y)
    model = TextClassifier(loaded, tokenizer=tiny_model, max_epochs=1, max_length=64)
    model.fit(X, y)
    torch.testing.assert_close(
        loaded.embeddings.word_embeddings.weight.detach(), original
    )


def test_partial_fit_and_warm_start_go_on(make_model):
    X, y = make_texts(60)
    model = make_model(schedule="constant")
    for _ in range(6):
        model.partial_fit(X, y, classes=sorted(set(y)))
    assert model.score(X, y) > 0.9
    again = make_model(max_epochs=6, warm_start=True).fit(X, y)
    assert again.fit(X, y).score(X, y) > 0.9


def test_in_the_slots_of_net_classifier(tiny_model):
    X, y = make_texts(100)
    model = NetClassifier(
        sequence_net,
        module_params={"model": tiny_model, "pooling": "cls"},
        encoder=TextEncoder(tiny_model, max_length=64),
        learning_rate=1e-2,
        max_epochs=8,
        callbacks=[Trace()],
        random_state=0,
    ).fit(X, y)
    assert model.score(X, y) > 0.9
    frame = model.trace_.to_frame()
    assert len(frame) == 100
    assert frame["n_seen"].max() == 8


def test_a_guide_freezes_the_transformer(make_model):
    X, y = make_texts(40)
    guided = make_model(
        max_epochs=2,
        callbacks=[GuideCallback(lambda net: Guide.only(net, "head.*"))],
    ).fit(X, y)
    start = make_model(max_epochs=1, learning_rate=1e-12, head_learning_rate=1e-12)
    before = weights_of(start.fit(X, y))
    after = weights_of(guided)
    for name, weight in before.items():
        same = torch.allclose(weight, after[name], atol=1e-9)
        assert same is not name.startswith("head"), name


def test_scouts_over_triples_of_classes_guide_another_task(tiny_model):
    X, y = make_texts(240, 6)
    names = sorted(set(y))
    is_source = np.isin(y, names[:4])
    X = np.array(X, dtype=object)
    y = np.array(y)
    source = SourceNet(
        objective="supervised",
        module=TextBody,
        module_params={"model": tiny_model},
        encoder=TextEncoder(tiny_model, max_length=64),
        learning_rate=1e-2,
        max_epochs=5,
        n_scouts=3,
        scout_epochs=2,
        random_state=0,
    ).fit(X[is_source], y[is_source])
    assert source.transform(X[:3]).shape == (3, 16)
    assert [len(classes) for classes in source.scouts_["classes"]] == [3, 3, 3]
    assert any("encoder.layer" in name for name in source.guide_)
    target = GuidedTransferClassifier(source=source, max_epochs=15, random_state=0)
    target.fit(X[~is_source], y[~is_source])
    assert target.score(X[~is_source], y[~is_source]) > 0.9


def test_a_source_says_what_its_encoder_is_for(tiny_model):
    encoder = TextEncoder(tiny_model, max_length=64)
    for params in ({"objective": "masked", "module": TextBody}, {"module": None}):
        source = SourceNet(encoder=encoder, **({"objective": "supervised"} | params))
        with pytest.raises(ValueError, match="encoder= is for the inputs of a module"):
            source.fit(["a", "b"], ["x", "y"])


def test_a_lottery_prunes_the_transformer_globally(make_model):
    X, y = make_texts(120)
    lottery = LotteryPrunedNet(
        make_model(learning_rate=1e-2),
        remaining=0.4,
        scope="global",
        max_epochs=5,
        random_state=0,
    ).fit(X, y)
    assert lottery.predict(X).shape == (120,)
    ticket = lottery.ticket_
    shares = ticket.to_frame().set_index("layer")["remaining"]
    assert any("attention" in name for name in shares.index)
    module = lottery.net_.module_
    for name, mask in ticket.masks.items():
        assert not module.state_dict()[name][~mask].any()
    if ticket.remaining < 1:
        assert shares.nunique() > 2  # one share for each layer would be by layer


def test_a_probe_finds_wrong_labels_of_texts(make_model):
    X, y = make_texts(300)
    wrong = np.arange(300) < 45
    noisy = np.where(
        wrong, np.roll(sorted(set(y)), 1)[np.unique(y, return_inverse=True)[1]], y
    )
    probe = NoisyFineTuneProbe(
        make_model(learning_rate=1e-2),
        noise_levels=(0.0, 0.2),
        max_epochs=6,
        preset=None,
        refit="clean",
        random_state=0,
    ).fit(X, noisy)
    quality = probe.examples_["label_quality"].to_numpy()
    assert quality[wrong].mean() < quality[~wrong].mean() - 0.3
    assert probe.suspects(5, X)["text"].isin(X).all()
    assert probe.predict(X).shape == (300,)
    curve = probe.class_learning_curve(noisy[0], [5, 20])
    assert set(curve["head"]) == {"standard", "prototype"}


def test_without_transformers_the_extra_is_named(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"sklearn-memgen\[text\]"):
        TextClassifier(str(tmp_path)).fit(["a", "b"], [0, 1])


@pytest.mark.parametrize("head", ["linear", "prototype"])
def test_only_normalizations_are_trained(make_model, head):
    """And the head stays as it was drawn; a prototype has no weights to keep."""
    X, y = make_texts(60, 2)
    start = make_model(
        max_epochs=1, head=head, trainable=lambda m: Guide.only(m, "*") * 0
    )
    start = start.fit(X, y)
    model = make_model(max_epochs=2, head=head, trainable="batch_norm").fit(X, y)
    before = dict(start.net_.module_.named_parameters())
    moved = {
        name
        for name, parameter in model.net_.module_.named_parameters()
        if not torch.equal(parameter, before[name])
    }
    assert moved and all("norm" in name.lower() for name in moved)
