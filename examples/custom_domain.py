"""Classes of your own.

    python examples/custom_domain.py

The model shipped with the service knows everyday nouns, used here as aliases, and learns other
classes from a few pictures of each; with Azure OpenAI a class can be anything that words can
describe.
"""

from pathlib import Path

from enhanced_classification import ImageClassifier

IMAGES = Path(__file__).parent / "images"
TOOLS = Path(__file__).parent / "tools"  # a folder for each class, with five pictures in each

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

    taught = classifier.teach(TOOLS, domain="tools")
    print(f"tools: {taught.accuracy:.0%} of {taught.examples} examples right when not seen before")
    for name in ("fork.jpg", "scissors.jpg"):
        result = classifier.classify_image(IMAGES / name, domain="tools")
        print(f"{name}: {result.predicted_class}, {result.confidence:.1%} sure")
