"""From a question to a stored result."""

from app.classification.accepting import MAX_PENDING, Accepting
from app.classification.asking import Asking
from app.classification.cascade import Cascading, Standing
from app.classification.eliciting import Eliciting
from app.classification.intake import Intake
from app.classification.item_line import log_item
from app.classification.keeper import Keeper
from app.classification.once import Once
from app.classification.question import Question, check_label
from app.classification.reviewing import Reviewing
from app.classification.running import Running
from app.classification.savings import Savings
from app.classification.service import ClassificationService
from app.classification.showing import Showing
from app.classification.stopwatch import Stopwatch
from app.classification.storing import Answered, Storing

__all__ = [
    "MAX_PENDING",
    "Accepting",
    "Answered",
    "Asking",
    "Cascading",
    "ClassificationService",
    "Eliciting",
    "Intake",
    "Keeper",
    "Once",
    "Question",
    "Reviewing",
    "Running",
    "Savings",
    "Showing",
    "Standing",
    "Stopwatch",
    "Storing",
    "check_label",
    "log_item",
]
