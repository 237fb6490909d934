"""How good the answers are."""

from app.evaluation.evaluations import Evaluation, Evaluations, ShortEvaluation
from app.evaluation.forgetting import without
from app.evaluation.judged import Judged
from app.evaluation.judging import outcomes, report
from app.evaluation.page import page
from app.evaluation.report import Mistake, Outcomes, Report
from app.evaluation.run import judge_all
from app.evaluation.stored import MOST, Labelled, Wanted
from app.evaluation.thumbnails import thumbnails
from app.evaluation.words import cut, milliseconds, money

__all__ = [
    "MOST",
    "Evaluation",
    "Evaluations",
    "Judged",
    "Labelled",
    "Mistake",
    "Outcomes",
    "Report",
    "ShortEvaluation",
    "Wanted",
    "cut",
    "judge_all",
    "milliseconds",
    "money",
    "outcomes",
    "page",
    "report",
    "thumbnails",
    "without",
]
