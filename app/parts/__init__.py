"""The only place where the parts are built and connected."""

from app.parts.background import DOMAINS_EVERY_S, FOLLOWED_EVERY_S
from app.parts.build import build_parts
from app.parts.parts import Parts

__all__ = ["DOMAINS_EVERY_S", "FOLLOWED_EVERY_S", "Parts", "build_parts"]
