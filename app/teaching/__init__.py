"""Examples of a domain, and what the local model learns from them."""

from app.teaching.collecting import Collecting, Kept, Seen
from app.teaching.folder import FolderLesson, FolderTeaching, Tell
from app.teaching.from_reviews import LOOKED_EVERY_S, FromReviews
from app.teaching.lessons import Lessons, Version
from app.teaching.report import ClassReport, LessonReport
from app.teaching.seeing import see_all

__all__ = [
    "LOOKED_EVERY_S",
    "ClassReport",
    "Collecting",
    "FolderLesson",
    "FolderTeaching",
    "FromReviews",
    "Kept",
    "LessonReport",
    "Lessons",
    "Seen",
    "Tell",
    "Version",
    "see_all",
]
