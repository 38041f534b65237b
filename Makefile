# Everything happens in $(VENV); nothing is installed outside it, except system libraries by apt-get where this runs as root on Debian or Ubuntu.
VENV ?= .venv
# The version of torch that is tested. Where the wheel comes from is a matter of your pip settings.
TORCH ?= torch==2.13.0
# Threads of each numerical library: more of them than cores make small work slower, not faster.
THREADS ?= 2
# Further arguments for pytest
ARGS ?=

ifeq ($(OS),Windows_NT)
  SYSTEM := Windows
  BIN := $(VENV)/Scripts
else
  SYSTEM := $(shell uname -s)
  BIN := $(VENV)/bin
endif
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
export OMP_NUM_THREADS := $(THREADS)
export MKL_NUM_THREADS := $(THREADS)
export OPENBLAS_NUM_THREADS := $(THREADS)

# An empty stamp file says: done, and pyproject.toml has not changed since.
MADE := $(VENV)/.stamp-made
HAS_TORCH := $(VENV)/.stamp-torch
FOR_USE := $(VENV)/.stamp-all
FOR_TEST := $(VENV)/.stamp-test

.PHONY: help venv demo test check lint format-check types layers manifest format clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "napari-dmu: make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: $(FOR_USE)  ## a sample specimen through the compressive microscope: a window, or files in demo-output/
ifeq ($(SYSTEM),Linux)
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then bash tools/install_display.sh window "$(PY)"; fi
endif
	$(BIN)/napari-dmu demo --output demo-output

test: $(FOR_TEST)  ## the whole suite, real windows included; ARGS="..." goes to pytest
ifeq ($(SYSTEM),Linux)
	@bash tools/install_display.sh xvfb "$(PY)"
	QT_QPA_PLATFORM=xcb xvfb-run -a -s "-screen 0 1920x1200x24" $(PY) -m pytest $(ARGS)
else
	$(PY) -m pytest $(ARGS)
endif

check: lint format-check types layers manifest  ## ruff, mypy, import-linter and the napari manifest

lint: $(FOR_TEST)
	$(PY) -m ruff check .

format-check: $(FOR_TEST)
	$(PY) -m ruff format --check .

types: $(FOR_TEST)
	$(PY) -m mypy

layers: $(FOR_TEST)
	$(BIN)/lint-imports

manifest: $(FOR_TEST)
	$(PY) -m npe2 validate src/napari_dmu/napari.yaml

format: $(FOR_TEST)  ## let ruff mend and format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

venv: $(FOR_TEST)  ## .venv with everything for work on the code

clean:  ## remove .venv, caches and what demo and builds have written
	rm -rf $(VENV) .venv-ci demo-output build dist htmlcov .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(MADE):
	bash tools/make_venv.sh "$(VENV)" "$(PY)" "$(PYTHON)"
	@touch $@

# First and alone, so that it is the tested version that the rest is fitted to.
$(HAS_TORCH): $(MADE)
	$(PIP) install "$(TORCH)"
	@touch $@

$(FOR_USE): $(HAS_TORCH) pyproject.toml
	$(PIP) install "$(TORCH)" -e ".[all]"
	@touch $@

$(FOR_TEST): $(HAS_TORCH) pyproject.toml
	$(PIP) install "$(TORCH)" -e ".[all,test]"
	@touch $@ $(FOR_USE)
