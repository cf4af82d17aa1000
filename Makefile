# Entry points of the bundle. `make` lists them.

PYTHON ?= python3
ARGS ?=

# The virtual environment is created once, and updated when a lock file changes.
RUNTIME = .venv/.runtime
DEV = .venv/.dev
BENCH = .run/bench-venv/.made
PIP_OPTIONS = --disable-pip-version-check install --quiet --require-hashes --use-pep517 -r
PIP_INSTALL = .venv/bin/pip $(PIP_OPTIONS)
LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(ARGS)
# All services with all overlays, as one file, for the linter.
COMPOSE = ../../deploy/compose/services
ALL_OF_COMPOSE = include: [{project_directory: ../.., \
	path: [$(COMPOSE).yml, $(COMPOSE).production.yml, $(COMPOSE).acme.yml, \
	$(COMPOSE).postgres.yml, $(COMPOSE).redis.yml]}]
SHELL_SCRIPTS = .ci/run $(wildcard *.sh */*.sh */*/*.sh)

.PHONY: help
help:    ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: serve
serve: prerequisites $(RUNTIME)    ## serve the app with nginx and uWSGI, until Ctrl-C
	@exec .venv/bin/python -m deploy serve

.PHONY: dev
dev: $(RUNTIME)    ## serve the app with Flask's own reloader and debugger
	@exec .venv/bin/python -m deploy dev

.PHONY: local
local: prerequisites $(RUNTIME)    ## serve the app with uWSGI's HTTP router, without nginx
	@exec .venv/bin/python -m deploy local

.PHONY: check
check: $(RUNTIME)    ## print errors and warnings, each with its fix
	@exec .venv/bin/python -m deploy check $(ARGS)

.PHONY: certificate
certificate: $(RUNTIME)    ## make a self-signed certificate in secrets/
	@exec .venv/bin/python -m deploy certificate

.PHONY: test
test: test-prerequisites $(DEV)    ## run all tests; ARGS="-k upload" are options of pytest
	@exec .venv/bin/pytest $(ARGS)

.PHONY: quick
quick: test-prerequisites $(DEV)    ## run the quick tests without containers, in parallel
	@exec .venv/bin/pytest -m "not slow and not docker" --numprocesses 4 --dist loadfile $(ARGS)

.PHONY: bench
bench: bench-prerequisites $(RUNTIME) $(BENCH)    ## benchmark this bundle and other servers; ARGS=--quick
	@exec .run/bench-venv/bin/python -m benchmarks $(ARGS)

.PHONY: overload
overload: bench-prerequisites $(RUNTIME) $(BENCH)    ## overload this bundle and other servers; ARGS="--seconds 30"
	@exec .run/bench-venv/bin/python -m benchmarks.overload $(ARGS)

.PHONY: lint
lint: prerequisites $(DEV)    ## lint Python, shell, Dockerfile, nginx, Compose and systemd
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/shellcheck --external-sources $(SHELL_SCRIPTS)
	.venv/bin/hadolint Dockerfile benchmarks/containers/Dockerfile
	.venv/bin/python -m deploy render .run/lint
	.venv/bin/gixy --config .gixy.cfg .run/lint/nginx/nginx.conf
	echo '$(ALL_OF_COMPOSE)' >.run/lint/compose.yml
	.venv/bin/compose-lint --no-env --strict-config --fail-on low --quiet .run/lint/compose.yml
	if docker compose version >/dev/null 2>&1; then docker compose config --quiet; fi
	if systemd-analyze --version >/dev/null 2>&1; then \
		sed 's,/srv/web,$(CURDIR),' deploy/systemd/web.service >.run/lint/web.service && \
		systemd-analyze verify --recursive-errors=no .run/lint/web.service && \
		systemd-analyze security --offline=yes --threshold=20 .run/lint/web.service >/dev/null; fi

.PHONY: lock
lock: $(DEV)    ## pin requirements*.in with hashes; ARGS=--upgrade for the newest versions
	$(LOCK) --output-file requirements.txt requirements.in
	$(LOCK) --output-file requirements-build.txt requirements-build.in
	$(LOCK) --output-file requirements-dev.txt requirements-dev.in
	$(LOCK) --output-file benchmarks/requirements.txt benchmarks/requirements.in

.PHONY: sbom
sbom: $(DEV)    ## write a bill of materials of both images to .run/sbom/ (CycloneDX)
	@for name in app nginx; do \
		image=$$(docker build --quiet --target $$name .) && sh deploy/sbom.sh $$image $$name || exit; \
	done

.PHONY: clean
clean:    ## remove all generated files
	rm -rf .venv .run .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -r {} +

.PHONY: prerequisites
prerequisites:
	@sh deploy/prerequisites.sh run

.PHONY: test-prerequisites
test-prerequisites:
	@sh deploy/prerequisites.sh test

.PHONY: bench-prerequisites
bench-prerequisites:
	@sh deploy/prerequisites.sh bench

$(RUNTIME): requirements.txt requirements-build.txt deploy/install_uwsgi.py \
		deploy/patches $(wildcard deploy/patches/*.patch)
	@PYTHON="$(PYTHON)" sh deploy/prerequisites.sh build
	@echo "Installing requirements.txt into .venv (compiles uWSGI the first time) ..."
	@"$(PYTHON)" -m venv .venv
	@ln -sn ../instance .venv/var 2>/dev/null || true  # an installed app's instance folder: docs/data.md
	@.venv/bin/python deploy/install_uwsgi.py requirements.txt requirements-build.txt
	@$(PIP_INSTALL) requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing requirements-dev.txt into .venv ..."
	@$(PIP_INSTALL) requirements-dev.txt
	@touch $@

$(BENCH): benchmarks/requirements.txt requirements-build.txt
	@echo "Installing benchmarks/requirements.txt into .run/bench-venv ..."
	@"$(PYTHON)" -m venv .run/bench-venv
	@.run/bench-venv/bin/pip $(PIP_OPTIONS) requirements-build.txt
	@.run/bench-venv/bin/pip $(PIP_OPTIONS) benchmarks/requirements.txt --no-build-isolation
	@touch $@
