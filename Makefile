# `make demo` and `make test` each work on a fresh clone: the environment is created on first use.
PYTHON ?= python3
# The exact versions that the committed numbers were made with; `make test CONSTRAINTS=` takes the newest releases.
CONSTRAINTS ?= -c constraints.txt
BIN := .venv/bin
READY := .venv/.installed

.PHONY: help demo test test-fast test-browser soak fuzz lab notebooks site figures weights bench lint lint-js clean

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 21

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mgips needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[dev]'
	@touch $@

demo: $(READY)  ## train text-only and the full model on the embedded corpus, and print what the images are worth
	$(BIN)/python -m mgips demo

test: $(READY)  ## every test that needs neither a GPU nor a browser
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/basedpyright --level error
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not browser'
	# The notebooks' outputs are those of TinyTweets, whatever data this machine has.
	env -u MGIPS_DATA OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval-lax \
	  --nbval-current-env --nbval-cell-timeout=400 notebooks

test-fast: $(READY)  ## the same without the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not browser and not slow'

test-browser: $(READY)  ## use the notebooks in JupyterLab with Chromium, and look at what changes on the page
	env -u MGIPS_DATA $(BIN)/python -m pytest -q -n 2 --dist loadfile -m browser tests/browser

soak: $(READY)  ## kill training, sweeps, caches, mining and pools at random moments for half an hour, and compare
	MGIPS_SOAK_SECONDS=1500 $(BIN)/python -m pytest -q -s tests/test_soak.py
	MGIPS_SOAK_SECONDS=300 $(BIN)/python -m pytest -q -s tests/test_sweep_kills.py -k long

fuzz: $(READY)  ## thirty times as many examples for readers, settings, saved folders and pages
	MGIPS_FUZZ=30 $(BIN)/python -m pytest -q -n auto -m hypothesis

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir notebooks

notebooks: $(READY)  ## execute the notebooks anew, and keep their outputs without what only this machine knows
	$(BIN)/python .ci/notebooks.py

site: $(READY)  ## the lessons, results and explorer as pages that need no server and no connection
	$(BIN)/python .ci/site/build.py

figures: $(READY)  ## draw figures/ anew
	$(BIN)/python -m mgips.lab.figures figures
	$(BIN)/python -m mgips explorer --out figures/explorer --lessons ../../notebooks

weights: $(READY)  ## train the models that come with the package anew (mgips/weights)
	$(BIN)/python -m mgips.lab.weights

bench: $(READY)  ## measure speed and waste, each as a ratio beside its goal
	$(BIN)/python -m pytest -q -s tests/benchmarks --benchmark-disable-gc --benchmark-columns=rounds

lint: $(READY)  ## format, and repair what can be repaired
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

lint-js:  ## types and format of the explorer's JavaScript; needs npm
	npx --yes --package typescript@7.0.2 tsc --project .ci/explorer.json
	npx --yes prettier@3.10.1 --print-width 120 --write mgips/lab/explorer/*.js

clean:  ## remove the environment and the caches, and leave runs/ and data/ alone
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis .benchmarks *.egg-info
