"""Domains: what a picture may be classified as."""

from app.domains.file import read_domains
from app.domains.model import ACCURACY, NAME_PATTERN, Cascade, Domain, DomainClass, DomainSpec
from app.domains.registry import DomainRegistry

__all__ = [
    "ACCURACY",
    "NAME_PATTERN",
    "Cascade",
    "Domain",
    "DomainClass",
    "DomainRegistry",
    "DomainSpec",
    "read_domains",
]
