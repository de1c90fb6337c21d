"""From the text form of a condition to the condition, without evaluating anything."""

from __future__ import annotations

import ast
import warnings
from typing import Any, NoReturn

from sklearn_memgen.rules.column import Column
from sklearn_memgen.rules.conditions import And, Condition, Or
from sklearn_memgen.rules.literals import MAX_DEPTH, MAX_TEXT, shorten

__all__ = ["parse_condition"]

_METHODS = ("matches", "contains", "isin", "between", "isna")
_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Lt: "__lt__",
    ast.LtE: "__le__",
    ast.Gt: "__gt__",
    ast.GtE: "__ge__",
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
}
_MIRRORED = {
    "__lt__": "__gt__",
    "__le__": "__ge__",
    "__gt__": "__lt__",
    "__ge__": "__le__",
}


def parse_condition(text: str) -> Condition:
    r"""Return the condition that a text says.

    The text is Python's syntax, read by :mod:`ast`, of which conditions alone are
    understood. Nothing is evaluated, so that texts may come from anyone.

    Parameters
    ----------
    text : str
        Such as ``title.matches("rings?") & (price < 50)``. Columns stand under their
        names, or, if these are no Python identifiers, as ``col("Unit price")``.

    Returns
    -------
    condition : Condition
        Its `to_text` gives the text again, up to spaces, quotes and parentheses.

    Raises
    ------
    TypeError
        If `text` is no string.
    ValueError
        If it says anything else, has more than 50,000 characters, or nests deeper than
        50.

    Examples
    --------
    >>> from sklearn_memgen.rules import parse_condition
    >>> condition = parse_condition(r'title.matches(r"\brings?\b") & ~(price < 50)')
    >>> sorted(condition.columns)
    ['price', 'title']
    >>> parse_condition(str(condition)) == condition
    True
    >>> parse_condition('__import__("os").system("ls")')
    Traceback (most recent call last):
    ...
    ValueError: not a condition: __import__("os").system("ls"). Known are
    col("name").matches, contains, isin, between and isna
    """
    if not isinstance(text, str):
        raise TypeError(f"the text of a condition must be a string; got {text!r}")
    if len(text) > MAX_TEXT:
        raise ValueError(
            f"a condition has at most {MAX_TEXT:,} characters; got {len(text):,}"
        )
    stripped = text.strip()
    if not stripped:
        raise ValueError("the condition is empty")
    try:
        with warnings.catch_warnings():
            # What Python merely warns of, such as "\d" in a string that is not raw.
            warnings.simplefilter("error")
            tree = ast.parse(stripped, mode="eval")
    except SyntaxError as error:
        _refuse_syntax(stripped, error)
    except (ValueError, Warning) as error:
        raise ValueError(f"not a condition: {shorten(stripped)}: {error}") from None
    except (RecursionError, MemoryError, OverflowError):
        raise ValueError(
            f"a condition nests at most {MAX_DEPTH} deep: {shorten(stripped)}"
        ) from None
    return _Reader(stripped).condition(tree.body, 0)


def _refuse_syntax(text: str, error: SyntaxError) -> NoReturn:
    message = str(error.msg)
    if "invalid escape sequence" in message:
        message += '; in a pattern write a raw string: r"..."'
    place = f" at character {error.offset}" if error.offset else ""
    raise ValueError(f"not a condition: {shorten(text)}: {message}{place}") from None


class _Reader:
    """Reads the syntax tree of a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refuse(self, node: ast.AST, hint: str) -> NoReturn:
        source = ast.get_source_segment(self.text, node) or self.text
        raise ValueError(f"not a condition: {shorten(source)}. {hint}")

    def condition(self, node: ast.expr, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise ValueError(
                f"a condition nests at most {MAX_DEPTH} deep: {shorten(self.text)}"
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            # `a & b & c` leans to the left, as deep as it is long.
            sign, nodes = type(node.op), []
            left: ast.expr = node
            while isinstance(left, ast.BinOp) and isinstance(left.op, sign):
                nodes.append(left.right)
                left = left.left
            nodes.append(left)
            terms = [self.condition(term, depth + 1) for term in reversed(nodes)]
            return (And if sign is ast.BitAnd else Or).of(*terms)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            return ~self.condition(node.operand, depth + 1)
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return self.call(node, node.func)
        if isinstance(node, ast.BoolOp) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            self.refuse(node, "Write &, | and ~ for and, or and not")
        self.refuse(node, "Known are comparisons and calls such as name.isna()")

    def comparison(self, node: ast.Compare) -> Condition:
        if len(node.ops) > 1:
            self.refuse(node, "Write name.between(low, high) for two comparisons")
        operands = [node.left, node.comparators[0]]
        if any(isinstance(o, ast.BinOp) for o in operands):
            self.refuse(node, "Put comparisons in parentheses: (a < 1) & (b == 2)")
        method = _SIGNS.get(type(node.ops[0]))
        if method is None:
            self.refuse(node, "Write name.isin([...]) or name.contains(...)")
        if _is_column(operands[1]) and not _is_column(operands[0]):
            operands.reverse()
            method = _MIRRORED.get(method, method)
        column, value = self.column(operands[0]), self.value(operands[1])
        return self.apply(node, column, method, [value])

    def call(self, node: ast.Call, function: ast.Attribute) -> Condition:
        if function.attr not in _METHODS:
            self.refuse(
                node, f'Known are col("name").{", ".join(_METHODS[:-1])} and isna'
            )
        named = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(node, "** is not known here")
            named[keyword.arg] = self.value(keyword.value)
        values = [self.value(argument) for argument in node.args]
        column = self.column(function.value)
        return self.apply(node, column, function.attr, values, named)

    def apply(
        self,
        node: ast.expr,
        column: Column,
        method: str,
        values: list[Any],
        named: dict[str, Any] | None = None,
    ) -> Condition:
        try:
            return getattr(column, method)(*values, **(named or {}))
        except TypeError as error:
            self.refuse(node, str(error).replace("Column.", ""))

    def column(self, node: ast.expr) -> Column:
        if isinstance(node, ast.Name) and node.id != "col":
            return Column(node.id)
        if _is_column(node) and isinstance(node, ast.Call):
            if len(node.args) == 1 and not node.keywords:
                name = self.value(node.args[0])
                if isinstance(name, str | int) and not isinstance(name, bool):
                    return Column(name)
            self.refuse(node, 'Write col("name")')
        self.refuse(node, 'A column is needed here: its name, or col("its name")')

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self.scalar(element) for element in node.elts]
        return self.scalar(node)

    def scalar(self, node: ast.expr) -> Any:
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -1 if isinstance(node.op, ast.USub) else 1
            node = node.operand
            if not isinstance(node, ast.Constant) or isinstance(node.value, bool | str):
                self.refuse(node, "A number is needed here")
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str | bool):
                return node.value
            if isinstance(node.value, int | float):
                return sign * node.value
        self.refuse(node, "A value is needed here: text in quotes, a number, a boolean")


def _is_column(node: ast.expr) -> bool:
    """Return whether a node is a name or a call of col."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "col"
    return isinstance(node, ast.Name)
