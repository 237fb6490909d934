"""Reports computed from what happened."""

from app.analytics.cost import CostGroup, CostReport, Costs, as_csv, forecast
from app.analytics.quality import BASELINE, Qualities
from app.analytics.quality_report import Drift, QualityReport
from app.analytics.repricing import Repriced, Repricing

__all__ = [
    "BASELINE",
    "CostGroup",
    "CostReport",
    "Costs",
    "Drift",
    "Qualities",
    "QualityReport",
    "Repriced",
    "Repricing",
    "as_csv",
    "forecast",
]
