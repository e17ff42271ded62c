# Each target is a short command that also works by hand. "go build ./..."
# alone builds everything; only "make generate" needs clang.

GO     ?= go
PREFIX ?= /usr/local

# The BPF object is committed, and CI compares it byte for byte with what this
# compiler makes of the sources: Debian 12's clang-14 and libbpf-dev 1.1.
CLANG ?= clang-14

# The programs that check the code have a module of their own.
TOOL := $(GO) tool -modfile=tools/go.mod

# Tracing needs root. Whoever is not root runs the compiler as himself and the
# programs that it made with sudo.
ifneq ($(shell id -u),0)
SUDO := sudo env "PATH=$(PATH):/usr/sbin:/sbin"
EXEC := -exec '$(SUDO)'
endif

# What does not touch the kernel, and so builds for other systems too.
PORTABLE = $(shell GOOS=darwin $(GO) list ./internal/... ./cmd/...)

.PHONY: build watch generate test race lint bench install clean help

build: ## ./tcptrace, static, and ./tcplab
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto ./cmd/tcptrace
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto ./cmd/tcplab

watch: build ## build, and show every transition of this host as it happens
	$(SUDO) ./tcptrace watch

generate: ## what is generated from C, again (needs clang-14, llvm-14, libbpf-dev)
	BPF2GO_CC=$(CLANG) $(GO) generate ./...

test: ## every test; those of the kernel side need root, or sudo
	$(GO) test $(EXEC) ./...

race: ## the tests that need no kernel, with the race detector (needs a C compiler)
	$(GO) test -race $(PORTABLE)

lint: ## gofmt, go vet for every system that we build for, golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -d .; echo 'remedy: gofmt -w .' >&2; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	$(TOOL) golangci-lint run ./...

bench: ## the benchmarks of the parts that need no kernel
	$(GO) test -run '^$$' -bench . -benchmem $(PORTABLE)

install: ## copy ./tcptrace to $(PREFIX)/bin, after "make build"
	install -D -m 0755 tcptrace $(DESTDIR)$(PREFIX)/bin/tcptrace

clean: ## remove what build made
	rm -f tcptrace tcplab

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
