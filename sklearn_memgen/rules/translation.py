r"""Patterns in the syntax of the engine, over the symbols of an alphabet.

The engine knows symbols only: no cases, no classes, no word boundaries, and anchors at
the two ends of a pattern only. Whatever Python's syntax says of a place between two
characters is kept as a :class:`State` until the next character, or the end, and becomes
a condition on that character and on the mark before it. So ``\bring\b`` is the literal
``<mark>ring<mark>``, and what is found is what :func:`re.search` finds.
"""

from __future__ import annotations

import re

from sklearn_memgen.rules.alphabet import Alphabet
from sklearn_memgen.rules.expressions import (
    EMPTY,
    MARK_FORM,
    MAX_LENGTH,
    MAX_TOTAL,
    Forms,
    join,
    write_symbol,
    write_times,
)
from sklearn_memgen.rules.pattern_parts import find_anchors
from sklearn_memgen.rules.pattern_tree import (
    N_CHARACTERS,
    NEWLINE,
    Anchor,
    Chars,
    Choice,
    Node,
    Repeat,
)
from sklearn_memgen.rules.ways import (
    State,
    Ways,
    add_ways,
    close_ways,
    follow_ways,
    is_empty,
    leave_out_empty,
)

__all__ = ["Translator"]

#: Repeats that end in several states are written out, if there are no more of them.
_MAX_WRITTEN_OUT = 20

#: Before Python 3.14 the empty text has no place that is no boundary.
_EMPTY_TEXT_IS_INSIDE = re.search(r"\B", "") is not None

_ENDS = ("", "line end", "end or last newline", "end")


class Translator:
    r"""Writes patterns as the engine is to look for them.

    Parameters
    ----------
    alphabet : Alphabet
        Made of the sets of all patterns; with marks if one of them has boundaries.
    newlines : bool, default=True
        Whether there may be newlines in the texts.

    Examples
    --------
    >>> from sklearn_memgen.rules.alphabet import Alphabet
    >>> from sklearn_memgen.rules.pattern_parts import find_sets
    >>> from sklearn_memgen.rules.pattern_tree import parse_pattern
    >>> from sklearn_memgen.rules.translation import Translator
    >>> tree = parse_pattern(r"\ba[0-9]*\b")
    >>> Translator(Alphabet(find_sets(tree), marked=True)).translate(tree)
    ['\\x80a0*\\x80']
    """

    def __init__(self, alphabet: Alphabet, *, newlines: bool = True) -> None:
        self.alphabet = alphabet
        self.words = alphabet.word_symbols
        self.all_symbols = alphabet.find_symbols((0, N_CHARACTERS))
        self.newline = alphabet.find_symbols(NEWLINE)
        if not newlines:
            self.all_symbols &= ~self.newline
            self.newline = 0
        self.no_mark = f"[^{MARK_FORM}]"
        self.written: dict[int, str] = {}
        self.taken: dict[tuple[int, State, bool], Ways] = {}

    def translate(self, node: Node) -> list[str]:
        """Return what the engine is to look for in texts written in the alphabet.

        Parameters
        ----------
        node : Chars, Sequence, Choice, Repeat or Anchor
            The pattern.

        Returns
        -------
        expressions : list of str
            It is found if any of them is; none if it can never be found.

        Raises
        ------
        ValueError
            If it cannot be said in the syntax of the engine, or is too long there.
        """
        anchors = set(find_anchors(node))
        if len({a.ascii for a in anchors if "boundary" in a.kind}) > 1:
            raise ValueError("it has boundaries of words of ASCII only, and of others")
        kinds = {anchor.kind for anchor in anchors}
        self.follows_lines = "line start" in kinds
        self.has_insides = "no boundary" in kinds
        self.known: dict[tuple[int, State], Ways] = {}
        forms: dict[str, None] = {}
        for state, found in self.find(node, State()).items():
            forms.update(dict.fromkeys(join(found, self.finish(state))))
        expressions = list(forms)
        if sum(map(len, expressions)) > MAX_TOTAL or any(
            len(each) > 3 * MAX_LENGTH for each in expressions
        ):
            raise ValueError("it is too long; split it into several conditions")
        together = "|".join(expressions)
        short = expressions and len(together) <= MAX_LENGTH
        return [together] if short else expressions

    # From a state to states

    def find(self, node: Node, state: State) -> Ways:
        """Return the ways through a part of the pattern, by the states they lead to."""
        key = id(node), state
        if key not in self.known:
            self.known[key] = self.find_anew(node, state)
        return self.known[key]

    def find_anew(self, node: Node, state: State) -> Ways:
        if isinstance(node, Chars):
            symbols = self.alphabet.find_symbols(node.characters) & self.all_symbols
            return self.take(symbols, state)
        if isinstance(node, Anchor):
            return self.anchor(node.kind, state)
        if isinstance(node, Repeat):
            return self.repeat(node, state)
        if isinstance(node, Choice):
            ways: Ways = {}
            for part in node.parts:
                add_ways(ways, self.find(part, state))
            return ways
        ways = {state: EMPTY}
        for part in node.parts:
            ways = self.follow(ways, part)
        return ways

    def follow(self, ways: Ways, part: Node) -> Ways:
        """Return the ways that go on through a further part."""
        further: Ways = {}
        for state, forms in ways.items():
            for after, more in self.find(part, state).items():
                add_ways(further, {after: join(forms, more)})
        return further

    def take(self, symbols: int, state: State) -> Ways:
        """Return the way of one character."""
        key = symbols, state, self.follows_lines
        if key not in self.taken:
            self.taken[key] = self.take_anew(symbols, state)
        return self.taken[key]

    def take_anew(self, symbols: int, state: State) -> Ways:
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
        one, mark = self.write_symbols(symbols), MARK_FORM
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

    def anchor(self, kind: str, state: State) -> Ways:
        """Return the ways that stay at a place of a kind."""
        if kind in ("boundary", "no boundary"):
            wanted = kind == "boundary"
            if state.boundary is not None and state.boundary != wanted:
                return {}
            return {state._replace(boundary=wanted): EMPTY}
        if kind in _ENDS:
            end = max(kind, state.end, key=_ENDS.index)
            return {state._replace(end=end): EMPTY}
        if state.before == "start":
            return {state: EMPTY}
        ways: Ways = {}
        if state.before == "anything":
            ways[state._replace(before="start")] = ("^",)
        if kind == "line start":
            if state.before == "anything" and self.newline:
                before = "other" if self.alphabet.marked else "unknown"
                after = state._replace(before=before, newline=True)
                ways[after] = (self.write_symbols(self.newline),)
            elif state.before != "anything" and state.newline is None:
                raise ValueError(
                    "it has a ^ after what may or may not be the end of a line"
                )
            elif state.newline:
                ways[state] = EMPTY
        return ways

    # Repeats

    def repeat(self, node: Repeat, state: State) -> Ways:
        """Return the ways through a repeated part."""
        part, low, high = node.part, node.low, node.high
        if state == State():
            # A search may begin anywhere, and so after what could be left out.
            high = low
        if high == 0:
            return {state: EMPTY}
        gap = self.find_gap(part, low, high, state)
        if gap is not None:
            return gap
        for weaken in (False, True):
            steps = self.find_steps(part, state, weaken)
            first = leave_out_empty(state, steps[state])
            after = next(iter(first), state)
            again = leave_out_empty(after, steps[after])
            if set(first) <= {after} and set(again) <= {after}:
                break
        else:
            return self.repeat_slowly(steps, low, high, state)
        # A part that may be empty is empty as often as it has to be.
        if is_empty(state, steps[state]):
            low = 0
        ways: Ways = {state: EMPTY} if low == 0 else {}
        least = 0 if is_empty(after, steps[after]) else max(low - 1, 0)
        most = None if high is None else high - 1
        if after == state and first:
            times = write_times(first[after], max(low, 1), high)
            add_ways(ways, {after: (times,)})
        elif again:
            more = (write_times(again[after], least, most),)
            add_ways(ways, {a: join(forms, more) for a, forms in first.items()})
        elif least == 0:
            add_ways(ways, first)
        return ways

    def find_gap(
        self, part: Node, low: int, high: int | None, state: State
    ) -> Ways | None:
        """Return the ways through ``.*`` or ``.+``, over all symbols and marks."""
        if not isinstance(part, Chars) or high is not None or low > 1:
            return None
        symbols = self.alphabet.find_symbols(part.characters) & self.all_symbols
        skipped = self.all_symbols & ~symbols
        if skipped not in (0, self.newline) or self.has_insides or state.end:
            return None
        # It may end with a mark: what comes next then has none before it, which is
        # right, and if it needs one, the gap that ends before the mark is found.
        gap = f"[^{self.write_symbols(skipped)}]*" if skipped else ".*"
        inside = state.before not in ("anything", "start") and not self.follows_lines
        if low == 0 and inside and state.boundary is None:
            return {state._replace(before="gap"): (gap,)}
        if low == 0 and inside and state.boundary:
            # Without a gap the same mark may serve what comes next.
            return {state: EMPTY, State("gap"): (MARK_FORM + gap,)}
        ways: Ways = {state: EMPTY} if low == 0 else {}
        for after, forms in self.take(symbols, state).items():
            add_ways(ways, {after._replace(before="gap"): join(forms, (gap,))})
        return ways

    def find_steps(self, part: Node, state: State, weaken: bool) -> dict[State, Ways]:
        """Return the ways through a part from a state, and from where they lead.

        If there are many, it helps to forget what was before.
        """
        steps: dict[State, Ways] = {}
        waiting = [state]
        while waiting:
            each = waiting.pop()
            if each in steps:
                continue
            steps[each] = {}
            for after, forms in self.find(part, each).items():
                if weaken and after != each and after.before in ("word", "other"):
                    after = after._replace(before="unknown")
                add_ways(steps[each], {after: forms})
                waiting.append(after)
        return steps

    def repeat_slowly(
        self, steps: dict[State, Ways], low: int, high: int | None, state: State
    ) -> Ways:
        """Return the ways through a part that ends in more than one state."""
        if max(low, high or 0) > _MAX_WRITTEN_OUT:
            raise ValueError(
                f"it repeats more than {_MAX_WRITTEN_OUT} times what may end at a "
                "boundary"
            )
        at: Ways = {state: EMPTY}
        ways: Ways = {}
        for count in range(max(low, high or 0) + 1):
            if count >= low:
                add_ways(ways, at)
            if count < max(low, high or 0):
                at = follow_ways(at, steps)
        return ways if high is not None else follow_ways(ways, close_ways(steps))

    # The end, and how symbols are written

    def finish(self, state: State) -> Forms:
        """Return what the text must go on with where the pattern ends."""
        if state.end in ("line end", "end or last newline"):
            ways = {state._replace(end="end"): EMPTY}
            add_ways(ways, self.take(self.newline, state))
            forms: dict[str, None] = {}
            for after, found in ways.items():
                forms.update(dict.fromkeys(join(found, self.finish(after))))
            return tuple(forms)
        end = r"\z" if state.end else ""
        if not self.alphabet.marked:
            return (end,)
        mark, no_mark = MARK_FORM, self.no_mark
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
                write_symbol(a) + (f"-{write_symbol(b)}" if b > a else "")
                for a, b in runs
            )
            single = symbols & (symbols - 1) == 0
            self.written[symbols] = text if single else f"[{text}]"
        return self.written[symbols]
