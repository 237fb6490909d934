"""How good the answers are."""

from app.evaluation.folder import labelled_pictures
from app.evaluation.report import Judged, Report, report, wilson
from app.evaluation.run import judge_all

__all__ = ["Judged", "Report", "judge_all", "labelled_pictures", "report", "wilson"]
