# Entry points of the bundle. `make` lists them.

PYTHON ?= python3
ARGS ?=

# .app has the app's environment (deploy/install), .venv what develops the bundle: tests, linters, and
# the sample with its packages.
LOCKS = deploy/requirements
DEV = .venv/.dev
BENCH = .run/bench-venv/.made
PIP_INSTALL = bin/pip --disable-pip-version-check install --quiet --require-hashes --use-pep517 -r
LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock-bundle" $(ARGS)
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
serve: prerequisites install    ## serve the app with nginx and uWSGI, until Ctrl-C
	@exec "$(PYTHON)" -m deploy serve

.PHONY: install
install:    ## install the app and its requirements into .app; APP_DIR in .env is where it is
	@[ -e .app/current ] || PYTHON="$(PYTHON)" sh deploy/prerequisites.sh build
	@PYTHON="$(PYTHON)" "$(PYTHON)" -m deploy install

.PHONY: dev
dev: install    ## serve the app with Flask's own reloader and debugger
	@exec "$(PYTHON)" -m deploy dev

.PHONY: local
local: prerequisites install    ## serve the app with uWSGI's HTTP router, without nginx
	@exec "$(PYTHON)" -m deploy local

.PHONY: check
check: install    ## print errors and warnings, each with its fix
	@exec "$(PYTHON)" -m deploy check $(ARGS)

.PHONY: certificate
certificate:    ## make a self-signed certificate in secrets/
	@exec "$(PYTHON)" -m deploy certificate

.PHONY: test
test: test-prerequisites install $(DEV)    ## run all tests; ARGS="-k upload" are options of pytest
	@exec .venv/bin/pytest $(ARGS)

.PHONY: quick
quick: test-prerequisites install $(DEV)    ## run the quick tests without containers, in parallel
	@exec .venv/bin/pytest -m "not slow and not docker" --numprocesses 4 --dist loadfile $(ARGS)

.PHONY: bench
bench: bench-prerequisites install $(BENCH)    ## benchmark this bundle and other servers; ARGS=--long
	@exec .run/bench-venv/bin/python -m benchmarks $(ARGS)

.PHONY: overload
overload: bench-prerequisites install $(BENCH)    ## overload this bundle and other servers; ARGS="--seconds 30"
	@exec .run/bench-venv/bin/python -m benchmarks.overload $(ARGS)

.PHONY: lint
lint: prerequisites install $(DEV)    ## lint Python, shell, Dockerfile, nginx, Compose and systemd
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
lock:    ## pin the app's requirements.in in requirements.txt, with hashes; ARGS=--upgrade
	@"$(PYTHON)" -m deploy lock $(ARGS)

.PHONY: lock-bundle
lock-bundle: $(DEV)    ## pin what the bundle, the sample and the benchmarks require; ARGS=--upgrade
	$(LOCK) --output-file yourapplication/requirements.txt yourapplication/requirements.in
	for name in bundle build uv poetry py-spy dev; do \
		$(LOCK) --output-file $(LOCKS)/$$name.txt $(LOCKS)/$$name.in || exit; done
	$(LOCK) --output-file benchmarks/requirements.txt benchmarks/requirements.in

.PHONY: settings
settings:    ## write docs/settings.md from deploy/defaults.env
	"$(PYTHON)" -m deploy.settings.reference >docs/settings.md

.PHONY: sbom
sbom: $(DEV)    ## write a bill of materials of both images to .run/sbom/ (CycloneDX)
	@for name in app nginx; do \
		image=$$(docker build --quiet --target $$name .) && sh deploy/sbom.sh $$image $$name || exit; \
	done

.PHONY: clean
clean:    ## remove all generated files
	rm -rf .app .venv .run .pytest_cache .ruff_cache .hypothesis
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

$(DEV): $(wildcard $(LOCKS)/*.txt) deploy/install/uwsgi.py deploy/patches \
		$(wildcard deploy/patches/*.patch)
	@PYTHON="$(PYTHON)" sh deploy/prerequisites.sh build
	@echo "Installing $(LOCKS)/dev.txt into .venv (compiles uWSGI the first time) ..."
	@"$(PYTHON)" -m venv .venv
	@ln -sn ../instance .venv/var 2>/dev/null || true  # an installed app's instance folder: docs/data.md
	@.venv/bin/python deploy/install/uwsgi.py $(LOCKS)/bundle.txt $(LOCKS)/build.txt .app/uwsgi
	@.venv/$(PIP_INSTALL) $(LOCKS)/uv.txt
	@.venv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python $(LOCKS)/dev.txt
	@touch $@

$(BENCH): benchmarks/requirements.txt $(LOCKS)/build.txt
	@echo "Installing benchmarks/requirements.txt into .run/bench-venv ..."
	@"$(PYTHON)" -m venv .run/bench-venv
	@.run/bench-venv/$(PIP_INSTALL) $(LOCKS)/build.txt
	@.run/bench-venv/$(PIP_INSTALL) benchmarks/requirements.txt --no-build-isolation
	@touch $@
