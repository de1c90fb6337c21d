"""What there is in the tree of a pattern."""

from __future__ import annotations

from collections.abc import Iterable

from sklearn_memgen.rules.pattern_tree import (
    Anchor,
    Chars,
    CharSet,
    Choice,
    Node,
    Repeat,
    Sequence,
)

__all__ = ["find_anchors", "find_sets", "has_boundaries"]


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


def find_anchors(node: Node) -> Iterable[Anchor]:
    """Return an iterator over the anchors in a pattern.

    Parameters
    ----------
    node : Chars, Sequence, Choice, Repeat or Anchor
        The pattern.

    Yields
    ------
    anchor : Anchor
        Some are equal.
    """
    if isinstance(node, Anchor):
        yield node
    elif isinstance(node, Repeat):
        yield from find_anchors(node.part)
    elif isinstance(node, Sequence | Choice):
        for part in node.parts:
            yield from find_anchors(part)
