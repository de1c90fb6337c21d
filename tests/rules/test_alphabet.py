"""Texts in symbols: equal where patterns tell nothing apart, different elsewhere."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_memgen.rules.alphabet import MARK, Alphabet

ENDS = [0, 10, 48, 58, 97, 98, 122, 128, 0xD800, 0xDC80, 0xE000, 0x4E00, 0x1F600]
sets = st.lists(
    st.lists(st.sampled_from([*ENDS, 0x110000]), min_size=2, max_size=4, unique=True)
    .map(sorted)
    .map(lambda ends: tuple(ends[: len(ends) // 2 * 2])),
    max_size=6,
)
characters = st.sampled_from([chr(e + d) for e in ENDS for d in (0, 1)])


def holds(members, character):
    return any(
        a <= ord(character) < b
        for a, b in zip(members[::2], members[1::2], strict=True)
    )


@settings(deadline=None)
@given(sets=sets, one=characters, two=characters)
def test_characters_are_one_symbol_if_no_set_tells_them_apart(sets, one, two):
    alphabet = Alphabet(sets)
    encoded = alphabet.encode([one, two])
    alike = all(holds(s, one) == holds(s, two) for s in [*sets, (10, 11)])
    assert (encoded[0] == encoded[1]) == alike
    for members in sets:
        (symbol,) = encoded[0].decode("latin-1")
        found = alphabet.find_symbols(members) >> ord(symbol) & 1
        assert found == holds(members, one)


@settings(deadline=None)
@given(
    texts=st.lists(
        st.text(st.sampled_from("aü1 -\n\ud800😀_"), max_size=6), max_size=5
    ),
    ascii_words=st.booleans(),
)
def test_marks_stand_where_words_begin_and_end(texts, ascii_words):
    letters = [(ord(c), ord(c) + 1) for c in "aü1 -\ud800😀_"]
    alphabet = Alphabet(letters, marked=True, ascii_words=ascii_words)
    plain = Alphabet(letters)
    boundary = re.compile(r"\b", re.ASCII if ascii_words else 0)
    for text, encoded in zip(texts, alphabet.encode(texts), strict=True):
        parts, places, position = encoded.split(bytes([MARK])), [], 0
        for part in parts[:-1]:
            position += len(part)
            places.append(position)
        assert places == [m.start() for m in boundary.finditer(text)]
        assert len(b"".join(parts)) == len(plain.encode([text])[0]) == len(text)


def test_many_symbols_are_in_utf_8():
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 70_000)))
    alphabet = Alphabet([(ord(c), ord(c) + 1) for c in letters], marked=True)
    assert not alphabet.is_bytes and alphabet.n_symbols > 0x10000
    texts = ["", letters, "a\ud800", letters[::-7]]
    for text, encoded in zip(texts, alphabet.encode(texts), strict=True):
        assert len(encoded.decode().replace(chr(MARK), "")) == len(text)
    assert len(set(alphabet.encode(list(letters[:1000])))) == 1000


def test_an_alphabet_comes_back_from_its_arrays():
    alphabet = Alphabet([(97, 98), (0x4E00, 0x4F00)], marked=True)
    again = Alphabet.from_arrays(**alphabet.arrays)
    texts = ["a 七b", "", "\n"]
    assert again.encode(texts) == alphabet.encode(texts)
    assert again.word_symbols == alphabet.word_symbols


@pytest.mark.parametrize("n", [0, 1, 500])
def test_many_sets_are_looked_at_in_blocks(n):
    wide = [(a, a + 300) for a in range(n)]
    alphabet = Alphabet(wide)
    # Each end of a set is where another stretch begins.
    assert len(alphabet.arrays["starts"]) >= n
    assert len(set(alphabet.encode([chr(300), chr(301)]))) == (1 if n < 2 else 2)
