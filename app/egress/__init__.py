"""The only outbound HTTP client for untrusted URLs."""

from app.egress.client import Answer, EgressClient, Fetched
from app.egress.policy import Allowance, Target, judge

__all__ = ["Allowance", "Answer", "EgressClient", "Fetched", "Target", "judge"]
