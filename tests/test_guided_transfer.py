"""GuidedTransferClassifier: what it starts from, and what may move."""

import pickle

import numpy as np
import pytest
import torch

from sklearn_memgen import GuidedTransferClassifier, NetClassifier, SourceNet
from sklearn_memgen.training import Guide
from tests.transfers import (
    QUICK,
    SMALL,
    digit_source,
    few_digits,
    named_digits,
    parameters_of,
    still,
)


@pytest.fixture
def digits():
    return named_digits()


@pytest.fixture
def source():
    return digit_source()


@pytest.fixture
def few():
    return few_digits()


# Steps obey the guide


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_is_the_guide_times_that_of_plain_transfer(
    source, few, name, weight_decay
):
    """Exactly, for every optimizer, weight decay included."""
    optimizer, net_params = OPTIMIZERS[name]
    common = {
        "source": source,
        "optimizer": optimizer,
        "net_params": net_params,
        "weight_decay": weight_decay,
        "learning_rate": 0.01,
        "schedule": "constant",
        "batch_size": 64,
        "max_epochs": 1,
        "random_state": 0,
        "device": "cpu",
    }
    start = parameters_of(still(source, guide=None).fit(*few))
    plain = GuidedTransferClassifier(guide=None, **common).fit(*few)
    guided = GuidedTransferClassifier(**common).fit(*few)
    there, here = parameters_of(plain), parameters_of(guided)
    assert len(guided.history_) == 1
    for parameter, multiplier in guided.guide_.items():
        way = there[parameter] - start[parameter]
        assert way.any()
        expected = start[parameter] + multiplier.float() * way
        torch.testing.assert_close(here[parameter], expected, rtol=1e-6, atol=1e-8)
        frozen = (multiplier == 0).expand_as(way)
        assert torch.equal(here[parameter][frozen], start[parameter][frozen])


def test_the_gradient_is_the_other_place(source, few):
    """Under plain SGD it is the same; under Adam the guide hardly counts there."""
    start = parameters_of(still(source, guide=None).fit(*few))

    def went(optimizer, apply_to):
        model = GuidedTransferClassifier(
            source=source,
            optimizer=optimizer,
            apply_to=apply_to,
            learning_rate=0.001,
            max_epochs=3,
            random_state=0,
            device="cpu",
        )
        found = parameters_of(model.fit(*few))
        name = "body.deep.layers.0.weight"
        return found[name] - start[name]

    torch.testing.assert_close(
        went(torch.optim.SGD, "gradient"), went(torch.optim.SGD, "update")
    )
    adam = {place: went(torch.optim.Adam, place) for place in ("gradient", "update")}
    assert adam["gradient"].norm() > 3 * adam["update"].norm()


def test_no_guide_is_a_net_classifier_with_that_source(source, few):
    params = {
        "source": source,
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "max_epochs": 4,
        "random_state": 3,
        "device": "cpu",
    }
    plain = NetClassifier(**params).fit(*few)
    same = GuidedTransferClassifier(guide=None, **params).fit(*few)
    np.testing.assert_array_equal(
        plain.predict_proba(few[0]), same.predict_proba(few[0])
    )
    assert same.guide_ is None
    open_guide = Guide({name: 1.0 for name, _ in plain.net_.module_.named_parameters()})
    also = GuidedTransferClassifier(guide=open_guide, **params).fit(*few)
    np.testing.assert_array_equal(
        plain.predict_proba(few[0]), also.predict_proba(few[0])
    )


# The guide


def test_a_new_head_is_free_to_move(source, few):
    model = GuidedTransferClassifier(source=source, random_state=0).fit(*few)
    names = [name for name, _ in model.net_.module_.named_parameters()]
    assert sorted(model.guide_) == sorted(names)
    assert model.guide_["head.weight"] == model.guide_["head.bias"] == 1
    body = source.displacement_.only("body.").guide()
    assert all(torch.equal(model.guide_[name], body[name]) for name in body)


def test_scopes_spreads_temperatures_and_thresholds(source, few):
    def guide_of(**params):
        model = GuidedTransferClassifier(
            source=source, max_epochs=1, random_state=0, **params
        )
        guide = model.fit(*few).guide_
        return {name: guide[name] for name in guide if name.startswith("body.")}

    body = source.displacement_.only("body.")
    for params, expected in [
        ({"guide": "global"}, body.guide(scope="global")),
        ({"spread": "absolute"}, body.guide(spread="absolute")),
        ({"focus": "normalized"}, body.guide(focus="normalized")),
        ({"temperature": "icy"}, body.guide().temper("icy")),
        ({"temperature": (2.0, 0.5)}, body.guide().temper(slope=2.0, intercept=0.5)),
        ({"sparsify_below": 0.3}, body.guide().sparsify(0.3)),
    ]:
        found = guide_of(**params)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    # A global guide is scaled by what is transferred, not by the head left behind.
    found = guide_of(guide="global")
    assert max(float(value.max()) for value in found.values()) == 1


def test_a_guide_of_ones_own(source, few):
    frozen = Guide({"body.deep.layers.0.weight": 0.0, "head.bias": 0.5})
    model = GuidedTransferClassifier(source=source, guide=frozen, random_state=0)
    model.fit(*few)
    before = source.make_body().deep.layers[0].weight
    assert torch.equal(model.net_.module_.body.deep.layers[0].weight, before)
    assert model.guide_ == frozen
    other = GuidedTransferClassifier(source=source, guide=Guide({"deep.weight": 0.5}))
    with pytest.raises(ValueError, match="the guide names 'deep.weight'"):
        other.fit(*few)


def test_the_source_stays_as_it_is(source, few):
    before = {n: v.clone() for n, v in source.net_.module_.state_dict().items()}
    GuidedTransferClassifier(source=source, anchor=1.0, head="averaged").fit(*few)
    after = source.net_.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# Layers


def test_layers_near_the_input_change_less(source, few):
    plain = GuidedTransferClassifier(source=source, random_state=0, max_epochs=1)
    whole = plain.fit(*few).guide_
    decayed = plain.set_params(layer_decay=0.5).fit(*few).guide_
    scale = {"body.deep.layers.0": 0.5, "body.deep.layers.2": 1.0, "head": 1.0}
    assert set(decayed) == set(whole)
    for name, value in decayed.items():
        torch.testing.assert_close(value, whole[name] * scale[name.rpartition(".")[0]])
    alone = plain.set_params(guide=None).fit(*few).guide_
    assert {name.rpartition(".")[0]: value.item() for name, value in alone.items()} == {
        name: value for name, value in scale.items() if name != "head"
    }
    assert plain.set_params(layer_decay=1.0).fit(*few).guide_ is None


def test_a_guide_of_ones_own_is_scaled_by_layer(source, few):
    own = Guide({"body.deep.layers.0.weight": 0.5})
    model = GuidedTransferClassifier(
        source=source, guide=own, layer_decay=0.1, random_state=0, max_epochs=1
    ).fit(*few)
    assert model.guide_["body.deep.layers.0.weight"].item() == pytest.approx(0.05)
    assert model.guide_["body.deep.layers.0.bias"].item() == pytest.approx(0.1)
    with pytest.raises(ValueError, match="layer_decay"):
        model.set_params(layer_decay=0.0).fit(*few)


# Heads


def test_a_kept_head_predicts_what_the_source_does(digits, source):
    X, y = digits
    model = still(source, head="kept").fit(X[y < 6][:60], y[y < 6][:60])
    expected = source.net_.predict_proba(source.encoder_.transform(X[:50]))
    np.testing.assert_allclose(model.predict_proba(X[:50]), expected, rtol=1e-4)
    whole = source.displacement_.guide()
    assert torch.equal(model.guide_["head.weight"], whole["head.weight"])
    with pytest.raises(ValueError, match=r"needs the classes of the source, \[0, 1"):
        still(source, head="kept").fit(X[y > 3], y[y > 3])


def test_by_default_a_head_is_kept_if_it_knows_the_classes(digits, source, few):
    X, y = digits
    model = GuidedTransferClassifier(source=source, max_epochs=1, device="cpu")
    same, others = X[y < 6][:60], y[y < 6][:60]
    assert model.fit(same, others).head_ == "kept"
    assert model.fit(same, others).guide_["head.weight"].shape == (6, 8)
    assert model.fit(*few).head_ == "new"
    some = others < 5
    assert model.fit(same[some], others[some]).head_ == "new"
    assert model.set_params(head="averaged").fit(same, others).head_ == "averaged"


def test_an_averaged_head_has_no_class_ahead(source, few):
    model = still(source, head="averaged").fit(*few)
    np.testing.assert_allclose(model.predict_proba(few[0]), 0.25, rtol=1e-5)
    mean = source.net_.module_.head.weight.mean(0)
    assert torch.allclose(model.net_.module_.head.weight, mean.expand(4, -1))
    whole = source.displacement_.guide()["head.weight"]
    assert torch.equal(model.guide_["head.weight"], whole.mean(0, keepdim=True))
    X, y = few
    two = still(source, head="averaged").fit(X[:10], y[:10])  # one logit, a difference
    np.testing.assert_allclose(two.predict_proba(X), 0.5)
    learned = GuidedTransferClassifier(source=source, head="averaged", random_state=0)
    assert learned.fit(X, y).score(X, y) > 0.5


def test_a_head_needs_a_source_with_classes(digits, few):
    X, _ = digits
    masked = SourceNet(**SMALL, **QUICK, n_scouts=2).fit(X[:200])
    for head in ("kept", "averaged"):
        with pytest.raises(
            ValueError, match=f"head='{head}' needs a source with a head"
        ):
            GuidedTransferClassifier(source=masked, head=head).fit(*few)
    model = GuidedTransferClassifier(source=masked, random_state=0).fit(*few)
    assert not any(name.startswith("decoder") for name in model.guide_)


# Beside the guide


def test_an_anchor_keeps_the_net_near_the_source(source, few):
    start = parameters_of(still(source, guide=None).fit(*few))

    def distance(**params):
        model = GuidedTransferClassifier(source=source, random_state=0, **params)
        found = parameters_of(model.fit(*few))
        body = [n for n in found if n.startswith("body.")]
        head = (found["head.weight"] - start["head.weight"]).norm().item()
        return sum((found[n] - start[n]).norm().item() for n in body), head

    for guide in (None, "tensor"):
        free, pulled = distance(guide=guide), distance(guide=guide, anchor=20.0)
        assert pulled[0] < 0.7 * free[0]
        assert pulled[1] > 0.5 * free[1]  # the new head is not pulled
    assert distance(anchor=0.0) == distance()


@pytest.mark.parametrize("guide", [None, "tensor"])
def test_the_anchor_is_decoupled(source, few, guide):
    """A step goes a share of the way back, whatever the gradients are, by the guide."""
    X, y = few
    params = {
        "source": source,
        "guide": guide,
        "optimizer": torch.optim.Adam,
        "learning_rate": 0.05,
        "random_state": 0,
        "device": "cpu",
    }
    start = parameters_of(still(source, guide=None).fit(X, y))
    pulled = GuidedTransferClassifier(anchor=2.0, **params)
    pulled.partial_fit(X, y, classes=[6, 7, 8, 9])
    first = parameters_of(pulled)
    free = pickle.loads(pickle.dumps(pulled)).set_params(anchor=None, guide=None)
    step = parameters_of(free.partial_fit(X, y))
    back = parameters_of(pulled.partial_fit(X, y))
    for name in first:
        way = step[name] - first[name]
        if name.startswith("body."):  # a new head is free
            way += 0.05 * 2.0 * (start[name] - first[name])
        multiplier = 1.0 if guide is None else pulled.guide_[name].float()
        torch.testing.assert_close(
            back[name], first[name] + multiplier * way, rtol=1e-5, atol=1e-7
        )
