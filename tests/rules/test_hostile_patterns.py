"""Patterns that hang other matchers are matched in linear time, or refused."""

import time

import numpy as np
import pytest

from sklearn_memgen.rules.databases import Pattern, try_pattern
from sklearn_memgen.rules.matching import Matcher

NESTED = [
    "(a+)+$",
    "(a|aa)+$",
    "(a|a?)+$",
    "(.*)*x",
    "(.*a){20}x",
    "(?:a*)*b",
    "([a-z]+)*=",
    "(a*)*(a*)*(a*)*!",
    r"^(\w+\s?)*$!",
    r"(?:\w+\b\s*)+!",
    r"(x+x+)+y",
    "(((a*b)*c)*d)*e",
    "(?i)(a|A)+(ä|Ä)*!",
    "(a?){50}a{50}!",
    r"\b(a|ab|abc)*\b!",
    r"(?m)(^a*$)+!",
    ".*.*.*.*=.*",
]
LARGE = [
    "x.{0,5000}y",
    "xa{1,9999}b",
    r"\b(" + "|".join(f"word{i}" for i in range(2_000)) + r")\b",
    "x(a{1,90}b){1,90}y",
    "((a{1,20}b){1,20}c){1,20}d",
    "x" + "a?" * 3_000 + "y",
    "[" + "".join(map(chr, range(0x4E00, 0x9000, 2))) + "]+x",
    "a" * 10_000,
    "(?:" * 9 + "a" + "b)*" * 9 + "y",
]
TEXTS = ["a" * 10_000, "a" * 9_999 + "!", "ab" * 5_000, "x" * 10_000, "aä " * 3_333]


def seconds(pattern, texts):
    matcher = Matcher()
    matcher.find([pattern], texts)  # compiles
    started = time.process_time()
    matcher.find([pattern], texts)
    return time.process_time() - started


@pytest.mark.parametrize("text", NESTED)
def test_ten_times_the_text_takes_about_ten_times_as_long(text):
    pattern = Pattern(text)
    long = [each * 100 for each in TEXTS]
    # A quadratic matcher would take a hundred times as long.
    assert seconds(pattern, [t * 10 for t in long]) < 40 * seconds(pattern, long) + 0.1


@pytest.mark.parametrize("text", LARGE, ids=lambda text: text[:20])
def test_large_patterns_are_bounded_in_time(text):
    started = time.process_time()
    try:
        try_pattern(Pattern(text))
    except ValueError as error:
        assert "bad pattern" in str(error) and len(str(error)) < 300
    else:
        Matcher().find([Pattern(text)], TEXTS)
    assert time.process_time() - started < 15


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("|".join(f"word{i}" for i in range(5_500)), "too long"),
        (f"({'|'.join(f'word{i}' for i in range(4_500))}).*x", "too long"),
        ("a{1,100000}", "more than 10,000 parts"),
        ("(?:a{1,500}b){1,500}", "more than 10,000 parts"),
        ("(" * 60_000, "characters, more than"),
        ("(?=a)", "look-ahead"),
        (r"(a)\1", "a reference to a group"),
    ],
    ids=lambda text: text[:20],
)
def test_the_rest_is_refused_at_once(text, what):
    started = time.process_time()
    with pytest.raises(ValueError, match=what) as caught:
        try_pattern(Pattern(text))
    assert time.process_time() - started < 5 and len(str(caught.value)) < 300


def test_odd_characters_pass_through():
    """NUL, lone surrogates, and bytes that are no UTF-8 but were read as such."""
    escaped = b"caf\xe9 \xff\xfe".decode("utf-8", "surrogateescape")
    texts = ["\0", "a\0b", "\ud800", "\udfff\ud800", escaped, "\U0010ffff", ""]
    patterns = [Pattern(t, literal=True) for t in texts[:-1]]
    patterns += [
        Pattern(r"\x00"),
        Pattern(r"^.$"),
        Pattern(r"caf. "),
        Pattern("[\ud800-\udfff]"),
    ]
    found = Matcher().find(patterns, texts).toarray()
    expected = [[p.text in t for p in patterns[:6]] for t in texts]
    np.testing.assert_array_equal(found[:, :6], expected)
    assert np.flatnonzero(found[:, 6]).tolist() == [0, 1]
    assert np.flatnonzero(found[:, 7]).tolist() == [0, 2, 5]
    assert np.flatnonzero(found[:, 8]).tolist() == [4]
    assert np.flatnonzero(found[:, 9]).tolist() == [2, 3, 4]


def test_hostile_patterns_do_not_harm_each_other():
    patterns = [Pattern(text) for text in NESTED] + [Pattern("ab ?x"), Pattern("!$")]
    found = Matcher().find(patterns, [*TEXTS, "abx"]).toarray()
    assert found[-1, -2] and not found[:-1, -2].any()
    assert found[:, -1].tolist() == [False, True, False, False, False, False]
