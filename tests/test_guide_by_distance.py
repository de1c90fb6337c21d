"""Several guides by the distance from the start: scouts in stages, and their target."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sklearn_memgen import GuidedTransferClassifier, SourceNet
from sklearn_memgen.training import DisplacementPath, Guide, GuidePath

SMALL = {"hidden_layer_sizes": (16, 8), "random_state": 0, "device": "cpu"}
QUICK = {"objective": "supervised", "max_epochs": 3, "n_scouts": 5}


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


@pytest.fixture(scope="module")
def source(digits):
    X, y = digits
    made = SourceNet(**SMALL, **QUICK, scout_epochs=6, scout_stages=3)
    return made.fit(X[y < 6], y[y < 6])


@pytest.fixture(scope="module")
def few(digits):
    X, y = digits
    rows = np.concatenate([np.flatnonzero(y == c)[:5] for c in range(6, 10)])
    return X[rows], y[rows]


def make_model(source, **params):
    settings = {"by_distance": True, "random_state": 0, "device": "cpu"}
    return GuidedTransferClassifier(source=source, **settings | params)


def test_scouts_are_measured_in_stages(digits, source):
    path = source.displacement_path_
    assert isinstance(path, DisplacementPath)
    assert len(path.stages) == 3 and path.n_scouts == 5
    # In the end they are as far as they are without stages.
    squares = source.displacement_._sums.squares
    n_parameters = sum(value.numel() for value in squares.values())
    total = sum(value.sum().item() for value in squares.values())
    rms = (total / n_parameters / 5) ** 0.5
    assert path.distances()[-1] == pytest.approx(rms, rel=1e-6)
    X, y = digits
    plain = SourceNet(**SMALL, **QUICK, scout_epochs=6).fit(X[y < 6], y[y < 6])
    assert plain.guide_ == source.guide_
    assert not hasattr(plain, "displacement_path_")


def test_the_guide_is_a_path_of_those_of_the_stages(source, few):
    model = make_model(source, temperature="warm", spread="absolute").fit(*few)
    guide = model.guide_
    assert isinstance(guide, GuidePath) and len(guide) == 3
    bodies = source.displacement_path_.only("body.").stages
    for part, stage in zip(guide.guides, bodies, strict=True):
        assert part["head.weight"].item() == 1.0
        expected = stage.guide(spread="absolute").temper("warm")
        assert Guide({n: part[n] for n in expected}) == expected
    assert model.score(*few) > 0.5
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict(few[0]) == model.predict(few[0])).all()
    assert again.guide_ == guide


def test_a_target_goes_on_under_the_guide_of_its_distance(source, few):
    """A body that is frozen from a distance on stays there, the head goes on."""
    body = {n: v for n, v in source.guide_.items() if n.startswith("body.")}
    free, frozen = Guide(dict.fromkeys(body, 1.0)), Guide(dict.fromkeys(body, 0.0))
    path = GuidePath([free, frozen], [1e-6])
    settings = {"guide": path, "by_distance": False}
    one = make_model(source, max_epochs=1, schedule="constant", **settings).fit(*few)
    many = make_model(source, max_epochs=9, schedule="constant", **settings).fit(*few)
    first, last = (dict(m.net_.module_.named_parameters()) for m in (one, many))
    start = dict(source.net_.module_.named_parameters())
    for name in body:
        assert torch.equal(first[name], last[name])
        assert not torch.equal(first[name], start[name])
    assert not torch.equal(first["head.weight"], last["head.weight"])


def test_partial_fit_measures_from_the_source(source, few):
    """And not from where the call began, so that the way adds up."""
    body = {n: v for n, v in source.guide_.items() if n.startswith("body.")}
    free, frozen = Guide(dict.fromkeys(body, 1.0)), Guide(dict.fromkeys(body, 0.0))
    model = make_model(
        source, guide=GuidePath([free, frozen], [1e-6]), by_distance=False
    )
    X, y = few
    model.partial_fit(X, y, classes=np.unique(y))
    there = {n: p.detach().clone() for n, p in model.net_.module_.named_parameters()}
    model.partial_fit(X, y)
    for name in body:
        assert torch.equal(model.net_.module_.get_parameter(name), there[name])


def test_the_source_that_it_makes_itself_has_stages(digits):
    X, y = digits
    model = make_model(None, source_params=SMALL | {"max_epochs": 1}, max_epochs=2)
    model.fit(X[:200], y[:200])
    assert len(model.source_.displacement_path_.stages) == 3


def test_what_may_change_is_told_for_each_distance(source, few):
    model = make_model(source).fit(*few)
    frame = model.explain_guide()
    assert frame.columns[0] == "distance"
    begins = [0.0, *model.guide_.distances]
    assert frame["distance"].unique().tolist() == begins
    first = frame.query("distance == 0").drop(columns="distance")
    model.guide_ = model.guide_.guides[0]
    assert first.reset_index(drop=True).equals(model.explain_guide())


def test_scouts_without_stages_are_named(digits, few):
    X, y = digits
    flat = SourceNet(**SMALL, **QUICK, scout_epochs=2).fit(X[y < 6], y[y < 6])
    with pytest.raises(ValueError, match=r"fit SourceNet\(scout_stages=3\)"):
        make_model(flat).fit(*few)
    # Before the base is trained, which may take long.
    hasty = SourceNet(**SMALL, **QUICK, scout_epochs=2, scout_stages=3)
    with pytest.raises(ValueError, match="scout_stages=3, but scouts learn for 2"):
        hasty.fit(X, y)
    assert not hasattr(hasty, "net_")
