# make test   everything that must hold before a change goes in
# make demo   draw two picture sets, train a small CycleGAN on them, show what it learnt
# make docs   build the documentation into site/; a link that leads nowhere is an error
# make clean  remove what the others made
#
# Each sets up .venv first and needs nothing but Python 3.11 or newer: make PYTHON=/path/to/python3.12 demo

PYTHON = python3
BIN = .venv/bin
READY = .venv/ready
READY_FOR_DOCS = .venv/ready-for-docs
DEMO = demo

.PHONY: help test demo docs clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# pyproject.toml names the dependencies and the entry points: where it is newer than the mark, install again.
$(READY): pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "gantk needs Python 3.11 or newer, as python3 or named: make PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	  echo "Setting up .venv (this once, a few minutes)"; \
	  $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

test: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov --cov-report=

$(READY_FOR_DOCS): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $(READY_FOR_DOCS)

docs: $(READY_FOR_DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Documentation: site/index.html"

# Networks as small as the demo's gain nothing from a second thread, and lose much where a core is busy.
# An existing demo/ is only removed where this rule made it.
demo: $(READY)
	@test ! -e $(DEMO) || test -e $(DEMO)/.drawn-by-make || { \
	  echo "$(DEMO)/ exists and was not made by make demo; move it away, or use make DEMO=elsewhere demo" >&2; exit 1; }
	@rm -rf $(DEMO) && mkdir -p $(DEMO) && touch $(DEMO)/.drawn-by-make
	$(BIN)/python assets/draw_animals.py --out $(DEMO)
	OMP_NUM_THREADS=1 $(BIN)/gantk train cyclegan --config configs/demo.toml --a $(DEMO)/plain --b $(DEMO)/striped --out $(DEMO)/run
	$(BIN)/gantk infer $(DEMO)/run $(DEMO)/held-out/plain --out $(DEMO)/translated
	$(BIN)/gantk export $(DEMO)/run --out $(DEMO)/animals.safetensors
	$(BIN)/python assets/before_after.py $(DEMO)/held-out/plain $(DEMO)/translated --out $(DEMO)/before-after.png
	@echo "Before and after, on pictures that the training never saw: $(DEMO)/before-after.png"

clean:
	test ! -e $(DEMO)/.drawn-by-make || rm -rf $(DEMO)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage build dist site
	find translate plugins tests bench assets -name __pycache__ -type d -prune -exec rm -rf {} +
