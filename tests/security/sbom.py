"""Completes the SBOM that cyclonedx-py made of an environment, and compares it with the locks:
`python -m tests.security.sbom SBOM LOCK ...`.

Added are the service's version, and the local model, which is in no package index.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

import app
from tests.locks import locked
from tests.service import ROOT

MODEL = "app/providers/local/data/efficientnet-lite0-int8.onnx"


def main() -> int:
    path, *locks = map(Path, sys.argv[1:])
    told = json.loads(path.read_text())
    different = installed(told) ^ locked(each.read_text() for each in locks)
    if different:
        print("locked or installed, not both:", *sorted(different), file=sys.stderr)
        return 1
    path.write_text(json.dumps(completed(told), indent=2) + "\n")
    return 0


def installed(sbom: dict[str, Any]) -> set[tuple[str, str]]:
    return {(canonicalize_name(each["name"]), each["version"]) for each in sbom["components"]}


def completed(sbom: dict[str, Any]) -> dict[str, Any]:
    root = sbom["metadata"]["component"] | {"version": app.__version__}
    content = (ROOT / MODEL).read_bytes()
    model = {
        "bom-ref": MODEL,
        "type": "machine-learning-model",
        "name": Path(MODEL).stem,
        "description": "Classifies pictures when no remote model does; NOTICE says where it is of.",
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
        "licenses": [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}],
    }
    return sbom | {
        "metadata": sbom["metadata"] | {"component": root},
        "components": [*sbom["components"], model],
    }


if __name__ == "__main__":
    sys.exit(main())
