# Everything that one does with Lanekeeper. `make help` lists it.

ARGS ?=
# Version control is not asked: a checkout may belong to another user. The tag leaves
# out what scripts/build.sh says.
export GOFLAGS := $(GOFLAGS) -buildvcs=false -tags=nomsgpack,grpcnotrace

LINT := go tool -modfile=tools/go.mod golangci-lint

VERSION ?= $(shell sed -n 's/^app_version: "\(.*\)"/\1/p' config/example.config.yaml)

.DEFAULT_GOAL := help
.PHONY: help run build test fuzz bench bench-compare chaos interop browser lint vulncheck format generate release pins up down clean

help: ## list the targets
	@echo "Lanekeeper:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || sed -n 's/^\([a-z-]*\):.*## /  make \1  /p' $(MAKEFILE_LIST)
	@echo
	@echo "Servers of your own instead of private ones:"
	@echo "  make run    with DATABASE_URL=postgres://... RABBITMQ_URL=amqp://... [REDIS_URL=redis://...]"
	@echo "  make test   with TEST_DATABASE_URL, TEST_RABBITMQ_URL, TEST_RABBITMQ_MANAGEMENT_URL (http://user:password@host:15672),"
	@echo "              TEST_REDIS_URL; TESTSTACK=env, docker or local forces where they come from"
	@echo "  make test   ARGS='-run TestX ./tests/...' picks tests"

run: ## build and run, with private servers unless DATABASE_URL and RABBITMQ_URL are set
	@exec scripts/run.sh $(ARGS)

build: ## build bin/lanekeeper
	@scripts/build.sh

test: ## run the tests against real servers; ARGS='-run X ./tests/...' picks some
	@exec scripts/test.sh $(ARGS)

fuzz: ## run every fuzz target for FUZZTIME, 60s unless given; ARGS=FuzzCursor picks some
	@exec scripts/fuzz.sh $(ARGS)

bench: ## measure the whole service; ARGS='-out docs/performance.md' writes the page
	@if [ -z "$$DATABASE_URL$$RABBITMQ_URL" ]; then scripts/install-servers.sh; fi
	go run ./tests/bench $(ARGS)

bench-compare: ## measure a revision and the working tree in turns and print ratios: REV=main~3, ROUNDS=9, ARGS='-tenants=10 ...'
	@if [ -z "$(REV)" ]; then echo "bench-compare: REV=<revision> says what to compare with" >&2; exit 2; fi
	@if [ -z "$$DATABASE_URL$$RABBITMQ_URL" ]; then scripts/install-servers.sh; fi
	go run ./tests/bench/compare $(if $(ROUNDS),-rounds $(ROUNDS)) $(REV) $(ARGS)

chaos: ## break everything under load and prove that nothing is lost (an hour); ARGS='-short' in minutes, '-run X' picks
	@scripts/install-servers.sh postgresql rabbitmq-server redis-server iproute2 nginx-light
	go run ./tests/chaos $(ARGS)

interop: ## try other people's tools (docs/interop.md), from npm; ARGS='-run X' picks
	@scripts/install-servers.sh curl default-jdk-headless librabbitmq-client-java nodejs npm python3 python3-pika prometheus
	@exec scripts/test.sh -tags interop,nomsgpack,grpcnotrace -count=1 $(ARGS) ./tests/interop/

browser: ## try the console in Chromium; ARGS='-run X' picks, PICTURES=docs/pictures keeps what it looks like
	@scripts/install-servers.sh chromium nodejs npm
	@exec scripts/test.sh -tags browser,nomsgpack,grpcnotrace -count=1 $(ARGS) ./tests/browser/

lint: ## check style and mistakes (the first time takes minutes: the linter is built)
	$(LINT) run
	$(LINT) fmt --diff
	go mod verify >/dev/null
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; else echo "lint: no shellcheck here: the shell scripts were not checked"; fi

format: ## bring the sources into their usual form
	$(LINT) fmt

vulncheck: ## look for known vulnerabilities, where their database can be asked
	@exec scripts/vulncheck.sh $(ARGS)

release: ## build programs, Debian packages, images, the Helm chart, bills of materials and checksums into dist/; VERSION=1.2.3
	@exec scripts/release.sh $(VERSION)

pins: ## write the digests of all images into Dockerfile and docker-compose.yml
	@exec scripts/pin-images.sh

generate: ## write the generated files again
	go generate ./...

up: ## run everything in containers, on http://127.0.0.1:8080
	docker compose up --build --wait

down: ## end what make up started; its data stay
	docker compose down

clean: ## remove what was built; the data in .lanekeeper stay
	rm -rf bin dist
