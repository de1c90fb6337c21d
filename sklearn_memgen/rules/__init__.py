"""Rules that people write: conditions on the rows of a table, and classes."""

from sklearn_memgen.rules.column import Column, col
from sklearn_memgen.rules.conditions import Condition, FunctionCondition
from sklearn_memgen.rules.label_model import LabelModel, fit_label_model
from sklearn_memgen.rules.mining import suggest_rules
from sklearn_memgen.rules.parsing import parse_condition
from sklearn_memgen.rules.reviewing import (
    PrecisionEstimate,
    estimate_precision,
    review_sample,
)
from sklearn_memgen.rules.rule import Rule
from sklearn_memgen.rules.ruleset import RuleSet
from sklearn_memgen.rules.suggestions import RuleSuggestions
from sklearn_memgen.rules.synonyms import PatternExpansion, expand_pattern

__all__ = [
    "Column",
    "Condition",
    "FunctionCondition",
    "LabelModel",
    "PatternExpansion",
    "PrecisionEstimate",
    "Rule",
    "RuleSet",
    "RuleSuggestions",
    "col",
    "estimate_precision",
    "expand_pattern",
    "fit_label_model",
    "parse_condition",
    "review_sample",
    "suggest_rules",
]
