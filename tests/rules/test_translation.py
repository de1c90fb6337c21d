"""What the engine is given: literals wherever that is possible."""

import pytest

from sklearn_memgen.rules.alphabet import Alphabet
from sklearn_memgen.rules.pattern_parts import find_sets, has_boundaries
from sklearn_memgen.rules.pattern_tree import parse_pattern
from sklearn_memgen.rules.translation import Translator


def translate(pattern, newlines=True, marked=None):
    tree = parse_pattern(pattern)
    if marked is None:
        marked = has_boundaries(tree, ascii=False)
    return Translator(
        Alphabet(find_sets(tree), marked=marked), newlines=newlines
    ).translate(tree)


@pytest.mark.parametrize(
    ("pattern", "expression"),
    [
        ("gold", "gold"),
        (r"\bgold rings?\b", r"\x80gold\x80 \x80rings?\x80"),
        (r"\b(gold|silver)\b", r"\x80(?:gold|silver)\x80"),
        ("gold.*rings?", r"gold[^\x0a]*rings?"),
        ("(?s)gold.*rings?", "gold.*rings?"),
        (r"\bgold\b.*\brings?", r"\x80gold\x80[^\x0a]*\x80rings?"),
        ("x(?:gold ?)+ring", "x(?:gold ?)+ring"),
        # A search may begin anywhere, so that what can be left out in front is.
        (".*gold", "gold"),
        ("(.*)*x", "x"),
        ("(a+)+$", r"a\x0a?\z"),
        (r"^\bgold", r"^\x80gold"),
        ("(?m)^a$", r"(?:^a|\x0aa)(?:\z|\x0a)"),
        (r"a\b\b\b", r"a\x80"),
        # Never found:
        (r"a\bb", None),
        ("a^", None),
        ("$a", None),
        (r"\b\B", None),
    ],
)
def test_expressions(pattern, expression):
    found = translate(pattern)
    assert found == ([] if expression is None else [expression])


def test_without_newlines_a_gap_takes_anything():
    assert translate("gold.*ring$", newlines=False) == [r"gold.*ring\z"]
    assert translate(r"a\nb", newlines=False) == []
    assert translate("(?m)^a", newlines=False) == ["^a"]


def test_long_alternatives_are_parted():
    words = [f"word{i}" for i in range(2_000)]
    found = translate(rf"\b({'|'.join(words)})\b")
    assert len(found) > 1 and max(map(len, found)) < 16_000


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(?a:\b)a(?u:\b)", "words of ASCII only, and of others"),
        (r"(?m)\s^a", "may or may not be the end of a line"),
        (r"(?:a\b ?){50}", "more than 20 times"),
        ("x(?:" + "|".join(f"word{i}" for i in range(5_000)) + ")y", "too long"),
        ("a?b" * 3_000, "too long"),
    ],
)
def test_what_the_engine_cannot_be_told(pattern, message):
    with pytest.raises(ValueError, match=message):
        translate(pattern, marked=True)
