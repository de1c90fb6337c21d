"""The engine is there, and is one that misses no texts."""

import re

import pandas as pd
import pytest

from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.rules import engine as engine_module
from sklearn_memgen.rules.engine import has_engine, import_engine

#: Patterns of which Vectorscan 5.4.12 misses texts, some in company only.
MISSED = [
    (r"SPIN .*[03]\b", "aiaa 0300 aasaer 3kg 3kg 33 3kg spin aasaer rpm spin aag 0300"),
    (r"[0-9]+[03].*0{2,3}.* ", "aiaa aasaer rpm 0300 a 33 33 0kg kg"),
    (r"[03kg]{2,3}.* [0-9]* ", "aasaer aosca spin aasaer spin aasaer 33 33 aag30000ga"),
    (r"\b\d+ ?kg\b.*\b\d{3,4} ?(rpm|spin)\b", "serie 6 wvg 7kg 4kg dryer 1500 rpm a"),
]


def test_an_engine_that_misses_texts_is_refused(monkeypatch):
    version = engine_module._find_version(import_engine())
    monkeypatch.setattr(engine_module, "_FAULTY", version.split()[1])
    X = pd.DataFrame({"title": ["gold ring"]})
    with pytest.raises(
        ImportError, match=r"hyperscan .* misses texts; install another"
    ):
        col("title").matches("ring").evaluate(X)
    assert not has_engine()


def test_what_a_faulty_engine_misses_is_found():
    X = pd.DataFrame({"title": [text for _, text in MISSED]})
    rules = RuleSet(
        Rule(col("title").matches(pattern, case=False), "a", id=str(i))
        for i, (pattern, _) in enumerate(MISSED)
    )
    expected = [
        [re.search(pattern, text, re.IGNORECASE) is not None for pattern, _ in MISSED]
        for _, text in MISSED
    ]
    assert rules.match(X).toarray().tolist() == expected


def test_rules_for_offers_match_what_re_matches(offers):
    """An engine that is wrong in one of a thousand rows shows on real titles."""
    X = offers[["title"]].iloc[::3]
    patterns = [
        r"\b\d+ ?kg\b.*\b\d{3,4} ?(rpm|spin)\b|\b\d{3,4} ?(rpm|spin)\b.*\b\d+ ?kg\b",
        r"\b(lga ?\d+|socket (am|fm|s)?\d+|\d+ ?mb (smart )?cache)\b",
        r"\bcore i[3579]\b",
        r"\b\d\d ?(l|lt|litres?)\b.*\b(7|8|9|10)00 ?w(atts?)?\b",
        r"\b(fridge|refrigerator)s?\b.*\bfreezers?\b|gefrier ?kombi",
        r"\b(intel|amd)\b.*\b(cpu|processor|cores?|cache|\d(\.\d+)? ?ghz)\b",
    ]
    rules = RuleSet(
        Rule(col("title").matches(pattern, case=False), "a", id=str(i))
        for i, pattern in enumerate(patterns)
    )
    matched = rules.match(X).toarray()
    for j, pattern in enumerate(patterns):
        search = re.compile(pattern, re.IGNORECASE).search
        expected = [search(text) is not None for text in X["title"]]
        assert matched[:, j].tolist() == expected, pattern
