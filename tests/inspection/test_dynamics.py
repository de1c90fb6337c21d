"""What rows did is read off the traces of nets that learn all of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from sklearn_memgen import (
    NetClassifier,
    NoisyFineTuneProbe,
    TokenClassifier,
    WideDeepClassifier,
)
from sklearn_memgen.inspection import (
    AreaUnderMargin,
    AumDisplay,
    DataMap,
    DataMapDisplay,
    ForgettingDisplay,
    ForgettingEvents,
    aum,
    data_map,
    forgetting,
)
from sklearn_memgen.training import Trace
from tests.probes import MLP, make_blobs
from tests.tiny_text import make_sentences

N_EPOCHS = 6


def small_net(**params):
    defaults = {"max_epochs": N_EPOCHS, "random_state": 0}
    return NetClassifier(MLP, **(defaults | params))


class Watch(Trace):
    """Keeps the logits of each epoch as well."""

    def __init__(self):
        super().__init__()
        self.epochs_ = []

    def on_epoch_begin(self, net, **kwargs):
        super().on_epoch_begin(net, **kwargs)
        self.epochs_.append({})

    def observe(self, batch, logits, losses):
        super().observe(batch, logits, losses)
        for row, z in zip(batch.rows.tolist(), logits.tolist(), strict=True):
            self.epochs_[-1][row] = z


@pytest.fixture(scope="module")
def blobs():
    X, y, _, wrong = make_blobs(300)
    return X, y, wrong


@pytest.fixture(scope="module")
def mapped(blobs):
    return data_map(small_net(), *blobs[:2], random_state=0)


@pytest.fixture(scope="module")
def counted(blobs):
    return forgetting(small_net(), *blobs[:2], n_repeats=3, random_state=0)


@pytest.fixture(scope="module")
def areas(blobs):
    return aum(small_net(max_epochs=20), *blobs[:2], random_state=0)


@pytest.fixture(scope="module")
def watched(blobs):
    """A classifier, and by hand the logits of each epoch, (n_epochs, n_rows, 3)."""
    X, y, _ = blobs
    watch = Watch()
    net = small_net(callbacks=[watch], early_stopping=False).fit(X, y)
    logits = [[seen[row] for row in range(len(X))] for seen in watch.epochs_]
    return net, torch.tensor(logits, dtype=torch.float64)


# Data maps


def test_map_is_made_of_the_probabilities_of_each_epoch(blobs, watched):
    _, y, _ = blobs
    net, logits = watched
    codes = np.searchsorted(net.classes_, y)
    p = logits.softmax(-1).numpy()[:, np.arange(len(y)), codes]
    right = logits.argmax(-1).numpy() == codes
    found = DataMap.from_trace(net.trace_)
    np.testing.assert_allclose(found.confidence, p.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.variability, p.std(axis=0), atol=1e-4)
    np.testing.assert_allclose(found.correctness, right.mean(axis=0), atol=1e-6)
    closeness = p.mean(axis=0) * (1 - p.mean(axis=0))
    np.testing.assert_allclose(found.closeness, closeness, atol=1e-5)


def test_all_rows_are_learned_though_the_estimator_would_hold_some_out(mapped, blobs):
    assert small_net().fit(*blobs[:2]).early_stopping == "auto"
    frame = mapped.to_frame()
    assert len(frame) == 300
    assert frame.notna().all(axis=None)
    assert frame.columns.tolist() == [
        "confidence",
        "variability",
        "correctness",
        "n_forgotten",
        "closeness",
        "region",
    ]


def test_regions_are_a_third_that_varies_and_two_that_do_not(mapped):
    frame = mapped.to_frame()
    ambiguous = frame["region"] == "ambiguous"
    assert ambiguous.sum() == 100
    lowest = frame["variability"][ambiguous].min()
    assert (frame["variability"][~ambiguous] <= lowest).all()
    assert (frame["confidence"][frame["region"] == "easy"] >= 0.5).all()
    assert (frame["confidence"][frame["region"] == "hard"] < 0.5).all()


@pytest.mark.parametrize(
    ("by", "ascending"),
    [
        ("variability", False),
        ("closeness", False),
        ("n_forgotten", False),
        ("confidence", True),
        ("correctness", True),
    ],
)
def test_rows_are_selected_in_the_order_of_the_paper(mapped, by, ascending):
    values = mapped.to_frame()[by].to_numpy()
    rows = mapped.select(0.1, by=by)
    assert len(rows) == 30
    wanted = np.sort(values if ascending else -values)[:30]
    np.testing.assert_allclose(values[rows] if ascending else -values[rows], wanted)
    assert sorted(mapped.select(1.0, by=by)) == list(range(300))


@pytest.mark.parametrize("strategy", ["sequential", "stacked"])
def test_burn_out_reads_the_first_epochs_of_the_same_training(blobs, strategy):
    X, y, _ = blobs
    params = {"n_repeats": 2, "random_state": 0, "strategy": strategy}
    first = data_map(small_net(), X, y, burn_out=1, **params)
    assert set(first.correctness) <= {0.0, 0.5, 1.0}
    whole = data_map(small_net(), X, y, burn_out=N_EPOCHS, **params)
    plain = data_map(small_net(), X, y, **params)
    np.testing.assert_allclose(whole.confidence, plain.confidence, atol=1e-6)
    assert abs(first.confidence - plain.confidence).max() > 0.1


def test_wrong_labels_are_hard(mapped, blobs):
    frame = mapped.to_frame()
    wrong = blobs[2]
    assert frame["confidence"][wrong].mean() < frame["confidence"][~wrong].mean() - 0.3


# Forgetting


def test_forgetting_is_counted_as_toneva_do(blobs, watched):
    """By hand: right at one presentation and wrong at the next."""
    net, logits = watched
    codes = np.searchsorted(net.classes_, blobs[1])
    right = (logits.argmax(-1).numpy() == codes).astype(int)
    events = (np.diff(right, axis=0) < 0).sum(axis=0)
    never = right.sum(axis=0) == 0
    events[never] = N_EPOCHS
    found = ForgettingEvents.from_trace(net.trace_)
    np.testing.assert_array_equal(found.n_forgotten, events)
    np.testing.assert_array_equal(found.learned[0], ~never)
    first = np.where(never, np.nan, right.argmax(axis=0) + 1)
    np.testing.assert_array_equal(found.first_learned_epoch, first)
    assert found.unforgettable_share == pytest.approx((events == 0).mean())


def test_repeats_are_added_up(counted):
    frame = counted.to_frame()
    assert counted.counts.shape == (3, 300)
    np.testing.assert_array_equal(frame["n_forgotten"], counted.counts.sum(axis=0))
    unforgettable = (counted.counts == 0).all(axis=0) & counted.learned.all(axis=0)
    np.testing.assert_array_equal(frame["is_unforgettable"], unforgettable)
    assert (counted.counts[~counted.learned] == N_EPOCHS).all()
    assert 0 < counted.unforgettable_share < 1


def test_several_traces_are_repeats(blobs):
    X, y, _ = blobs
    nets = [
        small_net(callbacks=[Trace()], early_stopping=False, random_state=seed)
        for seed in (0, 1)
    ]
    traces = [net.fit(X, y).trace_ for net in nets]
    together = ForgettingEvents.from_trace(traces)
    for k, trace in enumerate(traces):
        alone = ForgettingEvents.from_trace(trace)
        np.testing.assert_array_equal(together.counts[k], alone.counts[0])


# The area under the margin


def test_area_is_the_mean_lead_of_the_label(blobs, watched):
    net, logits = watched
    codes = np.searchsorted(net.classes_, blobs[1])
    logits = logits.numpy()
    rows = np.arange(len(codes))
    own = logits[:, rows, codes]
    others = logits.copy()
    others[:, rows, codes] = -np.inf
    lead = (own - others.max(axis=-1)).mean(axis=0)
    found = AreaUnderMargin.from_trace(net.trace_)
    np.testing.assert_allclose(found.aum, lead, atol=1e-4)
    assert not found.has_threshold and not found.is_issue.any()


def test_threshold_samples_of_two_nets_tell_wrong_labels(areas, blobs):
    wrong = blobs[2]
    frame = areas.to_frame()
    assert frame.columns.tolist() == ["aum", "threshold", "is_issue"]
    assert len(areas.thresholds) == 2
    assert len(areas.threshold_aum) == 2 * 75  # a quarter of the rows, twice
    assert frame["aum"].notna().all()
    assert (frame["is_issue"] == (frame["aum"] < frame["threshold"])).all()
    low, high = np.sort(areas.thresholds)
    assert frame["threshold"].between(low - 1e-9, high + 1e-9).all()
    # Rows that were a threshold sample have the threshold of the other net.
    assert frame["threshold"].isin(areas.thresholds).sum() >= 150
    assert frame["is_issue"][wrong].mean() > 0.8
    lowest = frame["aum"].argsort()[: wrong.sum()]
    assert wrong[lowest].mean() > 0.8


def test_threshold_is_the_percentile_of_the_samples(areas, blobs):
    first = areas.threshold_aum[:75]
    assert areas.thresholds[0] == pytest.approx(np.percentile(first, 99))
    lower = aum(small_net(max_epochs=20), *blobs[:2], percentile=50, random_state=0)
    assert lower.thresholds[0] == pytest.approx(np.percentile(first, 50))


def test_module_of_a_fixed_width_gets_other_classes_as_samples(blobs):
    X, y, _ = blobs
    net = NetClassifier(
        nn.Linear, module_params={"in_features": 4, "out_features": 3}, max_epochs=5
    )
    found = aum(net, X, y, threshold_fraction=0.1, random_state=0)
    assert len(found.threshold_aum) == 60
    assert np.isfinite(found.aum).all()


# What all have in common


@pytest.mark.parametrize("function", [data_map, forgetting, aum])
def test_seed_repeats_the_result_and_nothing_else_changes(function, blobs):
    X, y, _ = blobs
    net = small_net().fit(X, y)
    before = {k: v.clone() for k, v in net.net_.module_.state_dict().items()}
    torch.manual_seed(1)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    one, other = (function(net, X, y, random_state=3).to_frame() for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
    assert torch.equal(state[0], torch.get_rng_state())
    np.testing.assert_array_equal(state[1], np.random.get_state()[1])
    after = net.net_.module_.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("function", [data_map, forgetting, aum])
def test_frames_have_the_index_of_the_rows(function):
    X, y, _, _ = make_blobs(80)
    index = pd.Index([f"row {k}" for k in range(80)], name="id")
    table = pd.DataFrame(X, columns=list("abcd"), index=index)
    model = make_pipeline(
        StandardScaler().set_output(transform="pandas"), WideDeepClassifier()
    )
    frame = function(model, table, y, max_epochs=3, random_state=0).to_frame()
    pd.testing.assert_index_equal(frame.index, index)


def test_rows_held_out_are_left_out_of_a_trace(blobs):
    X, y, _ = blobs
    net = small_net(callbacks=[Trace()]).fit(X, y)
    index = pd.Index(range(1000, 1300))
    found = DataMap.from_trace(net.trace_, index)
    seen = net.trace_.to_frame()["n_seen"].to_numpy() > 0
    np.testing.assert_array_equal(found.rows, np.flatnonzero(seen))
    pd.testing.assert_index_equal(found.to_frame().index, index[seen])
    assert set(found.select(1.0)) == set(found.rows)


@pytest.mark.parametrize("function", [data_map, forgetting, aum])
def test_classes_of_weight_zero_are_left_out(function, blobs):
    X, y, _ = blobs
    net = small_net(class_weight={"ash": 1, "elm": 0, "oak": 1})
    found = function(net, X, y, random_state=0)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(y != "elm"))
    assert len(found.to_frame()) == (y != "elm").sum()


@pytest.mark.parametrize("function", [data_map, forgetting, aum])
def test_class_of_one_row_is_no_trouble(function, blobs):
    X, y, _ = blobs
    y = y.copy()
    y[0] = "yew"
    assert len(function(small_net(), X, y, random_state=0).to_frame()) == 300


@pytest.mark.parametrize("function", [data_map, aum])
def test_tokens_have_a_row_each(function, tiny_model):
    X, y = make_sentences(20)
    model = TokenClassifier(tiny_model, max_epochs=2, max_length=64, random_state=0)
    frame = function(model, X, y, random_state=0).to_frame()
    places = [(k, i) for k, tokens in enumerate(X) for i in range(len(tokens))]
    assert frame.index.tolist() == places


# Pictures


def test_displays_draw_all_rows(mapped, counted, areas):
    pytest.importorskip("matplotlib").use("Agg")
    points = [len(c.get_offsets()) for c in mapped.plot().ax_.collections]
    assert sum(points) == 300 and points[1] == 100
    heights = [bar.get_height() for bar in counted.plot().ax_.patches]
    assert sum(heights) == pytest.approx(1)
    drawn = areas.plot().ax_
    assert len(drawn.lines) == 2
    counts = [bar.get_height() for bar in drawn.patches if hasattr(bar, "get_height")]
    assert sum(counts) == 300


@pytest.mark.parametrize("display", [DataMapDisplay, ForgettingDisplay, AumDisplay])
def test_displays_are_made_from_estimators(display, blobs):
    pytest.importorskip("matplotlib").use("Agg")
    X, y, _ = blobs
    made = display.from_estimator(small_net(), X, y, max_epochs=2, random_state=0)
    assert len(made.result.rows) == 300
    net = small_net(callbacks=[Trace()], early_stopping=False).fit(X, y)
    assert display.from_estimator(net).plot().ax_ is not None
    with pytest.raises(AttributeError, match="there is no trace"):
        display.from_estimator(small_net(max_epochs=1).fit(X, y))


def test_aum_display_is_none_of_a_probe(blobs):
    probe = NoisyFineTuneProbe(max_epochs=2, random_state=0)
    with pytest.raises(TypeError, match="AumDisplay is no picture of a Noisy"):
        AumDisplay.from_estimator(probe)


# Bad input


@pytest.mark.parametrize(
    ("function", "params", "message"),
    [
        (data_map, {"n_repeats": 0}, "n_repeats"),
        (data_map, {"burn_out": 0}, "burn_out"),
        (data_map, {"burn_out": 7}, "burn_out=7 is beyond.*trained for 6"),
        (data_map, {"ambiguous_share": 1.0}, "ambiguous_share"),
        (forgetting, {"max_epochs": 0}, "max_epochs"),
        (forgetting, {"strategy": "fast"}, "strategy"),
        (aum, {"threshold_fraction": 0.5}, "threshold_fraction"),
        (aum, {"threshold_fraction": 0}, "threshold_fraction"),
        (aum, {"threshold_fraction": 0.4999}, "must leave a row"),
        (aum, {"percentile": 100}, "percentile"),
    ],
)
def test_wrong_parameters_are_told(function, params, message, blobs):
    with pytest.raises(ValueError, match=message):
        function(small_net(), *blobs[:2], **params)


def test_wrong_selections_are_told(mapped):
    with pytest.raises(ValueError, match="by must be one of.*'aum'"):
        mapped.select(0.5, by="aum")
    for share in (0, 1.5, "half"):
        with pytest.raises(ValueError, match="share must be above 0"):
            mapped.select(share)


@pytest.mark.parametrize("result", [DataMap, ForgettingEvents, AreaUnderMargin])
def test_wrong_traces_are_told(result, blobs):
    with pytest.raises(TypeError, match="trace must be a Trace"):
        result.from_trace([clone(small_net())])
    with pytest.raises(ValueError, match="empty list"):
        result.from_trace([])
    X, y, _ = blobs
    traces = [
        small_net(callbacks=[Trace()], max_epochs=1).fit(X[:n], y[:n]).trace_
        for n in (100, 101)
    ]
    with pytest.raises(ValueError, match="different numbers of rows: .100, 101."):
        result.from_trace(traces)


@pytest.mark.parametrize("function", [data_map, forgetting, aum])
def test_estimators_without_a_net_are_told(function, blobs):
    with pytest.raises(TypeError, match="SVC"):
        function(SVC(), *blobs[:2])
