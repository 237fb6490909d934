"""What stands in a cascade."""

from hypothesis import given
from hypothesis import strategies as st

from app.classification.verdict import verdict
from app.domains import Domain
from app.providers.base import ProviderAnswer

shares = st.floats(0, 1)


@given(
    st.lists(shares, min_size=3, max_size=3), shares, shares, shares, st.booleans(), st.booleans()
)
def test_what_stands_would_be_accepted_and_a_higher_threshold_never_lets_more_stand(
    weights, own, lower, higher, allow_none, belongs
):
    total = max(1.0, sum(weights))
    probabilities = {label: each / total for label, each in zip("abc", weights, strict=True)}
    label = max(probabilities, key=probabilities.__getitem__)
    answer = ProviderAnswer(label, probabilities, "local", "m", out_of_domain=not belongs)
    domain = Domain(
        name="letters", classes=("a", "b", "c"), confidence_threshold=own, allow_none=allow_none
    )
    lower, higher = sorted((lower, higher))

    def status(threshold: float) -> str:
        judged = verdict(answer, domain, good_picture=True, degraded=False, threshold=threshold)
        return judged.status

    if status(higher) == "accepted":
        assert status(lower) == status(0.0) == "accepted"
        assert probabilities[label] >= higher
    if not belongs:
        assert status(lower) == "needs_review"
