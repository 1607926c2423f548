# make install   a virtual environment in .venv with all that demo, tests and benchmarks need
# make demo      the main job on the embedded defaults: a small EMMA-X pretrained, and scored beside real encoders
# make test      lint, types and tests, as .ci/run does
# make test-fast tests of up to ten seconds each
# make bench     speed as ratios against peers, measured side by side
# make release   a wheel in dist/, tested in a clean environment (CONTRIBUTING.md says what goes before)
# make bench-gpu all that only a GPU can show, in nine minutes

PYTHON ?= python3
BIN := .venv/bin
DEMO := .venv/demo

# Python keeps what it compiles, as where XRETE is installed: the tests and benchmarks start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-fast lint types bench bench-gpu release clean

install: .venv/installed

# torch first and alone: its pinned CPU build must not lose to a larger one while other packages are resolved.
.venv/installed: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "XRETE needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch setuptools
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--no-build-isolation --editable '.[offline,pictures,corpora,lora,mteb,ray,test,lint,bench]'
	@touch $@

demo: install
	$(BIN)/xrete pretrain emmax --preset mini --out $(DEMO)/emmax
	$(BIN)/xrete run --model use-m3 --model me5-small --model emmax:$(DEMO)/emmax --task tatoeba --task flores \
		--data mini --results $(DEMO)/results
	$(BIN)/xrete report $(DEMO)/results
	$(BIN)/xrete report $(DEMO)/results --table long-tail

test: lint types
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-fast: install
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

bench: install
	$(BIN)/python bench/encoding.py
	$(BIN)/python bench/retrieval.py --threads 1 --rounds 3 --mine 4096
	$(BIN)/python bench/geometry.py
	$(BIN)/python bench/pretraining.py
	$(BIN)/python bench/reports.py --records 1000

bench-gpu: install
	$(BIN)/python bench/gpu.py --minutes 9 --out .venv/gpu

# Built from what is committed: results/local and the like stay out of it.
release: install
	rm -rf build dist
	mkdir -p build/source
	git archive HEAD | tar -x -C build/source
	$(BIN)/pytest -q tests/unit/test_packaging.py
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --disable-pip-version-check --wheel-dir dist build/source

clean:
	rm -rf build dist .venv *.egg-info
