"""From a question to a stored result."""

from app.classification.accepting import Accepting
from app.classification.asking import Asking
from app.classification.intake import Intake
from app.classification.keeper import Keeper
from app.classification.once import Once
from app.classification.question import Question, check_label
from app.classification.service import Answered, ClassificationService

__all__ = [
    "Accepting",
    "Answered",
    "Asking",
    "ClassificationService",
    "Intake",
    "Keeper",
    "Once",
    "Question",
    "check_label",
]
