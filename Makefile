# The two commands are `make demo` and `make test`; the rest is for who changes the code.
GO            ?= go
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME      ?= 60s

.PHONY: demo build test allocations generate release-check lint bench bench-compare bench-check soak soak-speed fuzz

## demo: a whole pool in one process, with a chain and miners of its own
demo: build
	@bin/gbtpool demo

## build: bin/gbtpool, static
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/gbtpool ./cmd/gbtpool

## test: everything, with the race detector; axe-core comes by npm. The demo's hash rates are measured, so it runs alone
test:
	$(GO) vet ./...
	npm ci --prefix test/browser --no-audit --no-fund --silent
	$(GO) test -race -timeout 25m ./cmd/...
	$(GO) test -race -timeout 25m $$($(GO) list ./... | grep -v /cmd/)
	$(MAKE) allocations

## allocations: what hot paths may allocate, which cannot be counted with the race detector
allocations:
	$(GO) test -run '^TestAllocations$$' $$(find . -name allocations_test.go -exec dirname {} +)

## generate: the code that openapi.yaml leads to
generate:
	$(GO) generate .

## release-check: whether goreleaser understands its configuration
release-check:
	$(GO) run github.com/goreleaser/goreleaser/v2@v2.15.1 check

lint:
	$(GOLANGCI_LINT) run ./...

## soak: kill parts of a running pool two hundred times, and compare what was acknowledged with what is credited;
## then kill parts of one that pays, and replace the end of its chain, for SOAK, and compare chain and journal
SOAK ?= 30m
soak:
	GBTPOOL_CRASH_ROUNDS=200 $(GO) test -timeout 2h -run 'TestCrash$$' -v ./test/e2e
	GBTPOOL_SOAK=$(SOAK) $(GO) test -timeout 2h -run 'TestSoak$$' -v ./test/e2e

## bench: every benchmark BENCHCOUNT times, one after the other, and the medians; then the gateway side by side with the
## limit, BENCHROUNDS times in turn, recorded in docs/benchmarks.md and docs/benchmarks.json
BENCHCOUNT  ?= 5
BENCHROUNDS ?= 3
bench:
	@mkdir -p bin
	$(GO) test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) -timeout 1h ./... 2>&1 | tee bin/bench.txt
	@$(GO) run ./test/bench medians <bin/bench.txt
	$(GO) run ./test/bench -count $(BENCHROUNDS) -out docs/benchmarks.md -json docs/benchmarks.json

## soak-speed: 80 % of the most shares that the machine can take, with a new template every ten seconds, for SOAK
soak-speed:
	@mkdir -p bin
	$(GO) run ./test/bench -run '^soak$$' -soak $(SOAK) -json bin/soak.json

## bench-compare: the benchmarks here beside those of a commit or a tag, in turn, by benchstat:
## make bench-compare REF=v1.0.0 [BENCH=regexp] [PKG=./gbt] [COUNT=6]; a $ in BENCH is meant as it is
bench-compare:
	@REF='$(REF)' BENCH='$(value BENCH)' PKG='$(PKG)' COUNT='$(COUNT)' GO='$(GO)' ./test/bench/compare.sh

## bench-check: measures side by side anew, BENCHROUNDS times, and fails where a ratio is less than half as good as the
## recorded one; FRESH names what was measured before instead
RECORDED ?= docs/benchmarks.json
FRESH    ?=
bench-check:
	$(if $(FRESH),,$(GO) run ./test/bench -count $(BENCHROUNDS) -json bin/bench.json)
	$(GO) run ./test/bench/check $(RECORDED) $(or $(FRESH),bin/bench.json)

## fuzz: each fuzz target for FUZZTIME
fuzz:
	./test/fuzz.sh $(FUZZTIME)
