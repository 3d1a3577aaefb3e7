# latticed: `make run` starts it, `make test` tests it. Both need only Go, git and make.

export GOTOOLCHAIN := local
export CGO_ENABLED := 0
GO      ?= go
BIN     := bin/latticed
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ARGS    ?=

# Packages in which goroutines meet: these also run under the race detector, which needs a C compiler.
RACE := ./grid/... ./protocols/... ./router/... ./daemon/...
# What every change must also compile for.
PLATFORMS := linux/arm64 linux/386 darwin/arm64 windows/amd64
# What make check runs, in this order.
CHECKS := format vet lint mod cross test race

.DEFAULT_GOAL := help
.PHONY: help build run test check conformance soak bench fmt format vet lint race mod cross clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/latticed
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./daemon/latticed

run: build ## build and start the daemon on 127.0.0.1:11222 and :11211 (ARGS='--memory 1GB' for flags)
	./$(BIN) $(ARGS)

test: ## run all tests
	$(GO) test ./...

check: ## everything that must hold before a change lands; the end says what does not
	@mkdir -p .cache/check; failed=; for part in $(CHECKS); do \
		echo "---- $$part"; rm -f .cache/check/ok; \
		{ $(MAKE) --no-print-directory $$part && touch .cache/check/ok; } 2>&1 | tee .cache/check/$$part; \
		test -e .cache/check/ok || failed="$$failed $$part"; \
	done; \
	for part in $$failed; do \
		printf '\n---- %s failed; of what it said, without the packages that passed, the end:\n' $$part; \
		grep -vE '^(ok|\?) .*(s|\(cached\)|\[no test files\])$$' .cache/check/$$part | tail -n 40; \
	done; \
	if test -n "$$failed"; then echo "make check: failed:$$failed (of $(CHECKS))"; exit 1; fi; \
	echo "make check: $(CHECKS): all passed"

conformance: build ## run outside clients and suites against the daemon (QUICK=1: the fast ones)
	cd scripts/conformance && $(GO) run . -daemon ../../$(BIN) -cache ../../.cache/conformance $(if $(QUICK),-quick)

soak: build ## be hostile to the daemon for 10 minutes and see whether it ends as it began (DURATION=1m for less)
	$(GO) run ./scripts/soak -daemon $(BIN) -duration $(or $(DURATION),10m)

bench: build ## compare with a memcached, PEER=/path or on PATH, and write docs/benchmarks.md (BENCH='-only p16' for less)
	$(GO) run ./scripts/bench -daemon $(BIN) -peer "$(PEER)" -out docs/benchmarks.md $(BENCH)

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

format: ## fail if the code is not formatted
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted (run make fmt):'; gofmt -l $$(git ls-files '*.go'); exit 1; }

vet: ## go vet, also of what the race detector leaves out and in
	$(GO) vet ./...
	$(GO) vet -tags race ./...

lint: ## staticcheck, pinned in scripts/tools/go.mod
	$(GO) tool -modfile=scripts/tools/go.mod staticcheck ./...

race: ## tests under the race detector
	CGO_ENABLED=1 $(GO) test -race $(RACE)

mod: ## fail if go.mod or go.sum are not tidy or a module was altered
	$(GO) mod tidy -diff
	$(GO) mod verify

cross: ## compile for the other platforms
	@for p in $(PLATFORMS); do echo "build $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./daemon/latticed || exit 1; done

clean: ## remove what was built
	rm -rf bin dist .cache
