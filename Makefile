# `make demo` and `make test` need nothing but a Python >= 3.12 and a C compiler: they make .venv and install into it.
#   make test VENV=/path/to/env EXTRAS=mesh,plot,test   an environment that is there already, with its own DOLFINx
#   make demo RANKS=4                                   MPI ranks of the demos
VENV   ?= .venv
EXTRAS ?= wheel,mesh,plot,test
RANKS  ?= 2
BIN    := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))/bin
READY  := $(VENV)/.installed-$(EXTRAS)

# The environment's own mpirun must win: another MPI's would start ranks that do not see each other.
export PATH := $(BIN):$(PATH)
# One thread a rank, because threads of several ranks on the same cores only slow each other down.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: help demo demos test lint doctor bench docs docker-check clean
.NOTPARALLEL:
help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r t s; do printf '  %-14s%s\n' "$$t" "$$s"; done
demo: $(READY)   ## the plate with a hole, on RANKS ranks
	mpirun -n $(RANKS) python demos/demo_02_plate_with_hole.py
demos: $(READY)  ## all demos, on RANKS ranks
	@set -e; for f in demos/demo_*.py; do echo "== $$f"; mpirun -n $(RANKS) python "$$f"; done
test: $(READY)   ## the whole test suite, serial and under mpirun
	python -m pytest
lint: $(READY)   ## style, types, and the arrows between rooms
	ruff check . && ruff format --check . && mypy && lint-imports
doctor: $(READY) ## what this machine has and lacks
	pointlaw doctor
bench: $(READY)  ## the benchmarks: tables here, numbers in benchmarks/out
	@set -e; for f in benchmarks/bench_*.py; do echo "== $$f"; python "$$f"; done
docs: $(READY) $(VENV)/.installed-docs  ## the documentation, in docs/_build/html
	python -m sphinx -W --keep-going docs docs/_build/html
docker-check:    ## build the image and run the demo in it, with or without a Docker engine
	bash docker/check.sh
clean:           ## remove what the programs made; .venv stays
	rm -rf build docs/_build demos/out benchmarks/out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The first interpreter that really runs and is new enough (a pyenv shim may be on PATH and answer for nothing).
$(VENV)/.installed-%: pyproject.toml
	@test -x "$(BIN)/python" || { \
	  for p in python3 python3.12 python3.13 python3.14 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do \
	    found=$$("$$p" -c 'import sys; sys.version_info < (3, 12) or print(sys.executable)' 2>/dev/null); \
	    [ -n "$$found" ] && break; done; \
	  if command -v uv >/dev/null; then uv venv -q --python "$${found:-3.13}" "$(VENV)"; \
	  elif [ -n "$$found" ]; then "$$found" -m venv "$(VENV)" || { rm -rf "$(VENV)"; exit 1; }; \
	  else echo "pointlaw needs Python 3.12 or newer, and none was found: install one (Debian 13, Ubuntu 24.04:" \
	    "apt install python3-venv python3-dev gcc; elsewhere pyenv or uv), or name an environment by VENV=..." >&2; \
	    exit 1; fi; }
	@echo "installing pointlaw[$*] into $(VENV)"
	@if command -v uv >/dev/null; then uv pip install -q --python "$(BIN)/python" -e ".[$*]"; \
	else "$(BIN)/python" -m pip install -q -e ".[$*]"; fi
	@touch "$@"
