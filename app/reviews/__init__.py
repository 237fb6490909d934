"""The review queue: answers for a person to check, and the decisions."""

from app.reviews.deciding import Decision
from app.reviews.item import NextReviews, ReviewHistory, ReviewItem
from app.reviews.pictures import Pictures
from app.reviews.reviews import Reviews
from app.reviews.statistics import ReviewStatistics

__all__ = [
    "Decision",
    "NextReviews",
    "Pictures",
    "ReviewHistory",
    "ReviewItem",
    "ReviewStatistics",
    "Reviews",
]
