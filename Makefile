# make demo | test | proof | docs | linkcheck | lint | clean: each sets up .venv by itself when it is missing or outdated.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One torch thread a process: two on two busy cores are many times slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test proof docs linkcheck lint format clean

demo: $(READY)
	$(BIN)/textgym bench run --suite demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

proof: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

docs: $(READY)
	$(BIN)/python docs/generate_environments.py --check
	$(BIN)/python docs/generate_glossary.py --check
	$(BIN)/python docs/generate_zoo.py --check
	$(BIN)/python -m sphinx -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html
	$(BIN)/python docs/course/renew_outputs.py --check --executed docs/_build/jupyter_execute

# Asks every server that a page links to, so it needs the network and is no part of `make docs`.
linkcheck: $(READY)
	$(BIN)/python -m sphinx -D nb_execution_mode=off -b linkcheck docs docs/_build/linkcheck

lint: $(READY) build/mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md Makefile setup.cfg docs agents benchmarks textgym
	cd build/mypy && ../../$(BIN)/python -m mypy --config-file ../../setup.cfg --cache-dir ../../.mypy_cache -p textgym

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist docs/_build docs/api .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

# mypy does not follow package_dir, so it is shown the package as it is installed: agents and benchmarks inside textgym.
.PHONY: build/mypy
build/mypy:
	rm -rf build/mypy
	mkdir -p build/mypy/textgym
	cd build/mypy/textgym && ln -s ../../../textgym/* ../../../agents ../../../benchmarks .

# torch and its pin go into one pip command: apart, pip may fetch a second torch of several gigabytes.
$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11 to 3.13 needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[all]"
	@touch $(READY)
