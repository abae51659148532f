# Installing, and the Debian package. Part of the Makefile.
.PHONY: install uninstall deb
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
	+@$(MAKE) --no-print-directory PROGRAM=README.md STRIP= \
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
	@$(if $(SOURCE_DATE_EPOCH),find $(DEB)/source -exec touch -hd @$(SOURCE_DATE_EPOCH) {} +)
	@mv $(DEB)/source/config/debian $(DEB)/source/debian
	@sed -i 's/@VERSION@/$(VERSION)/; s/@DATE@/$(shell date -Rud @$(or $(SOURCE_DATE_EPOCH),$(shell \
	    stat -c %Y CHANGELOG.md)))/' $(DEB)/source/debian/changelog
	@cd $(DEB)/source && MBEDTLS_SRC=$(abspath $(MBEDTLS_TREE)) \
	    $(if $(AWSLC_TREE),AWSLC_SRC=$(abspath $(AWSLC_TREE)),ACCEL=0) env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
	    dpkg-buildpackage -b -us -uc -Ppkg.mta-sts-httpd.bundled \
	    -j$(shell nproc) >../log 2>&1 || \
	    { tail -n 40 ../log >&2; exit 1; }
	@$(if $(KEEP),,rm -rf $(DEB)/source &&) ls $(DEB)/*.deb
