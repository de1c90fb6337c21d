r"""The slot of a pattern is found where it is, and refused where it cannot be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_memgen.rules.slots import parse_slot


@pytest.mark.parametrize(
    ("pattern", "filled"),
    [
        (r"(motor|\syn) oils?", r"(motor|a\s+b|c\+) oils?"),
        (r"(\syn|motor) oils?", r"(a\s+b|c\+|motor) oils?"),
        (r"(motor|\syn|engine) oils?", r"(motor|a\s+b|c\+|engine) oils?"),
        (r"\b(?:motor|\syn)\b", r"\b(?:motor|a\s+b|c\+)\b"),
        (r"x (?P<what>m(o|0)tor|\syn)", r"x (?P<what>m(o|0)tor|a\s+b|c\+)"),
        (r"a|(b (c|\syn)|d)|[(|\syn]", None),
        (r"(b (c|\syn)|d)|[(|\]]", r"(b (c|a\s+b|c\+)|d)|[(|\]]"),
        (r"[])](c|\syn)\(", r"[])](c|a\s+b|c\+)\("),
        (r"(\\syn|\syn)\)", r"(\\syn|a\s+b|c\+)\)"),
        (r"(\syn|[^]|)]|\|) x", r"(a\s+b|c\+|[^]|)]|\|) x"),
    ],
)
def test_the_slot_is_filled(pattern, filled):
    if filled is not None:
        assert parse_slot(pattern).fill(["a b", "c+"]) == filled
        re.compile(filled)
    else:
        # Of a class of characters, \syn is a space, y and n.
        assert parse_slot(pattern).fill(["e"]) == r"a|(b (c|e)|d)|[(|\syn]"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(motor|engine) oils?", "got 0 in"),
        (r"(motor|\\syn) oils?", "got 0 in"),
        (r"(a|\syn) (b|\syn)", "got 2 in"),
        (r"\syn oils?", "an alternative of a group"),
        (r"a|\syn", "an alternative of a group"),
        (r"(a|b\syn)", "an alternative by itself"),
        (r"(a|\syn+)", "an alternative by itself"),
        (r"(\syn) oils?", "at least one known synonym"),
        (r"(?=a|\syn) oils?", r"must begin by \("),
        (r"(a||\syn)", "empty in"),
        (r"(x*|\syn)", "empty in"),
        (r"(a|\syn) (b", "unterminated"),
        (r"(a|\syn) b**", "bad pattern"),
        ("", "got 0 in"),
    ],
)
def test_what_is_no_slot(pattern, message):
    with pytest.raises(ValueError, match=message):
        parse_slot(pattern)
    with pytest.raises(TypeError, match="pattern must be text; got 5"):
        parse_slot(5)


words = st.lists(st.text("ab-.'5", min_size=1, max_size=4), min_size=1, max_size=3)


@given(words=words, gap=st.sampled_from([" ", "  ", "\t"]))
def test_a_filled_pattern_finds_the_words(words, gap):
    phrase = " ".join(words)
    filled = parse_slot(r"(motor|\syn) oils?").fill([phrase])
    assert re.fullmatch(filled, f"{gap.join(words)} oil")
    assert re.fullmatch(filled, "motor oils")


def test_words_are_whole():
    parsed = parse_slot(r"(x|\syn) oils?")

    def find(n_words, text):
        pattern = parsed.capture_words(n_words, n_words)
        return [match["synonym"] for match in re.finditer(pattern, text)]

    text = "the 4-stroke engine oil, men's  5.5 motor oils (gear) oil snow-oil"
    assert find(1, text) == ["engine", "motor"]
    assert find(2, text) == ["4-stroke engine", "5.5 motor"]
    assert find(3, text) == ["the 4-stroke engine", "men's  5.5 motor"]
    assert find(1, "gear. big oil") == ["big"] and find(2, "gear. big oil") == []
