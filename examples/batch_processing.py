"""A folder of photographs: classified, counted, written to results.json.

    python examples/batch_processing.py [FOLDER]

Ctrl-C stops it, and the same command continues.
"""

import sys
from pathlib import Path

from enhanced_classification import BatchProcessor

IMAGES = Path(__file__).parent / "images"

with BatchProcessor(batch_size=10) as processor:
    results = processor.process_directory(sys.argv[1] if len(sys.argv) > 1 else IMAGES)
    written = processor.export_results(results, format="json", output="results.json")

print(results.summary())
for result in results.needs_review:
    print(f"to review: {result.item_id}, maybe {result.predicted_class}")
for result in results.failed:
    print(f"failed: {result.item_id}: {result.error.detail}")
print(f"All of it is in {written}.")
