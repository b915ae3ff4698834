# Every target below `setup` makes the environment first, so each works by itself on a machine that
# has Python 3.11-3.13 and make. Variables given on the command line (PROFILE, CORPUS, TASKS,
# EMBEDDINGS, SEED, SMOKE, REHEARSE, JOBS) reach the programs as environment variables; these two get their full names.
ifdef DATA_DIR
export NSLIB_DATA_DIR := $(DATA_DIR)
endif
ifdef MODELS_DIR
export NSLIB_MODELS := $(MODELS_DIR)
endif

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
COMPILE = $(PY) -c 'from nslib.evaluation.forest import RandomForest as F; F(1, None, 0).fit([[0], [1]], [0, 1]).predict([[0]])'

# Without bytecode TensorFlow takes three times as long to import, in every process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: workshop docs help setup test test-all reproduce train lab clean doctor lint bench lock figures readme
.DEFAULT_GOAL := help

help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  variables: PROFILE=quick|paper CORPUS=real|synthetic TASKS=a,b EMBEDDINGS=a,b SEED=0 SMOKE=1 REHEARSE=1 JOBS=4"
	@echo "             DATA_DIR=DIR MODELS_DIR=DIR (paper) OPENSMILE=1 KAGGLE=1 GPU=1 (extras) NSLIB_CACHE=DIR"

setup: $(READY) ## make .venv from the lock (extras: OPENSMILE=1, research licence; KAGGLE=1; GPU=1, CUDA)
ifdef OPENSMILE
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements-opensmile.lock
endif
ifdef KAGGLE
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements-kaggle.lock
endif
ifdef GPU # TensorFlow 2.21 does not look for cuSOLVER where its wheel puts it, and uses no GPU without it
	@echo "installing NVIDIA's libraries into .venv (several GB) ..."
	$(PY) -m pip install --quiet --no-deps --require-hashes -r requirements-gpu.lock
	@cd .venv/lib/python3*/site-packages/nvidia/cusparse/lib 2>/dev/null && ln -sf ../../cusolver/lib/libcusolver.so.* . \
	  || echo "There is no CUDA for this system: nothing was installed."
endif

# uv installs the same hashed lock about three times faster than pip; where uv has no build, pip does it.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is %d.%d. Try: make setup PYTHON=python3.12" % v)'
	@$(PYTHON) -m venv --clear .venv || { echo "No venv module: install it (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "installing the locked packages into .venv (about 3 GB; 1-3 minutes) ..."
	@$(PY) -m pip install --quiet uv==0.13.9 \
	  && .venv/bin/uv pip install --quiet --python $(PY) --require-hashes --compile-bytecode -r requirements.lock \
	  || $(PY) -m pip install --quiet --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@$(COMPILE) || echo "numba compiles forests when the first is grown."
	@touch $@

test: $(READY) lint ## run the checks: style, types, imports, unit, property, golden, fault and notebook tests
	$(PY) -m pytest -m "not heavy"

test-all: $(READY) lint ## the same and the heavy ones: a session like Colab's, JupyterLab in a browser, long runs
	$(PY) -m pytest

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache

reproduce: setup ## run everything and write reports/index.html
	$(PY) -m nslib reproduce

train: setup ## train trill-mini again (an hour; goes on where it was stopped), or SIZE=paper DATA=DIR (days on a GPU)
	$(PY) -m nslib train triplets $(if $(SIZE),--size $(SIZE)) $(if $(DATA),--clips "$(DATA)")

lab: setup ## open JupyterLab on the notebooks
	$(PY) -m jupyterlab notebooks

workshop: setup ## zip files with exercises for a class; they need no network (OFFLINE=1: the packages too)
	$(PY) -m nslib workshop build $(if $(filter-out 0,$(OFFLINE)),--offline)

docs: $(READY) ## the pages of docs/ as a site: reports/docs/index.html, which needs no network
	$(PY) -m sphinx -q -W --keep-going -b html docs reports/docs

doctor: $(READY) ## say what this machine can and can't run
	$(PY) -m nslib doctor

bench: $(READY) ## speed, as ratios measured in one run, in one table (ONLY=grid,store: some of it; QUICK=1: rough)
	$(PY) benchmarks/run.py --only "$(ONLY)"

# The comment ties the drawing to its source; a test compares them.
figures: ## for maintainers: draw data/charts/*.dot again (needs graphviz)
	for f in data/charts/*.dot; do dot -Tsvg $$f -o $${f%.dot}.svg && \
	  echo "<!-- source sha256 $$(sha256sum $$f | cut -d' ' -f1) -->" >> $${f%.dot}.svg; done

readme: $(READY) ## for maintainers: put the table of the last full run into README.md
	$(PY) data/update_readme.py

clean: ## remove .venv and everything in reports/ (the download cache stays: see 'python -m nslib doctor')
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find reports -mindepth 1 ! -name README.md -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One resolution of everything decides the versions, so that every extra fits the core (but peers, which need older ones).
UV_COMPILE := .venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url

lock: $(READY) ## for maintainers: resolve pyproject.toml again into the lock files
	$(UV_COMPILE) $(addprefix --extra ,opensmile kaggle gpu docs test) pyproject.toml -o build-constraints.txt
	$(UV_COMPILE) --generate-hashes --extra test --extra docs -c build-constraints.txt pyproject.toml -o requirements.lock
	echo opensmile | $(UV_COMPILE) --generate-hashes -c build-constraints.txt - -o requirements-opensmile.lock
	echo kagglehub | $(UV_COMPILE) --generate-hashes -c build-constraints.txt - -o requirements-kaggle.lock
	# what CUDA needs beyond the core: the wheel of TensorFlow is the same
	$(UV_COMPILE) --generate-hashes --extra gpu -c build-constraints.txt pyproject.toml \
	  | awk '/^[a-z]/ {keep = /^nvidia-/} keep' > requirements-gpu.lock
	rm build-constraints.txt
