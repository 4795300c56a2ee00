# The commands of this repository. Python 3.11 or later, make and git are all that must be there.
PYTHON ?= python3
BIN := .venv/bin
ENGINE ?= docker
PYTHONS ?= python3.12 python3.13
KAFKAS ?= 3.9.1 4.0.0
# KIP-848's groups are Kafka 4's.
STREAMS := tests/integration/test_stream.py tests/integration/test_exactly_once.py tests/integration/test_dead_letters.py -k "not consumer"
AT_ONCE := -n 2 --dist loadfile # tests wait more than they work
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock"

.PHONY: help demo test fuzz unit lint check fix train bench bench-peers bench-gate faults soak watchers million docs release audit deploy-check image matrix deploy-copies lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/$(if $(CONSOLE),dev,demo).ok  ## see it work: a real Kafka, a scorer, a replay, and the books at the end; CONSOLE=1: the web pages
	$(BIN)/stream-scorer demo $(if $(CONSOLE),--console)

test: .venv/dev.ok  ## all tests; a real Kafka is started for those that need one
	$(BIN)/coverage run -m pytest $(AT_ONCE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

fuzz: .venv/dev.ok  ## 100,000 drawn records and a million mutated ones: none may escape
	$(BIN)/python -m tests.fuzz

unit: .venv/dev.ok  ## the tests that need no Kafka and train no model
	$(BIN)/python -m pytest -q $(AT_ONCE) -m "not integration and not train"

check: lint unit  ## format, lint, types, unit tests

lint: .venv/dev.ok  ## format, lint, types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

fix: .venv/dev.ok  ## let ruff mend what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

train: .venv/dev.ok  ## train models/fraud.onnx anew: make train DATA=creditcard.csv
	$(BIN)/stream-scorer model train $(DATA) --output models/fraud.onnx

bench: .venv/dev.ok  ## rows/s and CPU a row on a local Kafka, beside a bare loop
	$(BIN)/python benchmarks/throughput.py

bench-peers: .venv/dev.ok  ## the same job by Quix, Bytewax, Arroyo, Faust, Kafka Streams and loops: writes docs/peers.md (half an hour)
	$(BIN)/python -m benchmarks.peers

bench-gate: .venv/dev.ok  ## fail if this tree takes 10 % more CPU a row than main (BASE=another commit)
	$(BIN)/python -m benchmarks.gate --base $(or $(BASE),main)

faults: .venv/dev.ok  ## break all around the scorer, on real brokers, and write README's table: about two hours; KEEP=FILE goes on after an interruption
	$(BIN)/python -m tests.faults --plant $(if $(KEEP),--keep $(KEEP)) --table README.md

soak: .venv/dev.ok  ## an hour at 70 % load, with both guarantees: memory, files and threads must not grow
	mkdir -p docs
	$(BIN)/python -m tests.faults.soak --picture docs/soak.svg

watchers: .venv/dev.ok  ## fifty people on Live over 1,000 transactions a second, beside one
	$(BIN)/python -m benchmarks.watchers

million: .venv/dev.ok  ## the monitor on a million events: memory is flat, figures are those computed anew
	$(BIN)/python -m benchmarks.monitor

docs: .venv/dev.ok  ## the documentation as web pages, in docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

release: .venv/dev.ok  ## wheel, sdist, lists of each image's parts with licences (CycloneDX) and checksums in dist/
	rm -rf dist build
	mkdir dist build
	$(BIN)/python -c "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
	sed "s/^dynamic = .*/version = \"$$($(BIN)/python -c 'import stream_scorer; print(stream_scorer.__version__)')\"/" pyproject.toml > build/pyproject.toml
	for parts in service people; do \
	  $(BIN)/python -m venv --without-pip build/$$parts && \
	  $(BIN)/pip --python build/$$parts/bin/python install --quiet --require-hashes --requirement requirements/$$parts.txt && \
	  $(BIN)/cyclonedx-py environment build/$$parts/bin/python --pyproject build/pyproject.toml --output-reproducible --of JSON -o dist/stream-scorer-$$parts.cdx.json || exit 1; \
	done
	cd dist && sha256sum * > SHA256SUMS

audit: .venv/dev.ok  ## known holes in what a release depends on; asks PyPI
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements/service.txt
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements/people.txt

deploy-check: .venv/dev.ok  ## deploy/ as it stands: rules, manifests, Containerfile, and its processes with a real Prometheus, and every alert by its own fault
	$(BIN)/python -m pytest tests/test_deploy.py tests/integration/test_operations.py tests/integration/test_alerts_fire.py

image: .venv/dev.ok  ## build deploy/Containerfile's two images, and let them do what deploy-check does; ENGINE=podman, BASE=another base image
	$(ENGINE) build $(if $(BASE),--build-arg BASE=$(BASE)) -f deploy/Containerfile -t stream-scorer .
	$(ENGINE) build $(if $(BASE),--build-arg BASE=$(BASE)) -f deploy/Containerfile -t stream-scorer-people --target people .
	ENGINE=$(ENGINE) $(BIN)/python -m pytest tests/integration/test_operations.py

matrix: .venv/dev.ok  ## unit tests by other Pythons, streams on other Kafkas: PYTHONS="python3.12 python3.13" KAFKAS="3.9.1 4.0.0"
	for each in $(PYTHONS); do rm -rf build/python; git clone -q . build/python; $(MAKE) -C build/python unit PYTHON=$$each || exit 1; done
	for each in $(KAFKAS); do TEST_KAFKA_VERSION=$$each $(BIN)/python -m pytest $(STREAMS) || exit 1; done

deploy-copies:  ## write anew the rules that deploy/kubernetes has a copy of
	{ sed -n '1,/^spec:/p' deploy/kubernetes/prometheus/rules.yaml; sed -n '/^groups:/,$$p' deploy/prometheus/rules.yml | sed 's/^\(.\)/  \1/'; } > deploy/kubernetes/prometheus/rules.new
	mv deploy/kubernetes/prometheus/rules.new deploy/kubernetes/prometheus/rules.yaml

lock: .venv/dev.ok  ## write requirements/*.txt anew from pyproject.toml
	$(LOCK) pyproject.toml --output-file requirements/service.txt
	$(LOCK) pyproject.toml --extra console --extra monitor --extra avro --extra otel --output-file requirements/people.txt
	$(LOCK) --group build --output-file requirements/build.txt
	$(LOCK) pyproject.toml --extra kafka --group build --output-file requirements/demo.txt
	$(LOCK) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt

clean:  ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* build *.egg-info

# Two sizes of one environment: the demo needs 0.3 GB, training and the tests 2.5 GB.
.venv/%.ok: requirements/%.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $<
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	rm -f .venv/*.ok  # the other size may have other versions: it is to be looked at again
	touch $@
