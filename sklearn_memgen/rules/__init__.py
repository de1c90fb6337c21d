"""Rules that people write: conditions on the rows of a table, and classes."""

from sklearn_memgen.rules.column import Column, col
from sklearn_memgen.rules.conditions import Condition, FunctionCondition
from sklearn_memgen.rules.parsing import parse_condition
from sklearn_memgen.rules.rule import Rule
from sklearn_memgen.rules.ruleset import RuleSet

__all__ = [
    "Column",
    "Condition",
    "FunctionCondition",
    "Rule",
    "RuleSet",
    "col",
    "parse_condition",
]
