# One entry point for everything. `make help` lists the targets; .ci/run calls the same ones.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.stamp-run
DEV_STAMP := $(VENV)/.stamp-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check
PIP_INSTALL := $(PIP) install --quiet --retries 2
# Two workers: the smallest machine that we promise to be quick on has two cores.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
# A test that hangs is named after five minutes of wall clock instead of blocking for ever; no test relies on it.
PYTEST_RUN := $(PYTEST) -q -n $(WORKERS) --dist worksteal --timeout 300
PURE := haipump_fw.core haipump_fw.proto haipump_fw.store
# Simulated pump-hours of `make campaign`, and how many on the emulated chip
HOURS ?= 100000
CHIP_HOURS ?= 100
# More haipump-emu options for `make emulator`, e.g. make emulator EMU="--speed 60 --syringe 10mL"
EMU ?=
# For `make board`
PORT ?= /dev/ttyACM0
RIG ?=
# Extra words for pytest, e.g. make pytest ARGS="tests/firmware -k bolus"
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test pytest coverage equivalence proof campaign alive mutants mutation soak board lint types format docs demo demo-chip emulator image firmware flash bench garbage occlusion course years costs detection wheel check-install constraints clean

help: ## list the targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  %-14s %s\n' "$$target" "$$text"; done

setup: $(DEV_STAMP) ## make .venv with everything that tests, checks and generators need

# The image is got when that is possible; without one the run goes on, and its last lines say what was left out.
test: lint coverage ## set up, then run everything: lint, types, coverage of the pure core, all tests
	$(BIN)/haipump-emu image || echo "make: goes on without the chip tests"
	$(PYTEST_RUN) --covered $(ARGS)

pytest: $(DEV_STAMP) ## all tests, or a part: make pytest ARGS="tests/firmware -k bolus"
	$(PYTEST_RUN) $(ARGS)

coverage: $(DEV_STAMP) ## line and branch coverage of core, proto and store, which must be 100 %
	$(PYTEST_RUN) $(PURE:%=--cov=%) --cov-branch --cov-fail-under=100 \
		--cov-report=term-missing:skip-covered -m "not trials" $(PURE:haipump_fw.%=tests/firmware/%)

equivalence: $(DEV_STAMP) ## direct and chip compared edge by edge in more than 50 runs, 5 minutes on two cores
	$(PYTEST_RUN) tests/equivalence --equivalence all --require-image $(ARGS)

LONG := app/test_occlusion app/test_port_failures app/test_power_cuts app/test_cut_paths exact/test_wraps store/test_years
proof: $(DEV_STAMP) ## every trial of what `make test` samples: step timing, stops, hangs, power cuts, memory, years
	$(PYTEST_RUN) tests/chip $(LONG:%=tests/firmware/%.py) --thorough --require-image --timeout 3600 $(ARGS)

alive: $(DEV_STAMP) ## is each requirement alive: its function replaced by nothing, its tests must fail
	$(BIN)/python -m tools.proof.alive --workers $(WORKERS) $(ARGS)

mutants: $(DEV_STAMP) ## are the tests awake: the firmware broken in known ways, each of which a test must notice
	$(BIN)/python -m tools.proof.mutants --workers $(WORKERS) $(ARGS)

mutation: $(DEV_STAMP) ## how many small changes of core, proto and store do the tests notice; an hour, goes on where it was
	$(BIN)/python -m tools.proof.mutation --page --workers $(WORKERS) $(ARGS)

campaign: $(DEV_STAMP) ## 100,000 pump-hours under random faults, 100 on the chip, and docs/reliability.md (HOURS=... CHIP_HOURS=...); goes on where it was
	@status=0; \
	$(BIN)/haipump-emu campaign --hours $(HOURS) --out build/campaign $(ARGS) || status=1; \
	if $(BIN)/haipump-emu image; then \
		$(BIN)/haipump-emu campaign --core chip --hours $(CHIP_HOURS) --each 2 --out build/campaign-chip $(ARGS) \
			|| status=1; \
	else echo "make: goes on without hours on the chip"; fi; \
	$(BIN)/python -m tools.reliability build/campaign build/campaign-chip; exit $$status

# Where lives of a day are too short: 100 of three days, of seeds that `campaign` does not reach.
soak: $(DEV_STAMP) ## 100 lives of three days under random faults, into build/soak; goes on where it was
	$(BIN)/haipump-emu campaign --hours 7200 --each 72 --seed 1000001 --out build/soak $(ARGS)

board: board-port $(DEV_STAMP) ## the conformance suite on a Pico: make board PORT=/dev/ttyACM0 (RIG=--rig with motor and syringe)
	$(PYTEST) -q tests/cores --core board --port $(PORT) $(RIG) $(ARGS)

# Before anything is installed.
.PHONY: board-port
board-port:
	@case "$(PORT)" in *://*) ;; *) test -e "$(PORT)" || { \
		echo "There is no port $(PORT). Plug the Pico in, or name its port: make board PORT=/dev/ttyACM1"; exit 1; } ;; esac

lint: types ## ruff (rules and format) and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP) ## pyright: host, emulator and tools against CPython, board code against MicroPython's stubs
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/pyright --project firmware/pyrightconfig.json

format: $(DEV_STAMP) ## let ruff format everything and fix what it safely can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DEV_STAMP) ## write the generated pages of docs/ anew
	$(BIN)/python -m tools.gendocs
	$(BIN)/python -m tools.wiring

demo: $(RUN_STAMP) ## the main job, end to end: 14 days of therapy on an emulated pump, and a report
	$(BIN)/python -m tools.demo

demo-chip: $(RUN_STAMP) ## the same fortnight on the emulated chip: the real MicroPython image (make image gets it)
	$(BIN)/python -m tools.demo --core chip

emulator: $(RUN_STAMP) ## start an emulated pump on build/pump (options: EMU="--speed 60")
	@mkdir -p build
	$(BIN)/haipump-emu run --pty build/pump $(EMU)

image: $(RUN_STAMP) ## get MicroPython for the emulated chip: cache, download or build (options: ARGS="--image FILE")
	$(BIN)/haipump-emu image $(ARGS)

firmware: image ## build/haipump.uf2: MicroPython and the application in one file, to be dropped on a Pico
	@mkdir -p build
	$(BIN)/haipump-emu uf2 build/haipump.uf2 $(ARGS)

flash: $(RUN_STAMP) ## install the firmware on the Pico that is connected (options: ARGS="--dry-run")
	$(BIN)/haipump flash $(ARGS)

bench: $(DEV_STAMP) ## measure the figures we promise: table, and build/bench.json (one of them: ARGS="--only NAME")
	$(BIN)/python -m tools.bench $(ARGS)

garbage: $(DEV_STAMP) ## 100 million bytes of garbage on the serial line of a pump that delivers (ARGS="--bytes N --seed S")
	$(BIN)/python -m tools.measure_garbage $(ARGS)

occlusion: $(DEV_STAMP) ## when a closed line is seen, over rate, syringe and compliance (docs/occlusion.md); ARGS="--days 1000": false alarms
	$(BIN)/python -m tools.measure_occlusion $(ARGS)

course: $(DEV_STAMP) ## six 28-day cycles by `therapy run`: speed beside direct alone, dose, and nothing twice with the host killed 50 times
	$(BIN)/python -m tools.measure_course $(ARGS)

years: $(DEV_STAMP) ## five years of alternating fills in about half an hour, and what must hold of them; goes on where it was (ARGS="--fills 26")
	$(BIN)/python -m tools.years $(ARGS)

costs: $(DEV_STAMP) ## measure on the chip what work costs there, and write the table that `direct` charges by
	$(BIN)/python -m tools.measure_costs

detection: $(DEV_STAMP) ## every fault at every rate and syringe: time and volume to its alarm as docs/detection.md states
	$(BIN)/python -m tools.detection.measure $(ARGS)
	$(BIN)/python -m tools.gendocs

wheel: $(DEV_STAMP) ## build dist/haipump-*.whl
	rm -rf dist
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

check-install: wheel ## install the wheel into a clean environment and run both commands away from the checkout
	$(PYTHON) tools/check_install.py dist constraints/run.txt

constraints: ## resolve all dependencies anew and write constraints/*.txt
	$(PYTHON) tools/pin.py

clean: ## remove everything that was built, the environment too
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find firmware emulator host_tools tests tools -name __pycache__ -prune -exec rm -rf {} +

# The environment in two steps, so that the demo does not wait for what only tests need. Made anew only when what it
# is made from has changed.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "haipump needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=python3.11 (or newer)."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python cannot make virtual environments here. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml constraints/build.txt constraints/run.txt | $(BIN)/python
	$(PIP_INSTALL) -r constraints/build.txt
	$(PIP_INSTALL) --no-build-isolation -c constraints/run.txt -e .
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) constraints/dev.txt constraints/stubs.txt
	$(PIP_INSTALL) --no-build-isolation -c constraints/dev.txt -e '.[dev]'
	rm -rf $(VENV)/typings
	$(PIP_INSTALL) --no-deps --target $(VENV)/typings -r constraints/stubs.txt
	@touch $@
