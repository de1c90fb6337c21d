"""Values that conditions may hold, their kinds, and how they are written."""

from __future__ import annotations

import keyword
import math
import unicodedata
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = [
    "MAX_DEPTH",
    "MAX_TEXT",
    "check_value",
    "check_values",
    "kind_of",
    "shorten",
    "write_column",
    "write_value",
]

#: A condition nests no deeper, and its text form has no more characters.
MAX_DEPTH = 50
MAX_TEXT = 50_000

_LARGEST_INTEGER = 2**64
_EXACT_FLOAT = 2**53


def shorten(value: Any, width: int = 60) -> str:
    """Return a value as text of at most `width` characters, for messages."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # an integer of too many digits
        return "a huge number"
    return text if len(text) <= width else f"{text[: width - 3]}..."


def kind_of(value: Any) -> str:
    """Return the kind of a value that `check_value` returned.

    Parameters
    ----------
    value : str, int, float or bool
        The value.

    Returns
    -------
    kind : {"text", "numbers", "booleans"}
        What a column must hold to be compared with it.
    """
    if isinstance(value, bool):
        return "booleans"
    return "text" if isinstance(value, str) else "numbers"


def check_value(value: Any) -> str | int | float | bool:
    """Return a value as a plain string, number or boolean.

    Parameters
    ----------
    value : str, bool, int, float or NumPy scalar
        The value.

    Returns
    -------
    value : str, bool, int or float
        The same; floats that are whole, such as 50.0, as integers.

    Raises
    ------
    TypeError
        If it is of another type.
    ValueError
        If it is a number that is not finite, or an integer beyond 2 ** 64.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        integer = int(value)
        if abs(integer) >= _LARGEST_INTEGER:
            raise ValueError(f"numbers end at 2 ** 64; got {shorten(integer)}")
        return integer
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(
                f"numbers must be finite; got {number}. Use isna() for missing values"
            )
        whole = number.is_integer() and abs(number) < _EXACT_FLOAT
        return int(number) if whole else number
    raise TypeError(
        "a value must be text, a number or a boolean; got "
        f"{shorten(value)} of type {type(value).__name__}"
    )


def check_values(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return values of one kind, each once, in ascending order.

    Parameters
    ----------
    values : iterable of str, number or bool
        The values.

    Returns
    -------
    values : tuple
        As of `check_value`.

    Raises
    ------
    TypeError
        If it is a string, or no iterable, or a value is of another type.
    ValueError
        If there is none, or they are of several kinds.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"isin needs a list of values; got {shorten(values)}")
    checked = [check_value(value) for value in values]
    if not checked:
        raise ValueError("isin needs at least one value; got an empty list")
    kinds = {kind_of(value) for value in checked}
    if len(kinds) > 1:
        raise ValueError(
            f"isin needs values of one kind; got {' and '.join(sorted(kinds))}"
        )
    return tuple(sorted(set(checked)))


def write_value(value: Any) -> str:
    r"""Return a value as it is written in the text form of a condition.

    Parameters
    ----------
    value : str, number, bool or tuple of them
        The value.

    Returns
    -------
    text : str
        A Python literal. Text with backslashes is raw where that is possible.

    Examples
    --------
    >>> from sklearn_memgen.rules.literals import write_value
    >>> print(write_value(r"\brings?\b"), write_value((1, 2.5)), write_value("a"))
    r"\brings?\b" [1, 2.5] "a"
    """
    if isinstance(value, tuple):
        return f"[{', '.join(write_value(v) for v in value)}]"
    if not isinstance(value, str):
        return repr(value)
    if '"' in value:
        return repr(value)
    if "\\" in value and value.isprintable() and not value.endswith("\\"):
        return f'r"{value}"'
    return '"' + repr("'" + value)[2:]  # repr takes double quotes if it meets a single


def write_column(name: str | int) -> str:
    """Return the name of a column as it is written in the text form.

    Parameters
    ----------
    name : str or int
        The name.

    Returns
    -------
    text : str
        The bare name if it is a Python identifier, ``col(...)`` if not.

    Examples
    --------
    >>> from sklearn_memgen.rules.literals import write_column
    >>> print(write_column("price"), write_column("Unit price"), write_column(0))
    price col("Unit price") col(0)
    """
    if (
        isinstance(name, str)
        and name.isidentifier()
        and not keyword.iskeyword(name)
        and name != "col"
        # Python reads identifiers in this form, and would find another name.
        and unicodedata.normalize("NFKC", name) == name
    ):
        return name
    return f"col({write_value(name)})"
