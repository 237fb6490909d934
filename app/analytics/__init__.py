"""What happened, reckoned up."""

from app.analytics.cost import CostGroup, CostReport, Costs, as_csv, forecast
from app.analytics.repricing import Repriced, Repricing

__all__ = [
    "CostGroup",
    "CostReport",
    "Costs",
    "Repriced",
    "Repricing",
    "as_csv",
    "forecast",
]
