"""Classes of your own.

    python examples/custom_domain.py

The model that comes with the service knows everyday nouns, here as aliases; with Azure OpenAI
anything goes that can be told in words.
"""

from pathlib import Path

from enhanced_classification import ImageClassifier

IMAGES = Path(__file__).parent / "images"

with ImageClassifier(domain="garden") as classifier:
    classifier.define_domain(
        "garden",
        ["daisy", {"label": "pet", "aliases": ["cat", "dog"]}, {"label": "bird"}],
        confidence_threshold=0.5,
    )
    for name in ("daisy.jpg", "fork.jpg"):
        result = classifier.classify_image(IMAGES / name)
        if result.needs_review:
            print(f"{name}: a person should look ({', '.join(result.review_reasons)})")
        else:
            print(f"{name}: {result.predicted_class}, {result.confidence:.1%} sure")
