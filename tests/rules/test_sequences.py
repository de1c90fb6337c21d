"""Sequences of words: complete, counted as patterns match, and bounded."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_memgen.rules import sequences
from sklearn_memgen.rules.sequences import mine_sequences, write_pattern

TEXTS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.lists(st.sampled_from("abc"), max_size=5)),
        st.integers(-1, 2),
        st.integers(-1, 2),
    ),
    min_size=1,
    max_size=12,
)


def mine(texts, labels, **settings):
    defaults = {"min_count": 2, "min_precision": 0.9, "max_length": 3}
    labels = np.asarray(labels)
    return mine_sequences(pd.Series(texts, dtype=object), labels, **defaults | settings)


def match(words, texts):
    pattern = re.compile(write_pattern(words), re.IGNORECASE)
    return np.array([t is not None and bool(pattern.search(t)) for t in texts])


def count(words, texts, labels, against, code):
    """Return the texts for a class and those that count, by the pattern itself."""
    rows = match(words, texts)
    others = labels >= 0 if against is None else (against == code)
    return (rows & (labels == code)).sum(), (rows & (others | (labels == code))).sum()


def find_by_brute_force(texts, labels, against, min_precision):
    """Return sequences and classes that are precise, while no part of them is."""
    precise = {
        (words, code)
        for length in (1, 2, 3)
        for words in product("abc", repeat=length)
        for code in range(3)
        if (n := count(words, texts, labels, against, code))[0] >= 2
        and n[0] >= min_precision * n[1]
    }

    def settles(words, code):
        parts = (words[:-1], words[-1:])
        return any((part, code) in precise for part in parts) or (
            len(words) > 1 and any(settles(p, code) for p in parts if len(p) > 1)
        )

    return {(w, c) for w, c in precise if len(w) == 1 or not settles(w, c)}


@settings(deadline=None)
@given(TEXTS, st.booleans(), st.sampled_from([0.6, 0.9]))
def test_found_are_exactly_the_precise_ones(rows, explicit, min_precision):
    """All that is found is precise, and what promises to be so is not overlooked."""
    texts = [None if words is None else " ".join(words) for words, _, _ in rows]
    labels = np.array([label for _, label, _ in rows])
    against = np.array([other for _, _, other in rows])
    # A text does not speak for and against a class.
    against = np.where(against == labels, -1, against) if explicit else None
    found = mine(texts, labels, against=against, min_precision=min_precision)
    pairs = set(zip(found.words, found.labels.tolist(), strict=True))
    assert len(pairs) == len(found.words)
    expected = find_by_brute_force(texts, labels, against, min_precision)
    assert pairs <= expected
    for words, row in zip(found.words, found.rows.toarray(), strict=True):
        assert (row == match(words, texts)).all()
    # Those of one word are all there; longer ones grow from words of promise only.
    assert {p for p in expected if len(p[0]) == 1} <= pairs


def test_gaps_and_order():
    """Words in another order, or only one of them, are another class."""
    texts = ["motor x oil", "motor oil", "oil motor", "oil y motor", "oil", "motor"]
    found = mine(texts, [0, 0, 1, 1, 2, 2])
    assert (("motor", "oil"), 0) in zip(found.words, found.labels, strict=True)
    assert (("oil", "motor"), 1) in zip(found.words, found.labels, strict=True)


def test_plurals():
    """A plural is merged if both are frequent and of one class, and not otherwise."""
    texts = ["ring", "ring", "rings", "Rings", "new", "new", "news", "news", "len x"]
    found = mine(texts, [0, 0, 0, 0, 1, 1, 2, 2, 2])
    assert set(found.words) == {("rings?",), ("new",), ("news",)}
    by_word = dict(zip(found.words, found.rows.sum(axis=1).tolist(), strict=True))
    assert by_word == {("rings?",): 4, ("new",): 2, ("news",): 2}


def test_a_settled_class_is_not_looked_at_again():
    """A longer sequence of the same class would only match fewer texts."""
    texts = ["gold ring"] * 5 + ["gold bar"] * 5
    found = mine(texts, [0] * 5 + [1] * 5)
    assert set(found.words) == {("ring",), ("bar",)}


def test_unlabeled_texts_have_rows_but_no_say():
    texts = ["ring", "ring", "ring", "bar", "bar"]
    found = mine(texts, [0, 0, -1, 1, 1])
    assert found.rows.toarray()[found.words.index(("ring",))].tolist() == [
        1,
        1,
        1,
        0,
        0,
    ]


def test_long_texts_are_cut_and_it_is_said():
    texts = pd.Series(["x " * 50_000 + "late", "early " + "x " * 50_000] * 2, name="t")
    with pytest.warns(UserWarning, match="4 texts of column 't' have more than 200"):
        found = mine_sequences(
            texts, np.array([0, 1] * 2), min_count=2, min_precision=1.0, max_length=4
        )
    assert found.words == [("early",)]


def test_work_is_bounded(monkeypatch):
    """Texts too long for all pairs of their words cost no more than they may."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(50)]
    texts = [" ".join(rng.choice(words, 60)) for _ in range(40)]
    texts = [f"key {t} lock" if i % 2 else f"lock {t} key" for i, t in enumerate(texts)]
    largest = 0
    original = sequences._grow

    def grow(level, *arguments):
        nonlocal largest
        grown = original(level, *arguments)
        largest = max(largest, len(grown.row))
        return grown

    monkeypatch.setattr(sequences, "_grow", grow)
    monkeypatch.setattr(sequences, "_MAX_WORK", 5_000)
    mine(texts, [0, 1] * 20)
    assert 0 < largest <= 5_000


@pytest.mark.parametrize("texts", [[None, None], ["", "..."], [" ", None]])
def test_texts_without_words(texts):
    found = mine(texts, [0, 1])
    assert found.words == [] and found.rows.shape == (0, 2)
