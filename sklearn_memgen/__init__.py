"""Scikit-learn estimators that say what a model memorizes and what it generalizes."""

from sklearn_memgen._class_display import ClassCurveDisplay, rows_needed
from sklearn_memgen._few_shot_display import FewShotCurveDisplay, compare_shots
from sklearn_memgen._lottery_displays import LotteryDisplay, TicketInputsDisplay
from sklearn_memgen._noise_displays import NoiseCurvesDisplay
from sklearn_memgen._shot_split import ShotSplit
from sklearn_memgen.base import NetClassifier
from sklearn_memgen.compaction import compact
from sklearn_memgen.entities import entity_f1_score, entity_scores, find_entities
from sklearn_memgen.explanation import ExplanationDisplay
from sklearn_memgen.exporting import export_onnx
from sklearn_memgen.few_shot import few_shot_curve
from sklearn_memgen.guided_transfer import GuidedTransferClassifier
from sklearn_memgen.inspection.dynamics_display import DataMapDisplay, ForgettingDisplay
from sklearn_memgen.lottery import LotteryPrunedNet
from sklearn_memgen.model_comparison import compare_predictions
from sklearn_memgen.model_selection import PopulationSearchCV
from sklearn_memgen.noise_probe import NoisyFineTuneProbe
from sklearn_memgen.rule_augmented import RuleAugmentedClassifier
from sklearn_memgen.rules import Rule, RuleSet, col
from sklearn_memgen.source_net import SourceNet
from sklearn_memgen.text_classifier import TextClassifier
from sklearn_memgen.token_classifier import TokenClassifier
from sklearn_memgen.training import Ticket
from sklearn_memgen.wide_deep import WideDeepClassifier
from sklearn_memgen.wide_deep_regressor import WideDeepRegressor

__all__ = [
    "ClassCurveDisplay",
    "DataMapDisplay",
    "ExplanationDisplay",
    "FewShotCurveDisplay",
    "ForgettingDisplay",
    "GuidedTransferClassifier",
    "LotteryDisplay",
    "LotteryPrunedNet",
    "NetClassifier",
    "NoiseCurvesDisplay",
    "NoisyFineTuneProbe",
    "PopulationSearchCV",
    "Rule",
    "RuleAugmentedClassifier",
    "RuleSet",
    "ShotSplit",
    "SourceNet",
    "TextClassifier",
    "Ticket",
    "TicketInputsDisplay",
    "TokenClassifier",
    "WideDeepClassifier",
    "WideDeepRegressor",
    "__version__",
    "col",
    "compact",
    "compare_predictions",
    "compare_shots",
    "entity_f1_score",
    "entity_scores",
    "export_onnx",
    "few_shot_curve",
    "find_entities",
    "rows_needed",
]

__version__ = "0.1.0.dev0"
