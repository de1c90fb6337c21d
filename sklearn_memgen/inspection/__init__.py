"""What deep nets leave open, made measurable for a model and a table."""

from sklearn_memgen.inspection.area_under_margin import AreaUnderMargin, aum
from sklearn_memgen.inspection.batch_norm import BatchNormStudy, batch_norm_study
from sklearn_memgen.inspection.batch_norm_display import BatchNormStudyDisplay
from sklearn_memgen.inspection.capacity import CapacityCurve, capacity_curve
from sklearn_memgen.inspection.capacity_display import CapacityCurveDisplay
from sklearn_memgen.inspection.connectivity import (
    Instability,
    InstabilityDisplay,
    instability,
)
from sklearn_memgen.inspection.data_maps import DataMap, data_map
from sklearn_memgen.inspection.dynamics_display import (
    AumDisplay,
    DataMapDisplay,
    ForgettingDisplay,
)
from sklearn_memgen.inspection.finite_sample import FiniteSampleNet, finite_sample_net
from sklearn_memgen.inspection.flatness import Sharpness, sharpness
from sklearn_memgen.inspection.forgetting_events import ForgettingEvents, forgetting
from sklearn_memgen.inspection.landscape import LossLandscape, loss_landscape
from sklearn_memgen.inspection.landscape_display import LossLandscapeDisplay
from sklearn_memgen.inspection.margin import MarginPath, margin_path
from sklearn_memgen.inspection.margin_display import MarginPathDisplay
from sklearn_memgen.inspection.memorization import memorization_scores
from sklearn_memgen.inspection.memorization_display import MemorizationDisplay
from sklearn_memgen.inspection.memorized_rows import MemorizationScores
from sklearn_memgen.inspection.randomization import (
    RandomizationTest,
    randomization_test,
)
from sklearn_memgen.inspection.randomization_display import RandomizationTestDisplay
from sklearn_memgen.inspection.report import MemorizationReport, memorization_report
from sklearn_memgen.inspection.report_display import MemorizationReportDisplay
from sklearn_memgen.inspection.sharpness_display import SharpnessDisplay

__all__ = [
    "AreaUnderMargin",
    "AumDisplay",
    "BatchNormStudy",
    "BatchNormStudyDisplay",
    "CapacityCurve",
    "CapacityCurveDisplay",
    "DataMap",
    "DataMapDisplay",
    "FiniteSampleNet",
    "ForgettingDisplay",
    "ForgettingEvents",
    "Instability",
    "InstabilityDisplay",
    "LossLandscape",
    "LossLandscapeDisplay",
    "MarginPath",
    "MarginPathDisplay",
    "MemorizationDisplay",
    "MemorizationReport",
    "MemorizationReportDisplay",
    "MemorizationScores",
    "RandomizationTest",
    "RandomizationTestDisplay",
    "Sharpness",
    "SharpnessDisplay",
    "aum",
    "batch_norm_study",
    "capacity_curve",
    "data_map",
    "finite_sample_net",
    "forgetting",
    "instability",
    "loss_landscape",
    "margin_path",
    "memorization_report",
    "memorization_scores",
    "randomization_test",
    "sharpness",
]
