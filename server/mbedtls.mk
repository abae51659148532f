# mbedTLS: the bundled one is fetched, compiled with server/mbedtls_config.h and archived, and its TLS layer
# once more for the client; the system's is found by pkg-config. Part of the Makefile.
.PHONY: system-mbedtls mbedtls-objects
ifeq ($(MBEDTLS),system)
MBEDTLS_PC    := mbedtls mbedx509 mbedcrypto
MBEDTLS_READY := system-mbedtls
MBEDTLS_FLAGS  = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(MBEDTLS_PC) 2>/dev/null))
MBEDTLS_LINK   = $(shell pkg-config --libs $(MBEDTLS_PC) 2>/dev/null)
else
MBEDTLS_TREE  := $(or $(MBEDTLS_SRC),build/mbedtls/source)
# The packages that fetch a source, of mbedTLS or of AWS-LC, while there is none.
TO_FETCH      := $(if $(and $(or $(MBEDTLS_SRC),$(wildcard build/mbedtls/source)),$(or $(AWSLC_SRC), \
    $(filter-out 1,$(ACCEL)),$(wildcard build/awslc/state.mk))),,source)
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
MBEDTLS_BUILD  = $(HARDEN) $(MAPPED) -ffunction-sections -fdata-sections $(CFLAGS) -O2 -w \
    -Iserver $(MBEDTLS_FLAGS) -I$(MBEDTLS_TREE)/library
endif

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

$(CLIENT): $(B)/obj/server/probe/fetch.o $(CLIENT_TLS)
	$(Q)$(CC) -r -nostdlib -o $@ $^ && $(CROSS)objcopy --localize-hidden $@

# What multiplies for GCM runs only where the processor has PCLMULQDQ, and then it has SSSE3.
$(B)/mbedtls/obj/library/aesni.o: MBEDTLS_BUILD += -O3 $(call try,-mssse3)
$(B)/mbedtls/obj/%.o: $(MBEDTLS_TREE)/%.c $(B)/mbedtls.flags server/mbedtls_config.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(MBEDTLS_BUILD) -c -o $@ $<
