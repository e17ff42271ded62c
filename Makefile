# Each target is a short command that also works by hand. "go build ./..."
# alone builds everything; only "make generate" needs clang.

GO     ?= go
PREFIX ?= /usr/local

# The BPF object is committed, and CI compares it byte for byte with what this
# compiler makes of the sources: Debian 12's clang-14 and libbpf-dev 1.1.
CLANG ?= clang-14

# The programs that check the code have a module of their own.
TOOL := $(GO) tool -modfile=tools/go.mod

# Tracing needs root. For those who are not, the compiler runs as they do, and
# what it made runs with sudo. One test builds the program once more: as root,
# to whom git does not tell the version of a checkout of somebody else.
ifneq ($(shell id -u),0)
SUDO := sudo env "PATH=$(PATH):/usr/sbin:/sbin" GOFLAGS=-buildvcs=false
EXEC := -exec '$(SUDO)'
endif

.PHONY: build watch generate tracefs test race test-duckdb test-trace test-collector test-kernel test-kernels lint bench bench-go install clean help

build: ## ./tcptrace, static, and ./tcplab
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto ./cmd/tcptrace
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto ./cmd/tcplab

watch: build ## build, and show every transition of this host as it happens
	$(SUDO) ./tcptrace watch

generate: ## what is generated from C, again (needs clang-14, llvm-14, libbpf-dev)
	BPF2GO_CC=$(CLANG) $(GO) generate ./...

# Tracepoints of system calls are found in tracefs, which systemd mounts.
tracefs:
	@mountpoint -q /sys/kernel/tracing || $(SUDO) mount -t tracefs nodev /sys/kernel/tracing

test: tracefs ## every test; those of the kernel side need root, or sudo
	$(GO) test -timeout 20m $(EXEC) ./...

race: tracefs ## the tests with the race detector, without those that take a minute (needs a C compiler)
	$(GO) test -race -short -timeout 20m $(EXEC) ./...

test-trace: ## the traces for Perfetto and Chrome, read by TracerBench (needs Node.js 20 and npm, which fetches it)
	cd internal/perfetto/readertest && npm install --no-package-lock --ignore-scripts --no-audit --no-fund --silent && node --test

test-duckdb: ## the Parquet files, read by DuckDB (needs a C compiler; fetches DuckDB's library as a Go module)
	cd internal/export/duckdbtest && CGO_ENABLED=1 $(GO) test -mod=mod -count=1 ./...

test-collector: ## the agent's records, taken by an OpenTelemetry Collector (fetches its Go modules; as root also of real traffic)
	cd internal/agent/collectortest && $(GO) test -mod=mod -count=1 -timeout 10m $(EXEC) ./...

# Both need the packages qemu-system-x86 and busybox-static, and fetch Debian's
# kernels by apt into .cache/kernels.
test-kernel: ## the live tests on one more kernel, emulated: make test-kernel KERNEL=6.1
	@test -n "$(KERNEL)" || { echo 'which? make test-kernel KERNEL=6.1' >&2; exit 2; }
	$(GO) run ./cmd/testkernel $(KERNEL)

test-kernels: ## the same on 5.10, 6.1, 6.12, 7.2 and this host's, and docs/kernels.md of it
	$(GO) run $(EXEC) ./cmd/testkernel -native -cost -write docs/kernels.md

lint: ## gofmt, go vet for every system that we build for, golangci-lint
	@test -z "$$(gofmt -l .)" || { gofmt -d .; echo 'remedy: gofmt -w .' >&2; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	$(TOOL) golangci-lint run ./...

# The peers are Debian's; who has others installed keeps them. BENCH takes flags,
# as in "make bench BENCH='-rounds 3 -only conns'".
bench: ## what tracing costs beside its peers, in turns: 25 minutes, into docs/overhead.md
	@for p in tcpstates:libbpf-tools tcplife:libbpf-tools tcplife.bt:bpftrace; do \
		command -v $${p%:*} >/dev/null || [ -x /usr/sbin/$${p%:*} ] || \
			$(SUDO) apt-get install -q -y --no-install-recommends $${p#*:} || \
			echo "no $${p%:*} here: it is left out" >&2; \
	done
	PATH="$$PATH:/usr/sbin:/sbin" $(GO) run $(EXEC) ./cmd/tcpbench -write docs/overhead.md $(BENCH)

bench-go: ## every Go benchmark; those of the kernel side need root, or sudo
	$(GO) test -run '^$$' -bench . -benchmem $(EXEC) ./...

install: ## copy ./tcptrace to $(PREFIX)/bin, after "make build"
	install -D -m 0755 tcptrace $(DESTDIR)$(PREFIX)/bin/tcptrace

clean: ## remove what build made
	rm -f tcptrace tcplab

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
