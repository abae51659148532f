# Builds mta-sts-httpd and runs it; the files that are included below build the libraries, test, install
# and release it. `make help` lists the targets. Variables for the command line:
#   SAN=1              with address and undefined-behaviour sanitizers, under build/san
#   WERROR=1           warnings are errors (test and lint always set it)
#   NO_INSTALL=1       run, test and others install no package and look for none
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
# As many jobs as there are processors, unless make was told how many, or another make has called this one.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
# For a second make, when the first has no jobs to share.
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
HARDEN   = -fPIE -fstack-protector-strong $(KNOWN)
ifdef FUZZER
HARDEN  += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifdef SAN
HARDEN  += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
# All is in C: nothing unwinds it at run time, and a debugger has tables of its own.
HARDEN  += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fno-asynchronous-unwind-tables -fno-unwind-tables
endif
LINK     = $(HARDEN) -pie -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections,--build-id=sha1 \
    $(CFLAGS) $(LDFLAGS)
# A static program relocates itself, as glibc can from 2.36 on: so its relocations may be packed.
PACKED   = -Wl,-z,pack-relative-relocs
STATIC_LINK = $(LINK:-pie=-static-pie) $(shell \
    echo '_Static_assert(__GLIBC_PREREQ(2, 36), ""); int main(void) { return 0; }' | \
    $(CC) -include features.h -fPIE -static-pie -Wl,--fatal-warnings $(PACKED) -o /dev/null -x c - \
    2>/dev/null && echo $(PACKED))
# The same source gives the same bytes wherever it and those of the libraries are.
MAPPED   = -ffile-prefix-map=$(CURDIR)=. \
    $(if $(MBEDTLS_TREE),-ffile-prefix-map=$(MBEDTLS_TREE)=mbedtls) \
    $(if $(AWSLC_TREE),-ffile-prefix-map=$(AWSLC_TREE)=awslc)

# What a build does not need, which must not fetch a source to do nothing with it.
IDLE     := help clean format uninstall check-layout check-scripts cppcheck packages system-mbedtls
include server/mbedtls.mk server/crypto/awslc.mk

LIBRARIES = $(ACCEL_SEAM) $(ARCHIVE) $(MBEDTLS_LINK) $(AWSLC_LIB) -lyaml

SOURCES  := $(filter-out $(if $(ACCEL_ON),,server/crypto/%),server/main.c \
    $(sort $(wildcard server/*/*.c)))
OBJECTS  := $(SOURCES:%.c=$(B)/obj/%.o)
# The kernel maps 64 KB of a file around what is touched of it. So what runs while nothing is loaded comes
# first in the program, and what a loader and the commands need lies behind it, where it takes no memory.
RESIDENT := $(filter $(foreach room,base policy http site shared serve sandbox supervise crypto, \
    $(B)/obj/server/$(room)/%),$(OBJECTS))
ARCHIVE  := $(B)/libmta-sts-httpd.a
ARCHIVED := $(filter-out %/main.o $(if $(CLIENT),%/probe/fetch.o),$(OBJECTS)) $(CLIENT)
COMPILE   = -std=gnu17 -D_GNU_SOURCE -DMTA_STS_HTTPD_VERSION='"$(VERSION)"' -Iserver -Itests/unit \
    $(MBEDTLS_FLAGS) $(ACCEL_FLAGS) $(WARNINGS) $(HARDEN) $(MAPPED) -ffunction-sections \
    -fdata-sections $(CFLAGS)
STRICT   := $(if $(WERROR),-Werror)
test: STRICT := -Werror

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help packages run clean FORCE

all: $(PROGRAM) ## build the program (the default)

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | expand -t 14

# A build says which packages are missing and how to install them. These goals install them, and what they
# need besides, and say so first.
INSTALLING := run check test anomaly peers fuzz bench lint deb image-test archive-test arm64 release
NEEDED      = $(patsubst check,test,$(patsubst anomaly,test,$(patsubst peers,test,$(patsubst \
    archive-test,test,$(filter $(INSTALLING),$(MAKECMDGOALS))))))
packages:
	$(if $(NO_INSTALL),,@server/dependencies.sh $(if $(NEEDED),install $(sort $(NEEDED)),require build) $(TO_FETCH))

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

$(ARCHIVE): $(ARCHIVED)
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

# The linker warns of getaddrinfo: a static program asks the hosts file and the DNS, and nothing else
# that nsswitch.conf may name. Only the probe looks up names.
$(B)/mta-sts-httpd $(STATICS): $(B)/obj/server/main.o $(ARCHIVE) $(MBEDTLS_LIB) $(AWSLC_LIB)
	@mkdir -p $(@D)
	@echo "  link $@"
	$(Q)$(CC) $(if $(filter $(STATICS),$@),$(STATIC_LINK),$(LINK)) -o $@ \
	    $(B)/obj/server/main.o $(RESIDENT) -Wl,--whole-archive $(MBEDTLS_LIB) $(AWSLC_LIB) \
	    -Wl,--no-whole-archive $(LIBRARIES) -Wl,--dependency-file=$@.parts
	@$(if $(ACCEL_ON),:,echo "  note: without AWS-LC mbedTLS' own cryptography is used: a fetch takes about six" \
	    "times the CPU time$(if $(filter bundled-1-,$(MBEDTLS)-$(ACCEL)-$(AWSLC_HERE)),; to try again for its source: rm -r build/awslc)")

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

# Not all of them are in a copy of the source that only builds.
include $(wildcard tests/tests.mk config/install.mk server/release.mk)

clean: ## remove everything that was built or fetched
	rm -rf build

-include $(B)/obj/tests/support/preload_fault.d \
    $(OBJECTS:.o=.d) $(UNIT_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) $(LOAD_OBJ:.o=.d)
