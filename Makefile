# Every target does its own set-up: a virtual environment in .venv, system packages where apt is at hand.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# A generator of faces; what its package requires, of Python too, is not needed to read its weights.
FACES := --no-deps --ignore-requires-python gan-face-generate==1.1.1
RUNTIME := .venv/.runtime-stamp
DEVELOPMENT := .venv/.development-stamp

.PHONY: demo demo-faces test lint docs golden bench reproduce fuzz kill test-cluster smoke metrics-wheel lowest system clean

# The main job from a generator that comes with the package to a report: under ten minutes on two cores.
demo: $(RUNTIME)
	$(BIN)/contrafact fit disco --generator shapes3d --preset quick --out runs/demo --resume
	$(BIN)/contrafact evaluate runs/demo --control
	$(BIN)/contrafact report runs/demo
	@echo "The report is $(CURDIR)/runs/demo/report.html"
	@echo "To play with what was found: $(BIN)/contrafact explore runs/demo (or, as one file, --export demo.html)"

# Eight directions of a generator of faces, which another package has, and faces edited along one: under three minutes.
demo-faces: $(RUNTIME)
	$(INSTALL) $(FACES)
	$(BIN)/contrafact fit latentclr --generator faces --preset quick --num-directions 8 --steps 200 --out runs/faces --resume
	$(BIN)/contrafact traverse runs/faces --seed 57
	$(BIN)/contrafact edit runs/faces --latent 22 42 47 57 --direction 0 --by 2 --out runs/faces/edited
	@echo "The eight directions on one face are $(CURDIR)/runs/faces/figures/traversal.png, on four samples.png beside it;"
	@echo "faces edited along direction 0, before and after: $(CURDIR)/runs/faces/edited/edit.png"
	@echo "Give what you recognise a name: $(BIN)/contrafact name runs/faces 0 \"head turn\""
	@echo "To play with what was found: $(BIN)/contrafact explore runs/faces"

# All that must pass before a change is merged: under fifteen minutes on two cores.
# One thread per process unless OMP_NUM_THREADS says more: pytest starts two, and small tensors gain nothing from it.
# Threads that outnumber the cores must not wait by spinning.
test: lint docs system
	OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -q -n 2 --dist worksteal

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DEVELOPMENT)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs docs/_build/html
	@echo "The docs are $(CURDIR)/docs/_build/html/index.html"

# Metrics against the reference implementation's values: printed side by side, then tested, the slow exact ones included.
golden: $(DEVELOPMENT)
	$(BIN)/python -m tests.metrics.golden_table
	$(BIN)/python -m pytest -q tests/metrics -k golden -m ""

# The quick preset against its control over five seeds (hours on two cores), then the speed measurements.
bench: $(RUNTIME)
	$(BIN)/contrafact bench disco-quick --seeds 5
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# What is outstanding of all tables, as far as BUDGET reaches; whatever is finished is in docs/results/reproduced then, to be
# committed, and the next start, on whatever machine, goes on there: make reproduce BUDGET=9m SCALE=paper JOBS=2
# What the tables in docs/results hold, at the same scale and of the same kind of device, is not computed again.
reproduce: $(RUNTIME)
	$(BIN)/contrafact bench --all --scale $${SCALE:-small} --budget $${BUDGET:-25m} --jobs $${JOBS:-1} --keep docs/results/reproduced \
		--finished docs/results

# Hostile and damaged files, each read by its reader in a process that may die (an hour). FUZZ="--seed 7" for others.
fuzz: $(DEVELOPMENT)
	$(BIN)/python -m tests.fuzz --files 100000 --jobs 2 $(FUZZ)

# Commands ended at random moments and started again, until every file is as if nothing had happened (a quarter of an hour).
kill: $(DEVELOPMENT)
	$(BIN)/python -m tests.kill --lives 500 --races 70 --jobs 2 --seed 0

# Tables computed by Ray over two nodes on this machine, whose workers, driver, nodes and head are killed, and by Slurm's jobs
# as processes: minutes, most of them waiting, so no part of `make test`.
test-cluster: $(DEVELOPMENT)
	$(INSTALL) ray submitit
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m cluster tests/bench/test_launch.py

# What a user gets: the wheel in an environment of its own, and the main commands once. PYTHON= names the interpreter.
smoke:
	rm -rf .venv-smoke dist/smoke
	"$(PYTHON)" -m venv .venv-smoke
	.venv-smoke/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist/smoke .
	.venv-smoke/bin/python -m pip install --quiet --constraint constraints.txt dist/smoke/*.whl
	.ci/smoke .venv-smoke/bin/python

# The metrics of matrices alone (packaging/metrics): the wheel in an environment that has no torch.
metrics-wheel:
	rm -rf .venv-metrics dist/metrics
	"$(PYTHON)" -m venv .venv-metrics
	.venv-metrics/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist/metrics packaging/metrics
	.venv-metrics/bin/python -m pip install --quiet --constraint constraints.txt dist/metrics/*.whl
	cd dist/metrics && ../../.venv-metrics/bin/python -c "from contrafact import metrics; \
		print(metrics.evaluate([[0.1, 5.0], [0.9, 4.0], [0.2, 6.0], [1.1, 5.0]] * 20, [[0], [1], [0], [1]] * 20))"
	! .venv-metrics/bin/python -c "import torch" 2>/dev/null

# The same with the oldest releases that the package says it takes. They have wheels for Python 3.11.
lowest:
	rm -rf .venv-lowest dist/lowest
	"$(PYTHON)" -m venv .venv-lowest
	.venv-lowest/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist/lowest .
	.venv-lowest/bin/python -m pip install --quiet --only-binary :all: --constraint constraints-lowest.txt dist/lowest/*.whl
	.ci/smoke .venv-lowest/bin/python

system:
	@.ci/system

clean:
	rm -rf docs/_build docs/reference dist .venv-smoke .venv-metrics .venv-lowest .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "contrafact needs Python 3.11 or newer; install one, or set PYTHON=" >&2; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(INSTALL) --editable ".[explore,onnx]"
	touch $@

$(DEVELOPMENT): $(RUNTIME)
	$(INSTALL) --editable ".[dev,docs]"
	$(INSTALL) $(FACES) || echo "the tests that need real faces are skipped"
	touch $@
