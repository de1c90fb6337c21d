"""The tree of a pattern says what `re` means by it, or the pattern is refused."""

import re

import pytest

from sklearn_memgen.rules.pattern_tree import (
    Chars,
    Repeat,
    UnfitPatternError,
    count_parts,
    parse_pattern,
)

ALL = "".join(map(chr, range(0x110000)))


def spans(pattern, flags=0):
    return tuple(
        e for m in re.finditer(f"(?:{pattern})+", ALL, flags) for e in m.span()
    )


@pytest.mark.parametrize(
    "element",
    [
        *[r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", "a", "[^a]", r"[\W\d]"],
        *["k", "ſ", "[k-s]", "[^k]", r"[\Wk]", "İ", "ß", "[À-ÿ]", "µ", "[^\\Wſ]", "漢"],
    ],
)
@pytest.mark.parametrize("flags", ["", "(?i)", "(?a)", "(?s)", "(?ai)"])
def test_sets_are_those_of_re_for_every_character(element, flags):
    node = parse_pattern(flags + element)
    assert node == Chars(spans(element, re.compile(flags).flags))


def test_no_character_beyond_the_last_that_is_looked_at_has_two_cases():
    beyond = ALL[0x20000:].encode("utf-32", "surrogatepass").decode("utf-32")
    assert beyond.lower() == beyond == beyond.upper()


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("(?=a)", "look-ahead and look-behind cannot be matched in linear time"),
        ("(?<!a)b", "look-ahead"),
        (r"(a)\1", "a reference to a group"),
        (r"(?P<x>a)(?P=x)", "a reference to a group"),
        ("(a)?(?(1)b|c)", "a reference to a group"),
        ("(?>a+)b", "an atomic group"),
        ("a++", "a possessive repeat"),
        ("(?:(?:a{99}){99}){99}", "more than 10,000 parts"),
        ("a{1,100000}", "more than 10,000 parts"),
    ],
)
def test_what_is_not_linear_is_refused_in_words(pattern, what):
    with pytest.raises(UnfitPatternError, match=what):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("rings?(", "unterminated subpattern at position 6"),
        ("(" * 5_000 + ")" * 5_000, "too large or nests too deep"),
        ("(" * 150 + "a" + ")" * 150, "too large or nests too deep"),
        ("(?:" * 20 + "a" + "b)*" * 20, "too large or nests too deep"),
        (r"\p{L}", "bad escape"),
        ("a{99999999999}", "too large"),
    ],
)
def test_what_is_no_pattern(pattern, what):
    with pytest.raises(ValueError, match=what) as caught:
        parse_pattern(pattern)
    assert len(str(caught.value)) < 300


def test_nested_repeats_are_one():
    assert parse_pattern("((a+)*)*") == Repeat(Chars((97, 98)), 0, None)
    assert parse_pattern("(?:a{2,})*") != parse_pattern("a*")
    assert count_parts(parse_pattern("(ab{3}){2,4}c")) == 17


def test_a_literal_stands_for_itself():
    assert parse_pattern("a.*", literal=True) == parse_pattern(r"a\.\*")
    assert parse_pattern("(?i)", literal=True) == parse_pattern(r"\(\?i\)")
