"""One photograph: what it shows, with what confidence, and whether a person should review it.

python examples/basic_usage.py [PICTURE]
"""

import sys
from pathlib import Path

from enhanced_classification import ImageClassifier

ROSE = Path(__file__).parent / "images" / "rose.jpg"

with ImageClassifier() as classifier:
    result = classifier.classify_image(sys.argv[1] if len(sys.argv) > 1 else ROSE)

print(f"{result.predicted_class}, {result.confidence:.1%} sure")
for label, share in (result.probabilities or {}).items():
    print(f"{label:>12} {share:6.1%} {'#' * round(40 * share)}")
if result.needs_review:
    print("A person should look:", ", ".join(result.review_reasons))
