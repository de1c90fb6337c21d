"""Entities are found, and scored, as conlleval and seqeval do it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_memgen import entity_f1_score, entity_scores, find_entities

TAGS = st.sampled_from(
    ["O", *(f"{p}-{kind}" for p in "BIES" for kind in ("PER", "LOC", "art-work"))]
)
SENTENCES = st.lists(st.lists(st.tuples(TAGS, TAGS), max_size=8), max_size=6)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-A", [("A", 0, 1)]),
        ("B-A I-A O", [("A", 0, 2)]),
        ("I-A I-A", [("A", 0, 2)]),
        ("B-A B-A", [("A", 0, 1), ("A", 1, 2)]),
        ("B-A I-B", [("A", 0, 1), ("B", 1, 2)]),
        ("O I-A B-A", [("A", 1, 2), ("A", 2, 3)]),
        ("B-A I-A E-A I-A", [("A", 0, 3), ("A", 3, 4)]),
        ("S-A S-A O S-B", [("A", 0, 1), ("A", 1, 2), ("B", 3, 4)]),
        ("B-x-y I-x-y I-x", [("x-y", 0, 2), ("x", 2, 3)]),
        ("B I O", [("_", 0, 2)]),
    ],
)
def test_rules_of_conlleval(tags, expected):
    assert find_entities(tags.split()) == expected


@given(SENTENCES)
@settings(deadline=None)
def test_scores_are_those_of_the_sets_of_entities(pairs):
    """Counted one by one; a sentence has no entity in common with the next."""
    y_true = [[a for a, _ in own] for own in pairs]
    y_pred = [[b for _, b in own] for own in pairs]
    true = {(k, *e) for k, own in enumerate(y_true) for e in find_entities(own)}
    found = {(k, *e) for k, own in enumerate(y_pred) for e in find_entities(own)}
    scores = entity_scores(y_true, y_pred)
    kinds = sorted({entity[1] for entity in true | found})
    assert scores.index.tolist() == [*kinds, "micro avg", "macro avg", "weighted avg"]
    for kind in [*kinds, "micro avg"]:
        of_kind = [
            {e for e in entities if kind in (e[1], "micro avg")}
            for entities in (true, found)
        ]
        right = len(of_kind[0] & of_kind[1])
        n_true, n_found = map(len, of_kind)
        expected = [
            right / n_found if n_found else 0,
            right / n_true if n_true else 0,
            2 * right / (n_true + n_found) if n_true + n_found else 0,
            n_true,
        ]
        np.testing.assert_allclose(scores.loc[kind].to_numpy(float), expected)
    assert entity_f1_score(y_true, y_pred) == scores.loc["micro avg", "f1"]


# Without a release since 2020, and without a wheel: no dependency, but a witness.
@given(SENTENCES)
@settings(deadline=None)
def test_seqeval_agrees(pairs):
    metrics = pytest.importorskip("seqeval.metrics")
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    y_true = [[a for a, _ in own] for own in pairs]
    y_pred = [[b for _, b in own] for own in pairs]
    for own in y_true:
        theirs = [(kind, a, b + 1) for kind, a, b in labeling.get_entities(own)]
        assert find_entities(own) == theirs
    if all(tag == "O" for own in [*y_true, *y_pred] for tag in own):
        return  # of which seqeval has no mean
    for average in ("micro", "macro", "weighted"):
        theirs = metrics.f1_score(y_true, y_pred, average=average, zero_division=0)
        np.testing.assert_allclose(
            entity_f1_score(y_true, y_pred, average=average), theirs, atol=1e-12
        )


def test_errors_name_the_sentence():
    with pytest.raises(ValueError, match="1 sentences, but y_pred has 2"):
        entity_scores([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="sentence 1 has 2 tags in y_true, but 1"):
        entity_scores([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(TypeError, match="tag 1 of sentence 0 of y_pred is None"):
        entity_scores([["O", "O"]], [["O", None]])
    with pytest.raises(TypeError, match="sentence 0 is 'O'"):
        entity_scores(["O"], ["O"])
    with pytest.raises(ValueError, match="'average' parameter of entity_f1_score"):
        entity_f1_score([["O"]], [["O"]], average="none")


def test_without_entities_and_without_sentences():
    for y in ([], [[]], [["O", "O"]]):
        assert entity_f1_score(y, y) == 0
        assert (entity_scores(y, y) == 0).all(axis=None)


def test_many_sentences_take_no_time():
    """20,000 of 20 tokens: in a second on any machine, most of it to read the lists."""
    rng = np.random.default_rng(0)
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    y = [list(rng.choice(names, 20)) for _ in range(20_000)]
    y = [[str(tag) for tag in own] for own in y]
    started = time.perf_counter()
    assert entity_f1_score(y, y) == 1
    assert time.perf_counter() - started < 10
