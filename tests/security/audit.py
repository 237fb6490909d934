"""Known vulnerabilities of what is installed to run: `python -m tests.security.audit FILE ...`.

Asks PyPI's own database, then OSV. A package that a database does not know was not judged: then the
next one is asked, and without an answer this fails.
"""

import json
import subprocess
import sys
from typing import Any

PIP_AUDIT = "pip-audit==2.10.1"
DATABASES = {"pypi": "PyPI", "osv": "OSV"}


def main() -> int:
    for name, title in DATABASES.items():
        report, trouble = asked(name, sys.argv[1:])
        if report is None or (unknown := skipped(report)):
            print(f"{title} could not be asked: {trouble or unknown[0]}", file=sys.stderr)
            continue
        found = vulnerable(report)
        print(*found, f"{title}: {len(report)} packages, {len(found)} vulnerable", sep="\n")
        return 1 if found else 0
    print("No database could be reached: nothing is known of vulnerabilities.", file=sys.stderr)
    return 2


def asked(database: str, files: list[str]) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit found, or the last that it said."""
    locks = [option for each in files for option in ("--requirement", each)]
    options = ["--require-hashes", "--disable-pip", "--timeout", "10", "--format", "json"]
    command = ["uv", "tool", "run", "--quiet", "--from", PIP_AUDIT, "pip-audit"]
    done = subprocess.run(
        [*command, *options, "--vulnerability-service", database, *locks],
        capture_output=True,
        text=True,
    )
    said = done.stderr.strip().splitlines()[-1:]
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except ValueError:
        return None, "".join(said)


def skipped(report: list[dict[str, Any]]) -> list[str]:
    return [each["skip_reason"] for each in report if "skip_reason" in each]


def vulnerable(report: list[dict[str, Any]]) -> list[str]:
    return [
        f"{each['name']} {each['version']}: {hole['id']}, "
        f"fixed in {', '.join(hole['fix_versions']) or 'none'}"
        for each in report
        for hole in each["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main())
