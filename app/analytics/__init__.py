"""What happened, reckoned up."""

from app.analytics.cost import CostGroup, CostReport, Costs, as_csv, forecast

__all__ = ["CostGroup", "CostReport", "Costs", "as_csv", "forecast"]
