"""Entities are found, and scored, as conlleval and seqeval do."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_memgen.entities import entity_f1_score, entity_scores, find_entities

# seqeval defines these numbers. It has had no release since 2020 and comes without a
# wheel, so it is no dependency, and compared with where it is installed.

Y_TRUE = [["B-PER", "I-PER", "O", "B-LOC"], ["O"], ["B-LOC", "I-LOC", "B-ORG"]]
Y_PRED = [["B-PER", "I-PER", "O", "B-ORG"], ["O"], ["B-LOC", "O", "B-ORG"]]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-X I-X I-X", [("X", 0, 3)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("I-X I-X O I-X", [("X", 0, 2), ("X", 3, 4)]),  # IOB1
        ("I-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),  # IOB1
        ("B-X I-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("B-X I-Y I-X", [("X", 0, 1), ("Y", 1, 2), ("X", 2, 3)]),
        ("B-X E-X S-X", [("X", 0, 2), ("X", 2, 3)]),  # IOBES
        ("S-X I-X", [("X", 0, 1), ("X", 1, 2)]),
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("I-X E-X I-X", [("X", 0, 2), ("X", 2, 3)]),  # IOE
        ("B-X S-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X L-X U-X U-X", [("X", 0, 2), ("X", 2, 3), ("X", 3, 4)]),  # BILOU
        ("B-a-b I-a-b", [("a-b", 0, 2)]),
        ("B I O S", [("_", 0, 2), ("_", 3, 4)]),
        ("PER PER LOC O", [("PER", 0, 2), ("LOC", 2, 3)]),  # IO, without places
        ("BRAND ORG", [("BRAND", 0, 1), ("ORG", 1, 2)]),
    ],
)
def test_entities_of_tags(tags, expected):
    assert find_entities(tags.split()) == expected
    assert find_entities(np.array(tags.split(), dtype=str)) == expected


def test_scores_counted_by_hand():
    scores = entity_scores(Y_TRUE, Y_PRED)
    expected = pd.DataFrame(
        {
            "precision": [0, 0.5, 1, 0.5, 0.5, 0.375],
            "recall": [0, 1, 1, 0.5, 2 / 3, 0.5],
            "f1": [0, 2 / 3, 1, 0.5, 5 / 9, 5 / 12],
            "support": [2, 1, 1, 4, 4, 4],
        },
        index=["LOC", "ORG", "PER", "micro avg", "macro avg", "weighted avg"],
    )
    pd.testing.assert_frame_equal(scores, expected)
    assert entity_f1_score(Y_TRUE, Y_PRED) == 0.5
    assert entity_f1_score(Y_TRUE, Y_PRED, average="macro") == pytest.approx(5 / 9)
    assert entity_f1_score(Y_TRUE, Y_PRED, average="weighted") == pytest.approx(5 / 12)


def test_no_entity_goes_on_into_the_next_sentence():
    whole = entity_scores([["B-X", "I-X"]], [["B-X", "I-X"]])
    parts = entity_scores([["B-X"], ["I-X"]], [["B-X"], ["I-X"]])
    assert whole.loc["X", "support"] == 1
    assert parts.loc["X", "support"] == 2


def test_the_end_and_the_type_must_be_right():
    assert entity_f1_score([["B-X", "I-X"]], [["B-X", "O"]]) == 0
    assert entity_f1_score([["B-X", "I-X"]], [["B-Y", "I-Y"]]) == 0
    assert entity_f1_score([["B-X", "I-X"]], [["I-X", "E-X"]]) == 1


@pytest.mark.parametrize("y", [[], [[]], [["O", "O"]]])
@pytest.mark.parametrize("zero_division", [0.0, 1.0])
def test_without_entities_there_is_nothing_to_divide_by(y, zero_division):
    scores = entity_scores(y, y, zero_division=zero_division)
    assert (scores[["precision", "recall", "f1"]] == zero_division).all(axis=None)
    assert (scores["support"] == 0).all()


def test_recall_without_true_entities():
    scores = entity_scores([["O"]], [["B-X"]], zero_division=1.0)
    assert scores.loc["X"].tolist() == [0, 1, 0, 0]
    assert scores.loc["weighted avg"].tolist() == [0, 1, 0, 0]


def tag_lists(n_tags: int):
    tags = [f"{place}-{kind}" for place in "BIES" for kind in "XY"]
    return st.lists(
        st.sampled_from(["O", "B", "I", *tags]), min_size=n_tags, max_size=n_tags
    )


def pairs_of_sentences():
    pair = st.integers(0, 7).flatmap(lambda n: st.tuples(tag_lists(n), tag_lists(n)))
    return st.lists(pair, min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(pairs=pairs_of_sentences())
def test_entities_are_those_of_seqeval(pairs):
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    for tags, _ in pairs:
        ends_included = labeling.get_entities(tags)
        expected = [(kind, start, end + 1) for kind, start, end in ends_included]
        assert find_entities(tags) == expected


@settings(max_examples=100, deadline=None)
@given(pairs=pairs_of_sentences(), zero_division=st.sampled_from([0, 1]))
def test_scores_are_those_of_seqeval(pairs, zero_division):
    seqeval = pytest.importorskip("seqeval.metrics")
    y_true, y_pred = map(list, zip(*pairs, strict=True))
    scores = entity_scores(y_true, y_pred, zero_division=zero_division)
    if len(scores) == 3:
        return  # no entity in either, of which seqeval's mean is undefined
    report = seqeval.classification_report(
        y_true, y_pred, output_dict=True, zero_division=zero_division
    )
    expected = pd.DataFrame(report).T.rename(columns={"f1-score": "f1"})
    pd.testing.assert_frame_equal(
        scores, expected[scores.columns], check_dtype=False, check_index_type=False
    )
    for average in ("micro", "macro", "weighted"):
        ours = entity_f1_score(
            y_true, y_pred, average=average, zero_division=zero_division
        )
        theirs = seqeval.f1_score(
            y_true, y_pred, average=average, zero_division=zero_division
        )
        assert ours == pytest.approx(theirs)


@settings(max_examples=100, deadline=None)
@given(pairs=pairs_of_sentences())
def test_all_sentences_together_have_the_entities_of_each(pairs):
    """Counts of one pass are those of sentences one by one, without seqeval."""
    y_true, y_pred = map(list, zip(*pairs, strict=True))
    sets = [
        {(k, *entity) for k, tags in enumerate(y) for entity in find_entities(tags)}
        for y in (y_true, y_pred)
    ]
    n_found, n_entities = len(sets[0] & sets[1]), len(sets[0]) + len(sets[1])
    expected = 2 * n_found / n_entities if n_entities else 0
    assert entity_f1_score(y_true, y_pred) == pytest.approx(expected)


def test_many_sentences_take_less_than_a_second():
    rng = np.random.default_rng(0)
    tags = np.array(["O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    y_true, y_pred = rng.choice(tags, (2, 20_000, 20)).tolist()
    entity_f1_score(y_true[:10], y_pred[:10])
    started = time.process_time()
    entity_f1_score(y_true, y_pred)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("y_true", "y_pred", "error", "message"),
    [
        ([["O"]], [], ValueError, "y_true has 1 sentences, but y_pred has 0"),
        (
            [["O"], ["O", "O"]],
            [["O"], ["O"]],
            ValueError,
            "sentence 1 has 2 tags in y_true, but 1 in y_pred",
        ),
        (
            [["O"], [], ["O", None]],
            [["O"], [], ["O", "O"]],
            TypeError,
            "tag 1 of sentence 2 in y_true is None",
        ),
        ([["O"]], [[3]], TypeError, "tag 0 of sentence 0 in y_pred is 3"),
        ([["O"]], [[""]], ValueError, "tag 0 of sentence 0 in y_pred is empty"),
        (["O"], ["O"], ValueError, "y_true .* sentence 0 is 'O'"),
        ([["O"], None], [["O"], ["O"]], ValueError, "sentence 1 is None"),
    ],
)
def test_errors_say_where(y_true, y_pred, error, message):
    with pytest.raises(error, match=message):
        entity_f1_score(y_true, y_pred)


def test_find_entities_takes_one_sentence():
    with pytest.raises(ValueError, match="'B-PER'"):
        find_entities("B-PER")
    with pytest.raises(TypeError, match="tag 0 .* in tags is \\['O'\\]"):
        find_entities([["O"]])


def test_an_unknown_average_is_named():
    with pytest.raises(ValueError, match=r"\['micro', 'macro', .*got 'samples'"):
        entity_f1_score(Y_TRUE, Y_PRED, average="samples")
