# What checks the program: unit tests, replayed inputs, the tests of the running server, fuzzers, the
# benchmark and the linters. tests/README.md says which is which. Part of the Makefile.
.PHONY: test check anomaly peers image-test archive-test fuzz fuzz-programs bench reproducible lint check-layout
.PHONY: check-scripts cppcheck format
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

$(B)/tests/%: $(B)/obj/tests/unit/%.o $(filter-out $(B)/obj/tests/unit/test_%,$(UNIT_OBJ)) \
    $(ARCHIVE) $(MBEDTLS_LIB) $(AWSLC_LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK) -o $@ $(filter %.o,$^) $(LIBRARIES) -lcmocka

# These have failures in front of the C library's functions. They are called before a sanitizer is
# ready, so that their code can have none.
$(B)/tests/test_anomaly $(B)/tests/test_loop $(B)/tests/test_worker: $(B)/obj/tests/support/preload_fault.o
$(B)/obj/tests/support/preload_fault.o: HARDEN = -fPIE -fno-omit-frame-pointer

# A fuzz target is driven by libFuzzer, or it replays files: tests/fuzz/replay.c has the main then.
$(B)/tests/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(ARCHIVE) $(MBEDTLS_LIB) $(AWSLC_LIB) \
    $(filter-out $(B)/obj/tests/fuzz/fuzz_% $(if $(FUZZER),%/replay.o),$(FUZZ_OBJ))
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) $(LIBRARIES)

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
	+@$(MAKE) --no-print-directory $(PARALLEL) FUZZER=1 CC=clang CFLAGS='-O1 -g' \
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

# Every checker of every file is a target, so that they share the cores and all report.
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
