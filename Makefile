# esca. `make` lists the targets.

GO       ?= go
ADDR     ?= :8080
ROOT     ?=
SEEDS    ?= 1000
STATIC   := honnef.co/go/tools/cmd/staticcheck@v0.7.0
PKGS     := github.com/escahttp/esca/... # of all modules that go.work ties
MODULES  := $(shell sed -n 's/^\t\(\.[^ ]*\)$$/\1/p' go.work)
LINKED   := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: help run build test setup cross lint fmt tidy fuzz cover nettest test-peers test-browser overload soak bench bench-quick dist test-dist test-deb test-deb-vm test-image clean \
  kmod kmod-load kmod-unload kmod-dkms kmod-lint test-vm test-peers-vm test-vm-debug test-vm-cost preload preload-install preload-soak preload-bench preload-paper

help:        ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build   ## build escahttp and serve ROOT (default: the welcome site) on ADDR (default :8080)
	./bin/escahttp --addr=$(ADDR) $(if $(ROOT),'$(ROOT)')

build:       ## build bin/escahttp
	$(GO) build -ldflags "-X main.linked=$(LINKED)" -o bin/escahttp ./cmd/escahttp

test: setup lint cross ## everything a change has to pass (sets up what it needs)
	ESCA_REQUIRE=preload,curl,nghttp,h2load,haproxy,systemd-socket-activate ESCA_SEEDS=$(SEEDS) $(GO) test -race -timeout 40m $(PKGS)
	CGO_ENABLED=0 ESCA_BACKEND=direct $(GO) test -short -timeout 40m ./poller/... ./conn/... ./conn/nettest ./server/... ./server/apps ./server/http3 ./cmd/escahttp/internal/http1
	GO=$(GO) kmodule/vm/run 6.1 6.12

setup:       ## install what the race detector and the tests need, where it is missing
	@command -v $(GO) >/dev/null || { echo "make test needs Go (go.dev/dl)"; exit 1; }
	@command -v gcc >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev >/dev/null; } || \
	  { echo "make test needs gcc, for the race detector: apt-get install gcc libc6-dev"; exit 1; }
	@kmodule/preload/preloadtest/setup
	@command -v h2load >/dev/null && command -v curl >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nghttp2-client curl >/dev/null; } || \
	  { echo "make test needs nghttp, h2load and curl: apt-get install nghttp2-client curl"; exit 1; }
	@command -v systemd-socket-activate >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd >/dev/null; } || \
	  { echo "make test needs systemd-socket-activate: apt-get install systemd"; exit 1; }
	$(GO) mod download

cross:       ## build for every system and without cgo
	CGO_ENABLED=0 $(GO) build $(PKGS)
	GOOS=linux GOARCH=arm64 $(GO) vet ./poller/... ./conn ./server ./server/http3 ./cmd/escahttp/...
	GOOS=darwin $(GO) build ./poller ./conn ./server ./server/http3 ./cmd/escahttp/...
	GOOS=freebsd $(GO) build ./poller ./conn ./server ./server/http3 ./cmd/escahttp/...
	GOOS=windows $(GO) build ./poller ./conn ./server ./server/http3 ./cmd/escahttp/...

lint:        ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt these (make fmt):"; gofmt -l .; exit 1; }
	$(GO) vet $(PKGS)
	$(GO) run $(STATIC) $(PKGS)

fmt:         ## gofmt
	gofmt -w .

# The modules require each other at the version that the next release gives them all, and none
# replaces another, as go install refuses one that does: so tidy works on copies.
tidy:        ## go mod tidy in each module
	@mkdir -p bin
	@for m in $(MODULES); do \
	  cp $$m/go.mod bin/tidy.mod; cp $$m/go.sum bin/tidy.sum 2>/dev/null || : >bin/tidy.sum; \
	  for o in $(MODULES); do \
	    $(GO) mod edit -replace=$$(sed -n 's/^module //p' $$o/go.mod)=$(CURDIR)/$$o bin/tidy.mod; done; \
	  echo "$$m"; (cd $$m && GOWORK=off $(GO) mod tidy -modfile=$(CURDIR)/bin/tidy.mod) || exit 1; \
	  for o in $(MODULES); do $(GO) mod edit -dropreplace=$$(sed -n 's/^module //p' $$o/go.mod) bin/tidy.mod; done; \
	  cp bin/tidy.mod $$m/go.mod; cp bin/tidy.sum $$m/go.sum; \
	done
	@rm bin/tidy.mod bin/tidy.sum
	$(GO) work sync

fuzz:        ## each fuzz target for FUZZTIME (default 30s)
	@for d in $$($(GO) list -f '{{.Dir}}' $(PKGS)); do \
	  for f in $$(grep -ho 'func Fuzz[A-Za-z0-9]*' $$d/*_test.go 2>/dev/null | sed 's/func //' | sort -u); do \
	    echo "$$d $$f"; (cd $$d && $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-30s} .) || exit 1; \
	  done; done

cover:       ## coverage of the tests, as bin/cover.html
	@mkdir -p bin
	$(GO) test -coverpkg=./poller/...,./conn/...,./server/...,./server/http3,./cmd/escahttp/... -coverprofile=bin/cover.out $(PKGS)
	$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func=bin/cover.out | tail -1

nettest:     ## golang.org/x/net/nettest over Conn, GOMAXPROCS 1, 2 and 4, 20 times in a row
	$(GO) test -race -run TestConnIsANetConn -count=20 -timeout 30m ./conn/nettest

test-peers:  ## fasthttp's and gnet's own tests with their servers on esca (fifteen minutes; needs iproute2)
	$(GO) run ./server/peers

test-browser: ## escahttp's pages, and HTTP/2, in headless Chromium (installs Debian's chromium where it is missing)
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	  { echo "make test-browser needs Chromium: apt-get install chromium"; exit 1; }
	ESCA_REQUIRE=chromium $(GO) test -count=1 -run 'TestBrowser|TestH2Programs/.*/chromium' ./cmd/escahttp ./server

overload:    ## 10,000 connections, slow readers and the like, without the race detector
	$(GO) test -count=1 -run Overload -v ./server

soak:        ## ten minutes (SOAK) of files being replaced, cut off, removed under load, every body checked
	ESCAHTTP_SOAK=$${SOAK:-10m} $(GO) test -count=1 -timeout 2h -run TestSoak -v ./cmd/escahttp

bench:       ## measure esca beside its peers, into bench-report/ (needs wrk, gcc; nginx, lighttpd, h2o, h2load, perf)
	$(GO) run ./bench

bench-quick: ## the most telling part of it, in five minutes
	$(GO) run ./bench -quick -starts 1

dist:        ## a release in bin/dist: programs, SBOMs, Debian packages, checksums
	GO=$(GO) cmd/escahttp/deploy/dist bin/dist

test-dist:   ## that a release built twice, in two places, is the same bytes (some minutes)
	GO=$(GO) cmd/escahttp/deploy/test-dist

test-deb: dist test-deb-vm ## its Debian packages in a clean chroot and in a VM: install, serve, build the module, remove (root)
	cmd/escahttp/deploy/test-deb bin/dist

test-deb-vm: dist ## the half of it in a VM, under systemd (root)
	cmd/escahttp/deploy/test-deb-vm bin/dist

test-image:  ## the image of cmd/escahttp/deploy/Dockerfile, built by buildah, and a container of it (root)
	GO=$(GO) cmd/escahttp/deploy/test-image

preload:     ## build bin/preload/libesca.so and esca-run, for servers in C (x86-64)
	@$(MAKE) -s -C kmodule/preload OUT=$(CURDIR)/bin/preload

preload-install: ## install them under PREFIX (default /usr/local)
	@$(MAKE) -s -C kmodule/preload OUT=$(CURDIR)/bin/preload install

preload-soak: ## its tests with SEEDS (default 1000) seeds of short sends: ten minutes
	@kmodule/preload/preloadtest/setup
	ESCA_REQUIRE=preload ESCA_PRELOAD_SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 3h ./kmodule/preload/preloadtest

preload-bench: ## CPU of nginx, lighttpd or Redis (LOAD) with and without it, in turns, a minute
	@kmodule/preload/preloadtest/setup
	@ESCA_PRELOAD_BENCH=$${LOAD:-nginx-1k} $(GO) test -count=1 -timeout 8m -run TestBench -v ./kmodule/preload/preloadtest

preload-paper: ## the ESCA paper's figures 9, 10, 12, 13 and Redis beside ours, in five minutes
	@kmodule/preload/preloadtest/setup
	@ESCA_PRELOAD_PAPER=1 $(GO) test -count=1 -timeout 15m -run TestPaper -v ./kmodule/preload/preloadtest

kmod:        ## build the kernel module for the running kernel
	@kmodule/install build

kmod-load:   ## load it, make the group esca and install the udev rule (root)
	@kmodule/install load

kmod-unload: ## unload it (root)
	@kmodule/install unload

kmod-dkms:   ## have DKMS build it for every kernel (root)
	@kmodule/install dkms

kmod-lint:   ## the module's source: W=1, sparse, checkpatch
	@kmodule/vm/lint 6.1 6.12

test-vm:     ## the module, and conn and server on it, in QEMU on Debian's 6.1 and 6.12
	@kmodule/vm/run 6.1 6.12

test-peers-vm: ## a part of fasthttp's and gnet's own tests on the module, in QEMU
	@ESCA_VM_ONLY='^load|^peers' GO=$(GO) kmodule/vm/run 6.12

test-vm-debug: ## the same on kernels built with KASAN, lockdep, kmemleak and KCSAN (built once: half an hour)
	@kmodule/vm/run debug-kasan debug-kcsan

test-vm-cost: ## instructions per operation and per request, direct beside kmod
	@kmodule/vm/run --cost 6.12

clean:
	rm -rf bin
