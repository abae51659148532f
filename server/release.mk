# The program for arm64, and a release (server/release.sh). Part of the Makefile.
.PHONY: arm64 release

# For another processor, from this one: the compiler and the C library are Debian's, and libyaml is that of
# its package, which is unpacked below build/ and not installed.
ARM64      := build/arm64
ARM64_ROOT := $(ARM64)/root
arm64: | packages $(MBEDTLS_READY) $(ARM64_ROOT) ## cross-compile the static program, build/arm64/static
	+@$(MAKE) --no-print-directory $(PARALLEL) B=$(ARM64) CROSS=aarch64-linux-gnu- STATIC=1 \
	    CFLAGS='$(CFLAGS) $(addprefix -isystem $(ARM64_ROOT)/usr/include,/ /aarch64-linux-gnu)' \
	    LDFLAGS='$(LDFLAGS) -L$(ARM64_ROOT)/usr/lib/aarch64-linux-gnu' all
$(ARM64_ROOT): | packages
	@server/dependencies.sh arm64 $@

# Everything is built from what is committed, so that the same commit gives the same bytes.
RELEASE  := $(CURDIR)/build/release
RELEASED := $(RELEASE)/mta-sts-httpd-$(VERSION)-linux-
BILL      = MBEDTLS_TREE=$(abspath $(MBEDTLS_TREE)) AWSLC_TREE=$(abspath $(AWSLC_TREE)) $(CURDIR)/server/release.sh bill
release: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
release: | packages $(MBEDTLS_READY) ## put a release together in build/release (SIGN_KEY=FILE: signed)
	@server/release.sh prepare $(RELEASE) $(VERSION)
	+@$(MAKE) --no-print-directory $(PARALLEL) STATIC=1 all
	+@$(MAKE) --no-print-directory arm64
	+@$(MAKE) --no-print-directory KEEP=1 deb
	@strip -o $(RELEASED)amd64 build/static/mta-sts-httpd
	@aarch64-linux-gnu-strip -o $(RELEASED)arm64 $(ARM64)/static/mta-sts-httpd
	@cp $(DEB)/mta-sts-httpd_$(VERSION)-1_amd64.deb $(RELEASE)
	@$(BILL) $(RELEASED)amd64 build/static/mta-sts-httpd.parts $(RELEASED)amd64.spdx.json $(VERSION)
	@$(BILL) $(RELEASED)arm64 $(ARM64)/static/mta-sts-httpd.parts $(RELEASED)arm64.spdx.json $(VERSION)
	@cd $(DEB)/source && $(BILL) $(RELEASE)/mta-sts-httpd_$(VERSION)-1_amd64.deb build/mta-sts-httpd.parts \
	    $(RELEASE)/mta-sts-httpd_$(VERSION)-1_amd64.deb.spdx.json $(VERSION)
	@rm -rf $(DEB)/source
	@server/release.sh finish $(RELEASE)
