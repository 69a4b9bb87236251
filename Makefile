# The everyday commands of this project. CI calls the same targets: see .ci/run.

# A toolchain that tools/install.sh fetched comes first; the places of go.dev's own archive and of
# Ubuntu's Chromium come last, for a shell whose PATH lacks them.
export PATH := $(CURDIR)/.tools/go/bin:$(PATH):/usr/local/go/bin:/snap/bin

# Each has a go.mod of its own, so that the root's stays short.
MODULES := . bench/peers web/e2e interop

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  := $(shell git rev-parse --verify --quiet --short HEAD 2>/dev/null || echo unknown)
# -buildvcs=false: the stamp comes from here, and a tree without git must build too.
# Without cgo: nothing here needs C, and each worker process is a megabyte smaller.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION) -X main.commit=$(COMMIT)"

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.8.0
BENCHSTAT_VERSION     := v0.0.0-20260908200009-22c9c6c9d4da
# The version is part of the name: a new pin builds a new binary, an old one stays usable.
GOLANGCI_LINT := $(CURDIR)/.tools/bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
GOVULNCHECK   := $(CURDIR)/.tools/bin/govulncheck-$(GOVULNCHECK_VERSION)
BENCHSTAT     := $(CURDIR)/.tools/bin/benchstat-$(BENCHSTAT_VERSION)

# What the server is put through alone, each at its size: see bench/feats.go.
FEATS := bench-tail bench-churn bench-storm bench-recover bench-keepalive bench-million

ARGS     ?=
COUNT    ?= 3
FUZZTIME ?= 10s

.DEFAULT_GOAL := build
.PHONY: help build run test race lint fuzz torture soak bench bench-quick bench-compare bench-hostile $(FEATS) build-bench page screenshots fmt clean deps deps-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: deps page ## build the chat page, where there is npm, bin/server and bin/loadgen
	@$(GOBUILD) -o bin/ ./cmd/server ./cmd/loadgen

run: build ## install what is missing, build, serve http://localhost:8080 (ARGS="-addr :9000" for other flags)
	@$(if $(ARGS),,echo "open http://localhost:8080 in two tabs; Ctrl-C ends it" &&) exec bin/server $(ARGS)

test: deps-test ## every test, with the race detector: server, debug build, page in Chromium, other people's clients, benchmark peers
	tools/page.sh test
	go test -race ./...
	go test -race -tags hubbubdebug . ./internal/broadcast
	go vet ./...
	go vet -tags hubbubdebug ./...
	cd bench/peers && go vet ./... && go test -race ./...
	cd web/e2e && go vet ./... && go test -race -count=1 ./... # what it tests lies outside the module
	cd interop && go vet ./... && go test -race -count=1 ./...

race: deps-test ## the tests again and again under the race detector (COUNT=3)
	go test -race -count=$(COUNT) ./...

lint: deps $(GOLANGCI_LINT) $(GOVULNCHECK) ## golangci-lint and govulncheck, both pinned, over every module
	@for m in $(MODULES); do \
		echo "lint: $$m"; \
		(cd $$m && $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; \
	done
	@tools/vulncheck.sh $(GOVULNCHECK) $(MODULES)

fuzz: deps ## every fuzz target in turn (FUZZTIME=10s each)
	@tools/fuzz.sh $(FUZZTIME)

torture: deps ## faults at every system call, random schedules (TIME=1h)
	go test -race -timeout 0 -run '^TestTorture$$' -v . -torture.for=$(or $(TIME),1h)

soak: deps ## everything at once for a while, then nothing may be left over (TIME=10m)
	go test -run '^TestSoak$$' -count=1 -v -timeout 0 . -soak $(or $(TIME),10m)

bench: build-bench ## server, peers and floor side by side (BENCH_CONNS=20000 on a small machine, ROUNDS=3 for a first look)
	@bin/bench $(if $(BENCH_CONNS),-conns $(BENCH_CONNS)) $(if $(ROUNDS),-rounds $(ROUNDS)) $(ARGS)

bench-quick: build-bench ## in two minutes, to see what a change did
	@bin/bench -quick $(ARGS)

bench-compare: deps $(BENCHSTAT) ## the benchmarks in Go next to those of another commit (BASE=main~1)
	@tools/bench-compare.sh $(BENCHSTAT) $(BASE)

bench-hostile: build ## the fan-out to 12,800 while 3,200 others misbehave, each kind in turn (ROUNDS=3; ARGS="-kinds trickle,reset" for some)
	@$(GOBUILD) -o bin/ ./bench ./bench/hostile
	@bin/bench -hostile $(if $(ROUNDS),-rounds $(ROUNDS)) $(ARGS)

bench-tail: ## latency in a topic of 10 beside one of 100,000 in permanent fan-out (BENCH_CONNS, ROUNDS=3)
bench-churn: ## a fan-out to 50,000, calm and while 2,000 others a second come and go
bench-storm: ## the server is killed under 100,000 connections and started again: until all are back
bench-recover: ## 100,000 connect at once and get a channel's last 30 messages each; and again after the server was killed
bench-keepalive: ## 100,000 idle connections, pinged every 30 s: processor time
bench-million: ## a million connections and ten messages to all of them (8 minutes, 12 GB; BUCKETS=4194304: in a larger table of the kernel)

$(FEATS): build
	@$(GOBUILD) -o bin/ ./bench
	@$(if $(BUCKETS),tools/own-net.sh $(BUCKETS)) bin/bench -scenarios $(@:bench-%=%) $(if $(BENCH_CONNS),-conns $(BENCH_CONNS)) $(if $(ROUNDS),-rounds $(ROUNDS)) $(ARGS)

build-bench: build
	@$(GOBUILD) -o bin/ ./bench ./bench/floor
	@cd bench/peers && $(GOBUILD) -o ../../bin/ ./...

screenshots: deps-test ## take the pictures of the page that the README shows
	cd web/e2e && go test -count=1 -run '^TestScreenshots$$' -screenshots ../screenshots .

fmt: deps ## gofmt every module
	@for m in $(MODULES); do (cd $$m && go fmt ./...) || exit 1; done

clean: ## remove what build made (.tools, with the linters and any fetched Go, stays)
	rm -rf bin web/dist/page

page:
	@tools/page.sh build

deps:
	@tools/install.sh build

deps-test:
	@tools/install.sh test

$(GOLANGCI_LINT): | deps
	@tools/gotool.sh $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(GOVULNCHECK): | deps
	@tools/gotool.sh $@ golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

$(BENCHSTAT): | deps
	@tools/gotool.sh $@ golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION)
