"""From a question to a stored result."""

from app.classification.once import Once
from app.classification.service import ClassificationService, Question, check_label

__all__ = ["ClassificationService", "Once", "Question", "check_label"]
