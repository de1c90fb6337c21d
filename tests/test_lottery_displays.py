"""Pictures of a lottery show what its tables say."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from torch import nn

from sklearn_memgen import (
    LotteryDisplay,
    LotteryPrunedNet,
    NetClassifier,
    TicketInputsDisplay,
)
from tests.probes import MLP, make_blobs

CONTROLS = ("random_reinit", "random_mask")


@pytest.fixture(scope="module")
def searched():
    X, y, _, _ = make_blobs(400)
    X = pd.DataFrame(X, columns=list("abcd")).assign(noise=0.0)
    model = LotteryPrunedNet(
        NetClassifier(MLP),
        search="iterative",
        n_rounds=2,
        n_trials=2,
        controls=CONTROLS,
        max_epochs=4,
        keep_weights=True,
        random_state=0,
    )
    return model.fit(X, y), X, y


def test_a_line_for_each_kind(searched):
    model, _, _ = searched
    display = LotteryDisplay.from_estimator(model).plot()
    accuracy, iteration = display.axes_
    assert display.figure_ is accuracy.figure
    texts = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert texts == ["ticket", "its mask, new weights", "its weights, random mask"]
    tickets = model.rounds_[model.rounds_["kind"] == "ticket"].groupby("round")
    line, _, (bars,) = accuracy.containers[0].lines
    np.testing.assert_allclose(
        line.get_xdata(orig=False), 100 * tickets["remaining"].mean()
    )
    np.testing.assert_allclose(
        line.get_ydata(orig=False), tickets["valid_accuracy"].mean()
    )
    lows = [segment[0][1] for segment in bars.get_segments()]
    np.testing.assert_allclose(lows, tickets["valid_accuracy"].min())
    assert iteration.get_xlabel() == "weights that remain (%)"
    assert accuracy.get_xlim()[0] > accuracy.get_xlim()[1]


def test_accuracy_on_rows_of_ones_own(searched):
    model, X, y = searched
    display = LotteryDisplay.from_estimator(model, X=X, y=y)
    assert display.measures == ("accuracy", "early_stop_iteration")
    display = LotteryDisplay.from_estimator(model, measures=("loss",), X=X, y=y)
    assert len(display.plot().axes_) == 1
    with pytest.raises(ValueError, match="measures must be among"):
        LotteryDisplay.from_estimator(model, measures=("loss",))


def test_finals_take_the_place_of_shortened_rounds():
    X, y, _, _ = make_blobs(400)
    model = LotteryPrunedNet(
        NetClassifier(MLP), n_rounds=3, max_epochs=8, random_state=0
    )
    rounds = LotteryDisplay.from_estimator(model.fit(X, y)).rounds
    assert rounds["round"].is_unique
    assert set(rounds["stage"]) == {"search", "final"}


def test_inputs_by_name(searched):
    model, _, _ = searched
    display = TicketInputsDisplay.from_estimator(model)
    mask = model.ticket_.masks["0.weight"]
    shares = mask.double().mean(0).numpy()
    found = display.inputs["remaining"].loc[["a", "b", "c", "d", "noise"]]
    np.testing.assert_allclose(found, shares)
    assert display.inputs["remaining"].is_monotonic_decreasing
    assert display.overall == pytest.approx(mask.double().mean().item())
    ax = display.plot(n_inputs=3).ax_
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == display.inputs.index[:3].tolist()[::-1]


def test_columns_of_a_table_count_with_all_that_they_became(mixed_table):
    X, y = mixed_table
    model = LotteryPrunedNet(remaining=0.3, max_epochs=5, select="last", random_state=0)
    model.fit(X, y)
    inputs = TicketInputsDisplay.from_estimator(model).inputs
    mask = next(iter(model.ticket_.masks.values()))
    assert inputs["n_weights"].sum() == mask.numel()
    assert inputs["n_remaining"].sum() == mask.sum()
    assert {"number", "city", "grade", "nullable", "day (month)"} <= set(inputs.index)


def test_inputs_of_a_table_are_those_of_the_net(mixed_table):
    """What changes one column changes no input but those of its name."""
    X, y = mixed_table
    model = LotteryPrunedNet(remaining=0.3, max_epochs=2, random_state=0).fit(X, y)
    inputs = []
    first = model.net_.module_.deep.layers[0]
    hook = first.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    other = X.assign(city="Rome", number=9.0)
    for table in (X, other):
        tensors = model.encoder_.transform(table).inputs()
        model.net_.module_.deep(tensors["numbers"], tensors["ids"])
    hook.remove()
    from sklearn_memgen._surviving_inputs import _labels_of

    labels = np.array(_labels_of(model.net_.module_.deep, model.encoder_))
    moved = (inputs[0] != inputs[1]).any(0).numpy()
    names = {name for name in labels[moved] if " & " not in name}
    assert names == {"city", "number"}


class Flat(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, n_classes))


def test_pixels_are_a_picture():
    X, y = load_digits(return_X_y=True)
    model = LotteryPrunedNet(
        NetClassifier(Flat), n_rounds=1, max_epochs=2, select="last", random_state=0
    ).fit(X / 16, y)
    ax = TicketInputsDisplay.from_estimator(model).plot().ax_
    image = ax.get_images()[0].get_array()
    mask = model.ticket_.masks["0.weight"]
    np.testing.assert_allclose(image, mask.double().mean(0).view(8, 8))
