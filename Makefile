# Builds mta-sts-httpd and checks it. `make help` lists the targets. Variables for the command line:
#   SAN=1              with address and undefined-behaviour sanitizers, under build/san
#   WERROR=1           warnings are errors (test and lint always set it)
#   NO_INSTALL=1       never installs a missing package
#   MBEDTLS=system     the system's mbedTLS (pkg-config) instead of the bundled one
#   MBEDTLS_SRC=DIR    the bundled build, from a source release of mbedTLS 3.6 that you bring
#   ACCEL=0            the bundled build without AWS-LC (see server/crypto/accelerate.h)
#   AWSLC_SRC=DIR      AWS-LC from a source release, from 5.1 on, that you bring
#   STATIC=1           the program as one file that needs no library, under build/static
#   CROSS=PREFIX       with the compiler and the tools of this prefix: aarch64-linux-gnu-
#   CC CFLAGS LDFLAGS prefix DESTDIR V=1
VERSION := 0.1.0
MBEDTLS ?= bundled
ACCEL   ?= 1
CFLAGS  ?= -O2 -g
ifdef CROSS
CC      := $(CROSS)gcc
AR      := $(CROSS)ar
endif
prefix  ?= /usr/local
B       := build$(if $(FUZZER),/fuzz,$(if $(SAN),/san))
# For a second make, unless the first was already told how many jobs to run.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
Q       := $(if $(V),,@)
STATICS := $(B)/static/mta-sts-httpd
PROGRAM := $(if $(STATIC),$(STATICS),$(B)/mta-sts-httpd)
HOSTS   := mta-sts.example.com mta-sts.example.net mta-sts.example.org

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
    -Wmissing-prototypes -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla \
    -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference
# Not every compiler knows each of these for each processor. They are tried once, at the first use:
# when this file is read on a new machine, there may be no compiler yet. What was never written is
# harmless in a usual build, and shows in one with sanitizers.
try      = $(shell $(CC) -Werror $(1) -S -o /dev/null -x c /dev/null 2>/dev/null && echo $(1))
KNOWN    = $(eval KNOWN := $(foreach flag,-fstack-clash-protection -fcf-protection \
    -mbranch-protection=standard -ftrivial-auto-var-init=$(if $(FUZZER)$(SAN),pattern,zero), \
    $(call try,$(flag))))$(KNOWN)
# The libraries are in C: nothing unwinds them at run time, and a debugger has tables of its own.
UNWOUND := -fno-asynchronous-unwind-tables -fno-unwind-tables
HARDEN   = -fPIE -fstack-protector-strong $(KNOWN)
ifdef FUZZER
HARDEN  += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifdef SAN
HARDEN  += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
HARDEN  += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
LINK     = $(HARDEN) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections,--build-id=sha1 \
    $(CFLAGS) $(LDFLAGS)
# The same source gives the same bytes wherever it and those of the libraries are.
MAPPED   = -ffile-prefix-map=$(CURDIR)=. \
    $(if $(MBEDTLS_TREE),-ffile-prefix-map=$(MBEDTLS_TREE)=mbedtls) \
    $(if $(AWSLC_TREE),-ffile-prefix-map=$(AWSLC_TREE)=awslc)

ifeq ($(MBEDTLS),system)
MBEDTLS_PC    := mbedtls mbedx509 mbedcrypto
MBEDTLS_READY := system-mbedtls
MBEDTLS_FLAGS  = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(MBEDTLS_PC) 2>/dev/null))
MBEDTLS_LINK   = $(shell pkg-config --libs $(MBEDTLS_PC) 2>/dev/null)
else
MBEDTLS_TREE  := $(or $(MBEDTLS_SRC),build/mbedtls/source)
MBEDTLS_READY := $(MBEDTLS_TREE)/include/mbedtls/build_info.h
MBEDTLS_FLAGS  = '-DMBEDTLS_USER_CONFIG_FILE=<mbedtls_config.h>' -isystem $(MBEDTLS_TREE)/include \
    $(if $(ACCEL_ON),-DACCELERATE)
MBEDTLS_FILES := $(wildcard $(MBEDTLS_TREE)/library/*.c)
MBEDTLS_LIB   := $(B)/mbedtls/libmbedtls.a
MBEDTLS_OBJ   := $(MBEDTLS_FILES:$(MBEDTLS_TREE)/%.c=$(B)/mbedtls/obj/%.o)
# The TLS layer once more, for the client, in one object whose symbols nobody else sees.
CLIENT_FILES  := $(wildcard $(MBEDTLS_TREE)/library/ssl_*.c)
CLIENT_TLS    := $(B)/mbedtls/client.o
CLIENT        := $(B)/client.o
MBEDTLS_LINK  := $(MBEDTLS_LIB)
# Unaligned access is left out as in Debian: some releases of gcc miscompile it.
MBEDTLS_BUILD  = $(HARDEN) $(MAPPED) -ffunction-sections -fdata-sections $(CFLAGS) -O2 -w \
    -Iserver $(MBEDTLS_FLAGS) \
    $(UNWOUND) -DMBEDTLS_ALIGNMENT_DISABLE_EFFICENT_UNALIGNED_ACCESS -I$(MBEDTLS_TREE)/library
endif

# What a build does not need, which must not fetch a source to do nothing with it.
IDLE     := help clean format uninstall check-layout check-scripts cppcheck packages system-mbedtls
include server/crypto/awslc.mk

LIBRARIES = $(ACCEL_SEAM) $(ARCHIVE) $(MBEDTLS_LINK) $(AWSLC_LIB) -lyaml

SOURCES  := $(filter-out $(if $(ACCEL_ON),,server/crypto/%),server/main.c \
    $(sort $(wildcard server/*/*.c)))
OBJECTS  := $(SOURCES:%.c=$(B)/obj/%.o)
ARCHIVE  := $(B)/libmta-sts-httpd.a
ARCHIVED := $(filter-out %/main.o $(if $(CLIENT),%/probe/client.o),$(OBJECTS)) $(CLIENT)
UNIT     := $(wildcard tests/unit/*.c)
UNIT_OBJ := $(UNIT:%.c=$(B)/obj/%.o)
TESTS    := $(patsubst tests/unit/%.c,$(B)/tests/%,$(filter tests/unit/test_%,$(UNIT)))
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(B)/obj/%.o)
FUZZES   := $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(filter tests/fuzz/fuzz_%,$(FUZZ_SRC)))
# The load generator of the benchmark is OpenSSL's client.
LOAD_C   := $(wildcard tests/bench/*.c)
LOAD_OBJ := $(LOAD_C:%.c=$(B)/obj/%.o)
LOAD     := $(B)/bench/load
COMPILE   = -std=gnu17 -D_GNU_SOURCE -DMTA_STS_HTTPD_VERSION='"$(VERSION)"' -Iserver -Itests/unit \
    $(MBEDTLS_FLAGS) $(ACCEL_FLAGS) $(WARNINGS) $(HARDEN) $(MAPPED) -ffunction-sections \
    -fdata-sections $(CFLAGS)
STRICT   := $(if $(WERROR),-Werror)
test: STRICT := -Werror

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help arm64 run check test anomaly peers image-test archive-test fuzz bench reproducible lint format install uninstall deb release clean FORCE
.PHONY: packages system-mbedtls mbedtls-objects fuzz-programs check-layout check-scripts cppcheck

all: $(PROGRAM) ## build the program (the default)

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 14

# The goals that need more packages than a build.
PURPOSES := run check test anomaly peers fuzz bench lint deb image-test archive-test arm64 release
packages:
	$(if $(NO_INSTALL),,@set -e; for purpose in \
	    $(or $(patsubst check,test,$(patsubst peers,test,$(patsubst anomaly,test,$(filter $(PURPOSES),$(MAKECMDGOALS))))),build); \
	    do server/dependencies.sh packages $$purpose; done)

system-mbedtls: | packages
	@pkg-config --exists $(foreach name,$(MBEDTLS_PC),'$(name) >= 3.6.6' '$(name) < 4') || { \
	    echo "error: the system's mbedTLS must be 3.6, from 3.6.6 on; pkg-config finds" \
	    "$$(pkg-config --modversion mbedtls 2>/dev/null || echo none). Install it with its headers" \
	    "(Debian 13: libmbedtls-dev), or leave out MBEDTLS=system." >&2; exit 1; }
	@pkg-config --exists 'mbedtls >= 3.6.7' || \
	    echo "warning: the system's mbedTLS is older than 3.6.7, which mends a side channel" >&2

build/mbedtls/source/include/mbedtls/build_info.h: | packages
	@server/dependencies.sh mbedtls build/mbedtls

# The list of mbedTLS' files can be read only when they are there: hence the second make.
$(MBEDTLS_LIB) $(CLIENT_TLS) &: $(B)/mbedtls.flags server/mbedtls_config.h | $(MBEDTLS_READY)
	@echo "  compile mbedTLS ($(MBEDTLS_TREE))"
	+@$(MAKE) --no-print-directory $(PARALLEL) mbedtls-objects
	$(Q)rm -f $(MBEDTLS_LIB)
	$(Q)$(AR) rcsD $(MBEDTLS_LIB) $$(find $(B)/mbedtls/obj -name '*.o' | LC_ALL=C sort)
	$(Q)$(CC) -r -nostdlib -o $(CLIENT_TLS) $(B)/mbedtls/client/*.o

mbedtls-objects: $(MBEDTLS_OBJ) $(CLIENT_FILES:$(MBEDTLS_TREE)/library/%.c=$(B)/mbedtls/client/%.o)

$(B)/mbedtls/client/%.o: $(MBEDTLS_TREE)/library/%.c $(B)/mbedtls.flags server/mbedtls_config.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(MBEDTLS_BUILD) -DMTA_STS_HTTPD_TLS_CLIENT -fvisibility=hidden -c -o $@ $<

$(CLIENT): $(B)/obj/server/probe/client.o $(CLIENT_TLS)
	$(Q)$(CC) -r -nostdlib -o $@ $^ && $(CROSS)objcopy --localize-hidden $@

$(B)/mbedtls/obj/%.o: $(MBEDTLS_TREE)/%.c $(B)/mbedtls.flags server/mbedtls_config.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(MBEDTLS_BUILD) -c -o $@ $<

# What was compiled with other flags is compiled again.
FLAGS_own     = $(COMPILE)
FLAGS_mbedtls = $(MBEDTLS_BUILD)
FLAGS_awslc   = $(AWSLC_BUILD) $(AWSLC_MODULE) $(AWSLC_FILES)
$(B)/own.flags $(B)/mbedtls.flags $(B)/awslc.flags: $(B)/%.flags: FORCE | packages
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst $(CURDIR),.,$(subst ','\'',$(CC) $(FLAGS_$*)))' >$@.new
	@cmp -s $@ $@.new && rm $@.new || mv $@.new $@

$(B)/obj/%.o: %.c $(B)/own.flags server/mbedtls_config.h | packages $(MBEDTLS_READY)
	@mkdir -p $(@D)
	@echo "  compile $<"
	$(Q)$(CC) $(COMPILE) $(STRICT) -MMD -MP -c -o $@ $<

-include $(B)/obj/tests/support/preload_fault.d \
    $(OBJECTS:.o=.d) $(UNIT_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) $(LOAD_OBJ:.o=.d)

$(ARCHIVE): $(ARCHIVED)
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

# The linker warns of getaddrinfo: a static program asks the hosts file and the DNS, and nothing else
# that nsswitch.conf may name. Only the probe looks up names.
$(B)/mta-sts-httpd $(STATICS): $(B)/obj/server/main.o $(ARCHIVE) $(MBEDTLS_LIB) $(AWSLC_LIB)
	@mkdir -p $(@D)
	@echo "  link $@"
	$(Q)$(CC) $(if $(filter $(STATICS),$@),$(LINK:-pie=-static-pie),$(LINK)) -o $@ \
	    $(B)/obj/server/main.o $(LIBRARIES) -Wl,--dependency-file=$@.parts
	@$(if $(ACCEL_ON),:,echo "  note: without AWS-LC mbedTLS' own cryptography is used: a fetch takes about six" \
	    "times the CPU time$(if $(filter bundled-1-,$(MBEDTLS)-$(ACCEL)-$(AWSLC_HERE)),; to try again for its source: rm -r build/awslc)")

$(B)/tests/%: $(B)/obj/tests/unit/%.o $(filter-out $(B)/obj/tests/unit/test_%,$(UNIT_OBJ)) \
    $(ARCHIVE) $(MBEDTLS_LIB) $(AWSLC_LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK) -o $@ $(filter %.o,$^) $(LIBRARIES) -lcmocka

# These have failures in front of the C library's functions. They are called before a sanitizer is
# ready, so that their code can have none.
$(B)/tests/test_anomaly $(B)/tests/test_pool $(B)/tests/test_worker: $(B)/obj/tests/support/preload_fault.o
$(B)/obj/tests/support/preload_fault.o: HARDEN = -fPIE -fno-omit-frame-pointer

# A fuzz target is driven by libFuzzer, or it replays files: tests/fuzz/replay.c has the main then.
$(B)/tests/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(ARCHIVE) $(MBEDTLS_LIB) $(AWSLC_LIB) \
    $(filter-out $(B)/obj/tests/fuzz/fuzz_% $(if $(FUZZER),%/replay.o),$(FUZZ_OBJ))
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) $(LIBRARIES)

# For another processor, from this one: the compiler is Debian's, and the libraries are those of its
# packages, which are unpacked below build/ and not installed.
ARM64      := build/arm64
ARM64_ROOT := $(ARM64)/root
arm64: | packages $(MBEDTLS_READY) $(ARM64_ROOT) ## cross-compile the static program, build/arm64/static
	+@$(MAKE) --no-print-directory $(PARALLEL) NO_INSTALL=1 B=$(ARM64) CROSS=aarch64-linux-gnu- STATIC=1 \
	    CFLAGS='$(CFLAGS) $(addprefix -isystem $(ARM64_ROOT)/usr/include,/ /aarch64-linux-gnu)' \
	    LDFLAGS='$(LDFLAGS) -L$(ARM64_ROOT)/usr/lib/aarch64-linux-gnu' all
$(ARM64_ROOT): | packages
	@server/dependencies.sh arm64 $@

# On a terminal Ctrl-C goes to the foreground's process group, and make, if it were in it, could only
# fail: so a shell with job control puts the server in a group of its own. A second shell in that
# group ends when the terminal goes, where the server would reload. Each is tied to its parent's life.
SERVE    = $(PROGRAM) serve -c config/mta-sts.yaml -l 127.0.0.1:8443
TIED     = $(shell setpriv --pdeathsig TERM true 2>/dev/null && echo setpriv --pdeathsig TERM)
run: $(PROGRAM) ## serve the sample configuration on 127.0.0.1:8443 until Ctrl-C
	@certs/make-dev-ca.sh $(HOSTS)
	@echo 'Paste this into another terminal:'
	@echo '  curl --cacert certs/dev/ca.pem --resolve $(firstword $(HOSTS)):8443:127.0.0.1' \
	    'https://$(firstword $(HOSTS)):8443/.well-known/mta-sts.txt'
	@[ -t 0 ] || exec $(TIED) $(SERVE); exec $(TIED) sh -c \
	    'set -m; $(TIED) sh -c "trap : INT; $(TIED) $(SERVE); exit \$$?"; exit $$?'

# Two copies of the source, in two folders, are built from scratch; dearer than the test of it.
reproducible: $(MBEDTLS_READY) ## build twice in two folders and compare every byte
	@tests/reproducible $(abspath $(MBEDTLS_TREE)) $(abspath $(AWSLC_TREE))

# A sanitizer is a library, and so is the system's mbedTLS.
test: $(PROGRAM) $(TESTS) $(FUZZES) $(LOAD) $(if $(SAN)$(filter system,$(MBEDTLS)),,$(STATICS)) ## run every test (SAN=1 test: with the sanitizers)
	@MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) tests/run </dev/null

check: $(PROGRAM) $(TESTS) $(FUZZES) ## run the tests that take seconds: units, golden files, replays
	@MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) tests/run --check </dev/null

anomaly: $(PROGRAM) $(B)/tests/test_anomaly ## fail every single allocation and system call (make test: some)
	@ANOMALY=all $(B)/tests/test_anomaly
	@ANOMALY=all MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) tests/run -k test_anomaly -rP

fuzz: | packages ## fuzz the parsers, 60 s each (SECONDS=n; FUZZ=name: only that one)
	+@$(MAKE) --no-print-directory $(PARALLEL) FUZZER=1 NO_INSTALL=1 CC=clang CFLAGS='-O1 -g' \
	    fuzz-programs
	@BUILD=$(abspath $(B))/fuzz tests/fuzz/run $(if $(SECONDS),--seconds $(SECONDS)) $(FUZZ)
fuzz-programs: $(FUZZES)

# Its OpenSSL is the system's, whose headers have the same names as AWS-LC's.
$(LOAD_OBJ) $(foreach tool,clang gcc tidy,$(LOAD_C:%=$(tool)/%)): ACCEL_FLAGS =
$(LOAD): $(LOAD_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK) -o $@ $^ -lssl -lcrypto

bench: $(PROGRAM) $(LOAD) ## measure ours beside other servers (tests/bench/README.md)
	@cd tests && MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) \
	    PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m bench </dev/null

peers: $(PROGRAM) ## what other programs think of it, with every scan at full length
	@SCAN=all MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) tests/run -k peers </dev/null

image-test: $(PROGRAM) $(STATICS) ## build the image and try it, without Docker (a few minutes)
	@IMAGE=1 MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) tests/run -k test_image \
	    -o faulthandler_timeout=1500 </dev/null

archive-test: $(PROGRAM) ## build, check and test the Debian package in a Debian 13 of its own (minutes)
	@ARCHIVE=1 MTA_STS_HTTPD=$(abspath $(PROGRAM)) BUILD=$(abspath $(B)) tests/run -k test_archive \
	    -o faulthandler_timeout=1500 </dev/null

# Every checker of every file is a target, so that they share the cores and all have their say.
C_FILES  = $(shell find server tests -name '*.[ch]')
SCRIPTS  = $(shell grep -rlE '^#!/(usr/bin/env |bin/)(ba)?sh' server tests certs config .ci)
UNTUNED  = $(subst $(HARDEN),,$(COMPILE)) -O2
CHECKS  := $(foreach tool,clang gcc tidy,$(addprefix $(tool)/,$(SOURCES) $(UNIT) $(FUZZ_SRC) $(LOAD_C)))
lint: | packages $(MBEDTLS_READY) ## check the layout, the C and the shell scripts
	+@$(MAKE) --no-print-directory -kO $(PARALLEL) check-layout check-scripts cppcheck $(CHECKS)
	@echo 'lint: nothing to object to'
check-layout:
	@clang-format --dry-run -Werror $(C_FILES)
check-scripts:
	@shellcheck $(SCRIPTS)
cppcheck:
	@cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
	    --std=c11 $(addprefix --suppress=,missingIncludeSystem normalCheckLevelMaxBranches uninitvar) \
	    -D_GNU_SOURCE -DMTA_STS_HTTPD_VERSION='""' -DMBEDTLS_VERSION_NUMBER=0x03060700 -Iserver server
$(filter clang/%,$(CHECKS)): clang/%: FORCE
	@clang $(UNTUNED) -Werror -fsyntax-only $*
$(filter gcc/%,$(CHECKS)): gcc/%: FORCE
	@gcc $(UNTUNED) -Werror -fanalyzer -c -o /dev/null $*
$(filter tidy/%,$(CHECKS)): tidy/%: FORCE
	@out=$$(clang-tidy --quiet $* -- $(UNTUNED) 2>&1) || { echo "$$out"; exit 1; }

format: ## lay out all C by .clang-format
	clang-format -i $(C_FILES)

UNITS    := config/systemd/mta-sts-httpd
COMPLETE := config/completion/mta-sts-httpd
EXAMPLES := $(wildcard $(addprefix config/,README.md */README.md acme/* docker/* domains.d/* kubernetes/* \
    mailcow/* proxy/* systemd/*.conf systemd/mta-sts-probe.* prometheus-alerts.yaml))
STRIP    ?= -s
datadir  ?= $(prefix)/share
docdir   ?= $(datadir)/doc/mta-sts-httpd
zshdir   ?= $(datadir)/zsh/site-functions
unitdir  ?= $(prefix)/lib/systemd/system
# The text of a file with the paths of this installation, into another file.
ADAPTED   = sed -e '1s|=mta-sts|=$(datadir)/mta-sts-httpd/mta-sts|' -e 's|/usr/share/|$(datadir)/|' \
    -e 's|/usr/local/sbin|$(prefix)/sbin|' $(1) | install -D -m 644 /dev/stdin $(DESTDIR)$(2)
install: $(PROGRAM) ## install into $(DESTDIR)$(prefix)
	install -D -m 755 $(STRIP) $(PROGRAM) $(DESTDIR)$(prefix)/sbin/mta-sts-httpd
	$(call ADAPTED,config/mta-sts.yaml,$(docdir)/mta-sts.yaml)
	$(call ADAPTED,config/debian/mta-sts.yaml,$(docdir)/examples/mta-sts.yaml)
	@for file in $(EXAMPLES:config/%=%); do install -D -m $$(stat -c %a config/$$file) \
	    config/$$file $(DESTDIR)$(docdir)/examples/$$file; done
	@for schema in $(wildcard config/*.schema.json); do install -D -m 644 $$schema \
	    $(DESTDIR)$(datadir)/mta-sts-httpd/$${schema##*/}; done
	install -D -m 644 $(UNITS).sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/mta-sts-httpd.conf
	install -D -m 644 $(UNITS).tmpfiles $(DESTDIR)$(prefix)/lib/tmpfiles.d/mta-sts-httpd.conf
	install -D -m 644 $(UNITS).socket $(DESTDIR)$(unitdir)/mta-sts-httpd.socket
	$(call ADAPTED,$(UNITS).service,$(unitdir)/mta-sts-httpd.service)
	install -D -m 644 $(COMPLETE).bash $(DESTDIR)$(datadir)/bash-completion/completions/mta-sts-httpd
	install -D -m 644 $(COMPLETE).zsh $(DESTDIR)$(zshdir)/_mta-sts-httpd
	install -D -m 644 $(COMPLETE).fish \
	    $(DESTDIR)$(datadir)/fish/vendor_completions.d/mta-sts-httpd.fish
	@for page in $(wildcard config/*.[578]); do install -D -m 644 $$page \
	    $(DESTDIR)$(datadir)/man/man$${page##*.}/$${page##*/}; done

# What install puts into an empty folder is what is removed; any file stands for the program there.
# The configuration, the state and drop-ins for the units are the operator's and stay.
uninstall: ## remove from $(DESTDIR)$(prefix) what install has put there
	@rm -rf build/uninstall
	+@$(MAKE) --no-print-directory NO_INSTALL=1 PROGRAM=README.md STRIP= \
	    DESTDIR=$(CURDIR)/build/uninstall install >/dev/null
	@cd build/uninstall && find . -type f -printf '%P\n' | while read -r file; do \
	    rm -f "$(DESTDIR)/$$file"; done
	@rm -rf build/uninstall
	@find $(DESTDIR)$(docdir) $(DESTDIR)$(datadir)/mta-sts-httpd -depth -type d -empty -delete

# Outside of the tree, because dpkg-buildpackage leaves its results in the folder above it.
DEB      := build/deb
deb: | packages $(MBEDTLS_READY) ## make a Debian package, build/deb/*.deb
	@rm -rf $(DEB) && mkdir -p $(DEB)/source
	@tar -c --exclude=./build --exclude=./.git --exclude=./certs/dev . | tar -xC $(DEB)/source
	@mv $(DEB)/source/config/debian $(DEB)/source/debian
	@sed -i 's/@VERSION@/$(VERSION)/; s/@DATE@/$(shell date -Rud @$(or $(SOURCE_DATE_EPOCH),$(shell \
	    stat -c %Y CHANGELOG.md)))/' $(DEB)/source/debian/changelog
	@cd $(DEB)/source && MBEDTLS_SRC=$(abspath $(MBEDTLS_TREE)) \
	    $(if $(AWSLC_TREE),AWSLC_SRC=$(abspath $(AWSLC_TREE)),ACCEL=0) dpkg-buildpackage -b -us -uc -Ppkg.mta-sts-httpd.bundled >../log 2>&1 || \
	    { tail -n 40 ../log >&2; exit 1; }
	@$(if $(KEEP),,rm -rf $(DEB)/source &&) ls $(DEB)/*.deb

# Everything is built from what is committed, so that the same commit gives the same bytes.
RELEASE  := $(CURDIR)/build/release
RELEASED := $(RELEASE)/mta-sts-httpd-$(VERSION)-linux-
BILL      = MBEDTLS_TREE=$(abspath $(MBEDTLS_TREE)) AWSLC_TREE=$(abspath $(AWSLC_TREE)) $(CURDIR)/server/release.sh bill
release: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
release: | packages $(MBEDTLS_READY) ## put a release together in build/release (SIGN_KEY=FILE: signed)
	@server/release.sh prepare $(RELEASE) $(VERSION)
	+@$(MAKE) --no-print-directory $(PARALLEL) NO_INSTALL=1 STATIC=1 all
	+@$(MAKE) --no-print-directory NO_INSTALL=1 arm64
	+@$(MAKE) --no-print-directory NO_INSTALL=1 KEEP=1 deb
	@strip -o $(RELEASED)amd64 build/static/mta-sts-httpd
	@aarch64-linux-gnu-strip -o $(RELEASED)arm64 $(ARM64)/static/mta-sts-httpd
	@cp $(DEB)/mta-sts-httpd_$(VERSION)-1_amd64.deb $(RELEASE)
	@$(BILL) $(RELEASED)amd64 build/static/mta-sts-httpd.parts $(RELEASED)amd64.spdx.json $(VERSION)
	@$(BILL) $(RELEASED)arm64 $(ARM64)/static/mta-sts-httpd.parts $(RELEASED)arm64.spdx.json $(VERSION)
	@cd $(DEB)/source && $(BILL) $(RELEASE)/mta-sts-httpd_$(VERSION)-1_amd64.deb build/mta-sts-httpd.parts \
	    $(RELEASE)/mta-sts-httpd_$(VERSION)-1_amd64.deb.spdx.json $(VERSION)
	@rm -rf $(DEB)/source
	@server/release.sh finish $(RELEASE)

clean: ## remove everything that was built or fetched
	rm -rf build
