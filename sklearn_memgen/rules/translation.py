r"""Patterns in the syntax of the engine, over the symbols of an alphabet.

The engine knows symbols only: no cases, no classes, no word boundaries, and anchors at
the two ends of a pattern only. Whatever Python's syntax says of a place between two
characters is kept as a :class:`State` until the next character, or the end, and becomes
a condition on that character and on the mark before it. So ``\bring\b`` is the literal
``<mark>ring<mark>``, and what is found is what :func:`re.search` finds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sklearn_memgen.rules.alphabet import MARK, Alphabet
from sklearn_memgen.rules.pattern_tree import (
    NEWLINE,
    Anchor,
    Chars,
    CharSet,
    Choice,
    Node,
    Repeat,
    Sequence,
)

__all__ = ["find_sets", "has_boundaries", "translate"]

#: The engine takes expressions of 16,000 characters; more is written as several.
_MAX_LENGTH = 4_000
_MAX_TOTAL = 500_000
#: Repeats that end in several states are written out, if there are no more of them.
_MAX_WRITTEN_OUT = 20

#: Regular expressions of which one is to be found.
_Forms = tuple[str, ...]
_EMPTY: _Forms = ("",)

_MARK = f"\\x{MARK:x}"

#: Before Python 3.14 the empty text has no place that is no boundary.
_EMPTY_TEXT_IS_INSIDE = re.search(r"\B", "") is not None

#: An expression that can be repeated as it stands.
_SINGLE = re.compile(
    r"\\x(?:[0-9a-f]{2}|\{[0-9a-f]+\})|\[[^\]]*\]|[\w .]|\(\?:[^()]*\)"
)

_ENDS = ("", "line end", "end or last newline", "end")


class State(NamedTuple):
    """What is known at a place in a pattern.

    Attributes
    ----------
    before : {"anything", "start", "word", "other", "unknown", "gap"}
        What is before: "anything", as nothing has been found yet; the start of the
        text; a character of a word, or another one; either of them; or a gap, which
        takes the mark in which it may end.
    newline : bool or None
        Whether the character before is a newline; None if it may be.
    boundary : bool or None
        Whether a word must begin or end here; None if that does not matter.
    end : {"", "line end", "end or last newline", "end"}
        What the rest of the text must be.
    """

    before: str = "anything"
    newline: bool | None = None
    boundary: bool | None = None
    end: str = ""


_Ways = dict[State, _Forms]


def find_sets(node: Node) -> Iterable[CharSet]:
    """Return an iterator over the sets of characters in a pattern.

    Parameters
    ----------
    node : Chars, Sequence, Choice, Repeat or Anchor
        The pattern.

    Yields
    ------
    characters : tuple of int
        A set; some come several times.
    """
    if isinstance(node, Chars):
        yield node.characters
    elif isinstance(node, Repeat):
        yield from find_sets(node.part)
    elif isinstance(node, Sequence | Choice):
        for part in node.parts:
            yield from find_sets(part)
    else:
        yield NEWLINE


def has_boundaries(node: Node, *, ascii: bool) -> bool:
    r"""Return whether there is a ``\b`` or ``\B`` in a pattern.

    Parameters
    ----------
    node : Chars, Sequence, Choice, Repeat or Anchor
        The pattern.
    ascii : bool
        Whether of words of ASCII characters only, or of others.

    Returns
    -------
    has_boundaries : bool
        True if there is one.
    """
    if isinstance(node, Anchor):
        return "boundary" in node.kind and node.ascii == ascii
    if isinstance(node, Repeat):
        return has_boundaries(node.part, ascii=ascii)
    parts = node.parts if isinstance(node, Sequence | Choice) else ()
    return any(has_boundaries(part, ascii=ascii) for part in parts)


def translate(node: Node, alphabet: Alphabet) -> list[str]:
    r"""Return what the engine is to look for in texts written in an alphabet.

    Parameters
    ----------
    node : Chars, Sequence, Choice, Repeat or Anchor
        The pattern.
    alphabet : Alphabet
        Made of its sets, and of others; with marks if it has boundaries.

    Returns
    -------
    expressions : list of str
        It is found if any of them is; none if it can never be found.

    Raises
    ------
    ValueError
        If it cannot be said in the syntax of the engine, or is too long there.

    Examples
    --------
    >>> from sklearn_memgen.rules.alphabet import Alphabet
    >>> from sklearn_memgen.rules.pattern_tree import parse_pattern
    >>> from sklearn_memgen.rules.translation import find_sets, translate
    >>> tree = parse_pattern(r"\ba[0-9]*\b")
    >>> alphabet = Alphabet(find_sets(tree), marked=True)
    >>> translate(tree, alphabet)
    ['\\x80a0*\\x80']
    """
    if has_boundaries(node, ascii=True) and has_boundaries(node, ascii=False):
        raise ValueError(r"it has boundaries of words of ASCII only, and others")
    return _Translator(node, alphabet).write()


class _Translator:
    """Translates one pattern."""

    def __init__(self, node: Node, alphabet: Alphabet) -> None:
        self.node = node
        self.alphabet = alphabet
        self.words = alphabet.word_symbols
        everything = (0, 0x110000)
        self.all_symbols = alphabet.find_symbols(everything)
        self.newline = alphabet.find_symbols(NEWLINE)
        kinds = {anchor.kind for anchor in _find_anchors(node)}
        self.follows_lines = "line start" in kinds
        self.has_insides = "no boundary" in kinds
        self.written: dict[int, str] = {}
        self.mark = _MARK
        self.no_mark = f"[^{self.mark}]"
        self.known: dict[tuple[int, State], _Ways] = {}

    def write(self) -> list[str]:
        forms: dict[str, None] = {}
        for state, found in self.find(self.node, State()).items():
            forms.update(dict.fromkeys(_join(found, self.finish(state))))
        expressions = list(forms)
        if sum(map(len, expressions)) > _MAX_TOTAL or any(
            len(each) > 3 * _MAX_LENGTH for each in expressions
        ):
            raise ValueError("it is too long; split it into several conditions")
        together = "|".join(expressions)
        short = expressions and len(together) <= _MAX_LENGTH
        return [together] if short else expressions

    # From a state to states

    def find(self, node: Node, state: State) -> _Ways:
        """Return the ways through a part of the pattern, by the states they lead to."""
        key = id(node), state
        if key not in self.known:
            self.known[key] = self.find_anew(node, state)
        return self.known[key]

    def find_anew(self, node: Node, state: State) -> _Ways:
        if isinstance(node, Chars):
            return self.take(self.alphabet.find_symbols(node.characters), state)
        if isinstance(node, Anchor):
            return self.anchor(node.kind, state)
        if isinstance(node, Repeat):
            return self.repeat(node, state)
        if isinstance(node, Choice):
            ways: _Ways = {}
            for part in node.parts:
                _add(ways, self.find(part, state))
            return ways
        ways = {state: _EMPTY}
        for part in node.parts:
            ways = self.follow(ways, part)
        return ways

    def follow(self, ways: _Ways, part: Node) -> _Ways:
        """Return the ways that go on through a further part."""
        further: _Ways = {}
        for state, forms in ways.items():
            for after, more in self.find(part, state).items():
                _add(further, {after: _join(forms, more)})
        return further

    def take(self, symbols: int, state: State) -> _Ways:
        """Return the way of one character."""
        if state.end == "end":
            return {}
        if state.end:
            symbols &= self.newline
        form = self.write_character(symbols, state)
        if form is None:
            return {}
        if state.boundary is not None and state.before in ("word", "other", "start"):
            inside = state.before == "word"
            symbols &= self.words if inside != state.boundary else ~self.words
        before = "unknown"
        if self.alphabet.marked:
            if not symbols & self.words:
                before = "other"
            elif not symbols & ~self.words:
                before = "word"
        newline = None
        if self.follows_lines and symbols & self.newline in (0, symbols):
            newline = symbols == self.newline
        end = "end" if state.end == "end or last newline" else ""
        return {State(before, newline, None, end): (form,)}

    def write_character(self, symbols: int, state: State) -> str | None:
        """Return one of some symbols with the mark before it; None if there is none."""
        if not symbols:
            return None
        one, mark = self.write_symbols(symbols), self.mark
        if not self.alphabet.marked:
            return one
        if state.before == "anything" and state.boundary is False:
            return f"(?:^|{self.no_mark}){one}"
        if state.before in ("anything", "gap") and state.boundary is None:
            return one
        if state.before in ("anything", "gap", "unknown"):
            return {None: f"{mark}?{one}", True: mark + one, False: one}[state.boundary]
        inside = symbols & (self.words if state.before == "word" else ~self.words)
        across = symbols & ~inside
        if state.boundary is None and inside and across:
            return f"{mark}?{one}"
        if state.boundary is not False and across:
            return mark + self.write_symbols(across)
        if state.boundary is not True and inside:
            return self.write_symbols(inside)
        return None

    def anchor(self, kind: str, state: State) -> _Ways:
        """Return the ways that stay at a place of a kind."""
        if kind in ("boundary", "no boundary"):
            wanted = kind == "boundary"
            if state.boundary is not None and state.boundary != wanted:
                return {}
            return {state._replace(boundary=wanted): _EMPTY}
        if kind in _ENDS:
            end = max(kind, state.end, key=_ENDS.index)
            return {state._replace(end=end): _EMPTY}
        if state.before == "start":
            return {state: _EMPTY}
        ways: _Ways = {}
        if state.before == "anything":
            ways[state._replace(before="start")] = ("^",)
        if kind == "line start":
            if state.before == "anything":
                before = "other" if self.alphabet.marked else "unknown"
                after = state._replace(before=before, newline=True)
                ways[after] = (self.write_symbols(self.newline),)
            elif state.newline is None:
                raise ValueError(
                    "it has a ^ after what may or may not be the end of a line"
                )
            elif state.newline:
                ways[state] = _EMPTY
        return ways

    # Repeats

    def repeat(self, node: Repeat, state: State) -> _Ways:
        """Return the ways through a repeated part."""
        part, low, high = node.part, node.low, node.high
        if state == State():
            # A search may begin anywhere, and so after what could be left out.
            high = low
        if high == 0:
            return {state: _EMPTY}
        gap = self.find_gap(part, low, high, state)
        if gap is not None:
            return gap
        for weaken in (False, True):
            steps = self.find_steps(part, state, weaken)
            first = _leave_out_empty(state, steps[state])
            after = next(iter(first), state)
            again = _leave_out_empty(after, steps[after])
            if set(first) <= {after} and set(again) <= {after}:
                break
        else:
            return self.repeat_slowly(steps, low, high, state)
        # A part that may be empty is empty as often as it has to be.
        if _is_empty(state, steps[state]):
            low = 0
        ways: _Ways = {state: _EMPTY} if low == 0 else {}
        least = 0 if _is_empty(after, steps[after]) else max(low - 1, 0)
        most = None if high is None else high - 1
        if after == state and first:
            times = _write_times(first[after], max(low, 1), high)
            _add(ways, {after: (times,)})
        elif again:
            more = (_write_times(again[after], least, most),)
            _add(ways, {a: _join(forms, more) for a, forms in first.items()})
        elif least == 0:
            _add(ways, first)
        return ways

    def find_gap(
        self, part: Node, low: int, high: int | None, state: State
    ) -> _Ways | None:
        """Return the ways through ``.*`` or ``.+``, over all symbols and marks."""
        if not isinstance(part, Chars) or high is not None or low > 1:
            return None
        symbols = self.alphabet.find_symbols(part.characters)
        skipped = self.all_symbols & ~symbols
        if skipped not in (0, self.newline) or self.has_insides or state.end:
            return None
        # It may end with a mark: what comes next then has none before it, which is
        # right, and if it needs one, the gap that ends before the mark is found.
        gap = f"[^{self.write_symbols(skipped)}]*" if skipped else ".*"
        inside = state.before not in ("anything", "start") and not self.follows_lines
        if low == 0 and inside and state.boundary is None:
            return {state._replace(before="gap"): (gap,)}
        ways: _Ways = {state: _EMPTY} if low == 0 else {}
        for after, forms in self.take(symbols, state).items():
            _add(ways, {after._replace(before="gap"): _join(forms, (gap,))})
        return ways

    def find_steps(self, part: Node, state: State, weaken: bool) -> dict[State, _Ways]:
        """Return the ways through a part from a state, and from where they lead.

        If there are many, it helps to forget what was before.
        """
        steps: dict[State, _Ways] = {}
        waiting = [state]
        while waiting:
            each = waiting.pop()
            if each in steps:
                continue
            steps[each] = {}
            for after, forms in self.find(part, each).items():
                if weaken and after != each and after.before in ("word", "other"):
                    after = after._replace(before="unknown")
                _add(steps[each], {after: forms})
                waiting.append(after)
        return steps

    def repeat_slowly(
        self, steps: dict[State, _Ways], low: int, high: int | None, state: State
    ) -> _Ways:
        """Return the ways through a part that ends in more than one state."""
        if max(low, high or 0) > _MAX_WRITTEN_OUT:
            raise ValueError(
                f"it repeats more than {_MAX_WRITTEN_OUT} times what may end at a "
                "boundary"
            )
        at: _Ways = {state: _EMPTY}
        ways: _Ways = {}
        for count in range(max(low, high or 0) + 1):
            if count >= low:
                _add(ways, at)
            if count < max(low, high or 0):
                at = _follow(at, steps)
        return ways if high is not None else _follow(ways, _close(steps))

    # The end, and how symbols are written

    def finish(self, state: State) -> _Forms:
        """Return what the text must go on with where the pattern ends."""
        if state.end in ("line end", "end or last newline"):
            ways = {state._replace(end="end"): _EMPTY}
            _add(ways, self.take(self.newline, state))
            forms: dict[str, None] = {}
            for after, found in ways.items():
                forms.update(dict.fromkeys(_join(found, self.finish(after))))
            return tuple(forms)
        end = r"\z" if state.end else ""
        if not self.alphabet.marked:
            return (end,)
        mark, no_mark = self.mark, self.no_mark
        if state.boundary is None:
            if not end or state.before in ("other", "start", "gap"):
                return (end,)
            return (mark + end,) if state.before == "word" else (f"{mark}?{end}",)
        if state.boundary:
            at_end = end and state.before in ("other", "start")
            return () if at_end else (mark + end,)
        if state.before in ("other", "unknown"):
            return (end,) if end else (f"(?:{no_mark}|\\z)",)
        if state.before == "word":
            return () if end else (no_mark,)
        # Nothing has been found yet, not even that the text is not empty.
        empty = (r"\z",) if _EMPTY_TEXT_IS_INSIDE else ()
        if state.before == "start":
            return empty if end else (no_mark, *empty)
        forms_at_end = (f"{no_mark}\\z", *(f"^{form}" for form in empty))
        if end:
            return forms_at_end
        return (f"^{no_mark}", no_mark * 2, *forms_at_end)

    def write_symbols(self, symbols: int) -> str:
        """Return the expression for one of some symbols."""
        if symbols == self.all_symbols:
            return self.no_mark if self.alphabet.marked else "."
        if symbols not in self.written:
            runs = [
                (match.start(), match.end() - 1)
                for match in re.finditer("1+", bin(symbols)[:1:-1])
            ]
            text = "".join(
                _write_symbol(a) + (f"-{_write_symbol(b)}" if b > a else "")
                for a, b in runs
            )
            single = symbols & (symbols - 1) == 0
            self.written[symbols] = text if single else f"[{text}]"
        return self.written[symbols]


def _find_anchors(node: Node) -> Iterable[Anchor]:
    if isinstance(node, Anchor):
        yield node
    elif isinstance(node, Repeat):
        yield from _find_anchors(node.part)
    elif isinstance(node, Sequence | Choice):
        for part in node.parts:
            yield from _find_anchors(part)


# Ways


def _add(ways: _Ways, more: _Ways) -> None:
    for state, forms in more.items():
        ways[state] = tuple(dict.fromkeys(ways.get(state, ()) + forms))


def _follow(ways: _Ways, steps: dict[State, _Ways]) -> _Ways:
    """Return the ways that take one more step."""
    further: _Ways = {}
    for state, forms in ways.items():
        for after, more in steps[state].items():
            _add(further, {after: _join(forms, more)})
    return further


def _close(steps: dict[State, _Ways]) -> dict[State, _Ways]:
    """Return the ways of any number of steps, by Kleene's algorithm."""
    closed = {state: dict(_leave_out_empty(state, to)) for state, to in steps.items()}
    for middle in steps:
        around = closed[middle].get(middle)
        loop = (_write_times(around, 0, None),) if around else _EMPTY
        onward = {
            after: _join(loop, forms)
            for after, forms in closed[middle].items()
            if after != middle
        }
        for state, to in closed.items():
            into = to.get(middle)
            if state != middle and into:
                del to[middle]
                _add(to, {middle: _join(into, loop)})
                for after, forms in onward.items():
                    _add(to, {after: _join(into, forms)})
        if around:
            closed[middle] = {**onward, middle: (_write_times(around, 1, None),)}
    for state, to in closed.items():
        _add(to, {state: _EMPTY})
    return closed


def _is_empty(state: State, ways: _Ways) -> bool:
    """Return whether a way leads nowhere else, and needs nothing."""
    return "" in ways.get(state, ())


def _leave_out_empty(state: State, ways: _Ways) -> _Ways:
    """Return the ways but for that one."""
    own = tuple(form for form in ways.get(state, ()) if form)
    others = {after: forms for after, forms in ways.items() if after != state}
    return {**others, state: own} if own else others


# Expressions


def _join(one: _Forms, two: _Forms) -> _Forms:
    """Return the forms that begin with one of some and end with one of others."""
    if one == _EMPTY:
        return two
    if two == _EMPTY:
        return one
    if not one or not two:
        return ()
    left, right = _group(one), _group(two)
    if max(len(left), len(right)) <= _MAX_LENGTH:
        return (left + right,)
    # Long ones are written out, to be parted later.
    total = sum(map(len, one)) * len(two) + sum(map(len, two)) * len(one)
    if total > _MAX_TOTAL:
        raise ValueError("it is too long; split it into several conditions")
    return tuple(a + b for a in one for b in two)


def _group(forms: _Forms) -> str:
    """Return an expression for any of some forms."""
    if len(forms) == 1:
        return forms[0]
    if "" not in forms and all(map(_begins_with_mark, forms)):
        # What all have in common is easier to find.
        return _MARK + _group(tuple(form[len(_MARK) :] for form in forms))
    some = "|".join(form for form in forms if form)
    if "" not in forms:
        return f"(?:{some})"
    if _SINGLE.fullmatch(some):
        return f"{some}?"
    if some[-1] == "+" and _SINGLE.fullmatch(some[:-1]):
        return f"{some[:-1]}*"
    return f"(?:{some})?"


def _begins_with_mark(form: str) -> bool:
    return form.startswith(_MARK) and form[len(_MARK) : len(_MARK) + 1] not in "?*+{"


def _write_times(forms: _Forms, low: int, high: int | None) -> str:
    """Return an expression for so many of some forms."""
    group = _group(forms)
    if high == 0:
        return ""
    if (low, high) == (1, 1):
        return group
    if not _SINGLE.fullmatch(group):
        group = f"(?:{group})"
    times = {(0, 1): "?", (0, None): "*", (1, None): "+"}.get((low, high))
    if times is None:
        last = "" if high is None else high
        times = f"{{{low}}}" if low == high else f"{{{low},{last}}}"
    return group + times


def _write_symbol(symbol: int) -> str:
    character = chr(symbol)
    if character.isascii() and (character.isalnum() or character == " "):
        return character
    return f"\\x{symbol:02x}" if symbol < 256 else f"\\x{{{symbol:x}}}"
