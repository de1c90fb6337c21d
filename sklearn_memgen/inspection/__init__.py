"""What deep nets leave open, made measurable for a model and a table."""

from sklearn_memgen.inspection.memorization import memorization_scores
from sklearn_memgen.inspection.memorization_display import MemorizationDisplay
from sklearn_memgen.inspection.memorized_rows import MemorizationScores
from sklearn_memgen.inspection.report import MemorizationReport, memorization_report
from sklearn_memgen.inspection.report_display import MemorizationReportDisplay

__all__ = [
    "MemorizationDisplay",
    "MemorizationReport",
    "MemorizationReportDisplay",
    "MemorizationScores",
    "memorization_report",
    "memorization_scores",
]
