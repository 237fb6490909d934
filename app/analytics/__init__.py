"""Reports computed from what happened."""

from app.analytics.cost import Amounts, CostGroup, CostReport, Costs, Saved, as_csv, forecast
from app.analytics.quality import BASELINE, Qualities
from app.analytics.quality_report import DomainQuality, Drift, Quality, QualityReport
from app.analytics.repricing import Repriced, Repricing

__all__ = [
    "BASELINE",
    "Amounts",
    "CostGroup",
    "CostReport",
    "Costs",
    "DomainQuality",
    "Drift",
    "Qualities",
    "Quality",
    "QualityReport",
    "Repriced",
    "Repricing",
    "Saved",
    "as_csv",
    "forecast",
]
