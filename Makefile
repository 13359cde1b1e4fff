# make run     see it work: builds, starts a server on loopback, delivers samples, shows the mailboxes
# make test    everything, with the programs of other people that it is tested against
# make help    the rest

GO       ?= go
PREFIX   ?= /usr/local
FUZZTIME ?= 60s
VERSION  := $(shell git describe --always --dirty 2>/dev/null)
BINARY   := build/kiyome

# Packages whose tests are cheap enough for the race detector; the others run without.
RACE     := kiyome/accounts kiyome/lmtp kiyome/store kiyome/scan/report kiyome/cmd/kiyome/config kiyome/cmd/kiyome/control kiyome/cmd/kiyome/web kiyome/cmd/kiyome/monitor

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: run build test lint bench torture fuzz install deps deps-build help clean

run: build ## show the main job, with nothing configured; ^C ends it
	@$(BINARY) demo

build: deps-build ## build/kiyome
	@mkdir -p build
	$(GO) build -ldflags "-X main.version=$(VERSION)" -o $(BINARY) ./cmd/kiyome

test: deps ## vet and all tests
	$(GO) vet ./... ./testdata ./testdata/evasion
	$(GO) vet -tags 'bench torture' ./cmd/kiyome ./accounts
	$(GO) test -race -timeout 10m $(RACE)
	$(GO) test -timeout 10m $(filter-out $(RACE),$(shell $(GO) list ./... ./testdata ./testdata/evasion))

lint: deps-build ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./... ./testdata ./testdata/evasion
	$(GO) vet -tags 'bench torture' ./cmd/kiyome ./accounts
	$(GO) run $(STATICCHECK) ./... ./testdata ./testdata/evasion

bench: deps ## what a delivery costs, beside other servers where they are installed, and a bill of a million accounts
	$(GO) test -tags bench -run '^Test(Budget|Operation|Filter)$$' -v -timeout 60m ./cmd/kiyome
	$(GO) test -tags bench -run '^TestMillionAccounts$$' -v -timeout 60m ./accounts

# A mount that a torture leaves when it is killed goes with its namespace.
ALONE  = $(shell [ "$$(id -u)" = 0 ] && unshare --mount true 2>/dev/null && echo unshare --mount --propagation private)

torture: deps ## faults put on a running server, and a table of what came of each; SOAK=30m; BREAK=all proves that it would see faults of ours
	BREAK='$(BREAK)' SOAK='$(SOAK)' $(ALONE) $(GO) test -tags torture -count 1 -run '$(if $(BREAK),^TestTortureSeesWhatIsBroken$$,^Test(Torture|Soak)$$)' -v -timeout 24h ./cmd/kiyome

fuzz: deps-build ## every fuzz target for FUZZTIME
	@set -e; grep -rn --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:[0-9]*:func / /' | sort -u | \
	while read -r file target; do \
		echo "== $$target in $$(dirname $$file)"; \
		$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)" || exit 1; \
	done

install: build ## the program, units for systemd and shell completions, below PREFIX
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/kiyome
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	for u in cmd/kiyome/systemd/*; do sed 's,/usr/local/,$(PREFIX)/,' $$u | install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/}; done
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/kiyome/README.md
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(BINARY) completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/kiyome
	$(BINARY) completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kiyome
	$(BINARY) completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/kiyome.fish

# ensure installs Debian packages when they are missing and root and apt-get are
# at hand; else it says what to install. The first argument is "required" or what does
# without them.
define ensure
@have() { \
	case $$1 in \
	gcc|pkg-config|strace|python3|chromium) command -v $$1 ;; \
	libc6-dev) echo '#include <stdint.h>' | gcc -E - ;; \
	libyara-dev) pkg-config --exists yara ;; \
	postfix) test -x /usr/sbin/postfix ;; \
	opendkim) test -x /usr/sbin/opendkim ;; \
	dovecot-core) test -x /usr/sbin/dovecot ;; \
	dovecot-imapd) test -x /usr/lib/dovecot/imap ;; \
	dovecot-pop3d) test -x /usr/lib/dovecot/pop3 ;; \
	dovecot-lmtpd) test -x /usr/lib/dovecot/lmtp ;; \
	fonts-noto-cjk) test -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ;; \
	libmime-tools-perl) perl -MMIME::Parser -e 1 ;; \
	*) false ;; \
	esac >/dev/null 2>&1; }; \
lacking() { for p in $(2); do have $$p || printf ' %s' $$p; done; }; \
missing=$$(lacking); \
if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; \
	apt-get install -qq -y --no-install-recommends $$missing >/dev/null 2>&1 || \
	{ apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null; } || true; \
	missing=$$(lacking); \
fi; \
if [ -n "$$missing" ]; then \
	echo "missing:$$missing   (Debian: sudo apt-get install$$missing)"; \
	if [ '$(1)' = required ]; then echo 'kiyome cannot be built without'; exit 1; else echo '$(1)'; fi; \
fi
endef

deps-build:
	$(call ensure,required,gcc libc6-dev pkg-config libyara-dev)

deps: deps-build ## install what building and testing need, or say what is missing
	$(call ensure,tests that need them are skipped,postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd opendkim strace python3 libmime-tools-perl chromium fonts-noto-cjk)

clean: ## remove what was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | sort | while IFS="$$(printf '\t')" read -r name what; do printf '%-9s %s\n' "$$name" "$$what"; done
