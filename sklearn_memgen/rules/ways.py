"""Ways through a pattern: what is known at a place, and what leads to the next."""

from __future__ import annotations

from typing import NamedTuple

from sklearn_memgen.rules.expressions import EMPTY, Forms, join, write_times

__all__ = [
    "State",
    "Ways",
    "add_ways",
    "close_ways",
    "follow_ways",
    "is_empty",
    "leave_out_empty",
]


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


#: What leads from one state to others.
Ways = dict[State, Forms]


def add_ways(ways: Ways, more: Ways) -> None:
    for state, forms in more.items():
        ways[state] = tuple(dict.fromkeys(ways.get(state, ()) + forms))


def follow_ways(ways: Ways, steps: dict[State, Ways]) -> Ways:
    """Return the ways that take one more step."""
    further: Ways = {}
    for state, forms in ways.items():
        for after, more in steps[state].items():
            add_ways(further, {after: join(forms, more)})
    return further


def close_ways(steps: dict[State, Ways]) -> dict[State, Ways]:
    """Return the ways of any number of steps, by Kleene's algorithm."""
    closed = {state: dict(leave_out_empty(state, to)) for state, to in steps.items()}
    for middle in steps:
        around = closed[middle].get(middle)
        loop = (write_times(around, 0, None),) if around else EMPTY
        onward = {
            after: join(loop, forms)
            for after, forms in closed[middle].items()
            if after != middle
        }
        for state, to in closed.items():
            into = to.get(middle)
            if state != middle and into:
                del to[middle]
                add_ways(to, {middle: join(into, loop)})
                for after, forms in onward.items():
                    add_ways(to, {after: join(into, forms)})
        if around:
            closed[middle] = {**onward, middle: (write_times(around, 1, None),)}
    for state, to in closed.items():
        add_ways(to, {state: EMPTY})
    return closed


def is_empty(state: State, ways: Ways) -> bool:
    """Return whether a way leads nowhere else, and needs nothing."""
    return "" in ways.get(state, ())


def leave_out_empty(state: State, ways: Ways) -> Ways:
    """Return the ways but for that one."""
    own = tuple(form for form in ways.get(state, ()) if form)
    others = {after: forms for after, forms in ways.items() if after != state}
    return {**others, state: own} if own else others
