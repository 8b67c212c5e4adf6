# Everything here needs Go, make and a shell; race needs a C compiler too, and
# kind-up and e2e a Docker engine.
# The heavy tools (API server, Vault, linters) are compiled once per version,
# into a cache outside the tree: see $WRIT_TOOLS_CACHE in CONTRIBUTING.md.

.DEFAULT_GOAL := help
SHELL := /bin/bash

VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PROGRAMS   := writ writ-hub writ-spoke vault-plugin-auth-writ
PACKAGES   ?= ./...
TEST_FLAGS ?= -timeout 30m
RACE_FLAGS ?= -timeout 20m
FUZZTIME   ?= 200000x
CLUSTERS   ?= 2
DEMO_FLAGS ?=
E2E_FLAGS  ?=

GOLANGCI_LINT = $$(tools/tool lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## compile writ, writ-hub, writ-spoke and the auth method for Vault into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '-X github.com/writ-dev/writ/internal/release.version=$(VERSION)' -o bin/ $(addprefix ./cmd/,$(PROGRAMS))

.PHONY: images
images: ## make container images and their bills of materials in bin/images: no container engine is needed
	@vault=$$(go run ./internal/world/cmd/clusters -path vault) && \
	plugin=$$(go run ./internal/world/cmd/clusters -path vault-plugin-secrets-kubernetes) && \
	auth=$$(go run ./internal/world/cmd/clusters -path vault-plugin-auth-writ) && \
	cd tools/images && go run . -version '$(VERSION)' -created "$$(git log -1 --format=%ct 2>/dev/null || echo 0)" \
		-vault "$$vault" -vault-plugin "$$plugin" -vault-auth "$$auth"

.PHONY: images-check
images-check: ## test the images: the same bytes twice, static, not root, the spoke's under 40 MB
	cd tools/images && go vet ./... && go test ./...

.PHONY: charts
charts: tools ## judge the Helm charts: helm lint, kubeconform with the test API server's schemas, and writ install beside Helm
	@tools/charts/check

.PHONY: test
test: tools ## run every test, on real API servers and a real Vault
	@tools/test/run "$(PACKAGES)" $(TEST_FLAGS)

# Not the manifests nor the reading of audit logs: nothing is at once in them, and their tests take long.
.PHONY: race
race: tools ## run the tests under the race detector (RACE_FLAGS=-short: those that need no cluster)
	@CGO_ENABLED=1 tools/test/run "$$(go list $(PACKAGES) | grep -v -E '/(e2e|deploy|api/auditlog)(/|$$)' | tr '\n' ' ')" -race -vet=off $(RACE_FLAGS)

.PHONY: lint
lint: ## hold the code to the linters, the layers and the programs' weight
	$(GOLANGCI_LINT) run
	tools/lint/closure

.PHONY: fmt
fmt: ## format the code as lint wants it
	$(GOLANGCI_LINT) fmt

.PHONY: generate
generate: ## make protobuf code, deep copies, CRDs and docs/deps anew
	tools/codegen/generate

.PHONY: generate-check
generate-check: ## fail if generate would change anything
	tools/codegen/generate -check

.PHONY: fuzz
fuzz: ## run each fuzz target with FUZZTIME inputs
	tools/test/fuzz $(FUZZTIME)

.PHONY: bench
bench: tools ## measure the parts (6 times, for benchstat), then the whole system
	go test -run '^$$' -bench . -benchmem -count 6 -timeout 30m $$(go list ./... | grep -v /e2e)
	go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./e2e/bench

.PHONY: drills
drills: tools ## hand an attacker one key after another, and measure what each reaches: ends with 0 escapes
	@go test -count 1 -timeout 20m -v ./e2e/drills | grep -v -E '^(===|---|    ---) |^(PASS|ok) ' ; exit $${PIPESTATUS[0]}

.PHONY: demo
demo: build ## watch one action travel from a signal to a signed receipt (DEMO_FLAGS="--yes --once")
	@bin/writ demo $(DEMO_FLAGS)

.PHONY: kind-up
kind-up: ## make clusters on kind: hub, east, west (see kind-configs/README.md)
	@tools/kind/clusters up

.PHONY: kind-load
kind-load: ## load the images of make images into them
	@tools/kind/clusters load

.PHONY: kind-down
kind-down: ## delete them, by their names
	@tools/kind/clusters down

.PHONY: e2e
e2e: ## install, heal, kill, cut off, upgrade and uninstall on real clusters: needs a Docker engine (E2E_FLAGS="-run TestKind/heals")
	@tools/kind/e2e $(E2E_FLAGS)

.PHONY: tools
tools: ## compile the API server, Vault and the others that tests and the demo run
	@go run ./internal/world/cmd/clusters -compile

.PHONY: clusters
clusters: ## start CLUSTERS real clusters on this machine until Ctrl-C
	@go run ./internal/world/cmd/clusters -n $(CLUSTERS)
