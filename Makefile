# latticed: `make run` starts it, `make test` tests it. Both need only Go, git and make.

export GOTOOLCHAIN := local
GO      ?= go
BIN     := bin/latticed
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: help build run test check fmt vet clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/latticed
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN) ./daemon/latticed

run: build ## build and start the daemon on 127.0.0.1:11222 and :11211
	./$(BIN)

test: ## run all tests
	$(GO) test ./...

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

vet: ## report suspicious code
	$(GO) vet ./...

check: vet test ## everything CI asks for
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted: run make fmt'; gofmt -l $$(git ls-files '*.go'); exit 1; }

clean: ## remove what was built
	rm -rf bin dist .cache
