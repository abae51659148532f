# The part of AWS-LC's libcrypto that server/crypto/ calls, built without cmake, Go, Perl or an
# assembler of its own: the files of its module as one C file, as its own bcm.c has them, a few files
# around it, and the assembly for this processor. Part of the Makefile.
#
# AWSLC_TREE is empty where there is none of it: with ACCEL=0, with the system's mbedTLS, whose objects
# cannot be had apart from each other, on other processors, and where the source cannot be had. Then
# plain mbedTLS is built, and said.
ifeq ($(MBEDTLS)-$(ACCEL),bundled-1)
ifdef AWSLC_SRC
AWSLC_HERE := yes
ifneq ($(shell server/dependencies.sh awslc-check '$(AWSLC_SRC)' >&2 && echo good),good)
$(error AWSLC_SRC=$(AWSLC_SRC) cannot be built)
endif
else ifneq ($(filter-out $(IDLE),$(or $(MAKECMDGOALS),all)),)
# Make fetches it when it reads this file, and reads it again.
-include build/awslc/state.mk
endif
AWSLC_CPU  := $(if $(AWSLC_HERE),$(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null))))
AWSLC_TREE := $(if $(filter x86_64 aarch64,$(AWSLC_CPU)),$(or $(AWSLC_SRC),build/awslc/source))
endif

# The outcome of an attempt holds until "make clean" or until the file is removed.
build/awslc/state.mk: | packages
	@mkdir -p $(@D)
	@here=; if server/dependencies.sh awslc $(@D) 2>$(@D)/reason; then here=yes; else \
	    cat $(@D)/reason >&2; fi; echo "AWSLC_HERE := $$here" >$@

ifdef AWSLC_TREE
ACCEL_ON    := yes
AWSLC_READY := $(AWSLC_TREE)/include/openssl/base.h
AWSLC_LIB   := $(B)/awslc/libawslc.a
AWSLC_FLAGS := -isystem $(AWSLC_TREE)/include
ACCEL_FLAGS := -isystem $(MBEDTLS_TREE)/library $(AWSLC_FLAGS)
ACCEL_WRAPS := mbedtls_psa_ecp_export_public_key mbedtls_psa_key_agreement_ecdh \
    mbedtls_ecdh_make_params mbedtls_ecdh_calc_secret \
    mbedtls_ecp_mul_restartable mbedtls_pk_sign mbedtls_pk_sign_ext mbedtls_psa_mac_compute \
    mbedtls_ssl_tls13_compute_resumption_master_secret mbedtls_ssl_write_certificate \
    mbedtls_ssl_derive_keys
# The seam is missed only behind mbedTLS, and stands before it; so it is asked for by name.
ACCEL_SEAM  := $(ACCEL_WRAPS:%=-Wl,--wrap=%) -Wl,-u,accelerate_begin

# In one C file, in the order of bcm.c.
AWSLC_MODULE := \
    $(addprefix bn/,add.c $(if $(filter x86_64,$(AWSLC_CPU)),asm/x86_64-gcc.c) bn.c bytes.c cmp.c \
        ctx.c div.c div_extra.c exponentiation.c gcd.c gcd_extra.c generic.c jacobi.c montgomery.c \
        montgomery_inv.c mul.c random.c rsaz_exp.c rsaz_exp_x2.c shift.c sqrt.c) \
    $(addprefix cpucap/,cpu_aarch64.c cpu_aarch64_sysreg.c cpu_aarch64_linux.c cpu_intel.c) \
    $(addprefix curve25519/,curve25519.c curve25519_nohw.c curve25519_s2n_bignum_asm.c) \
    digest/digest.c digest/digests.c ecdsa/ecdsa.c \
    $(addprefix ec/,ec.c ec_key.c ec_montgomery.c ec_nistp.c felem.c oct.c p256.c p256-nistz.c p384.c \
        scalar.c simple.c simple_mul.c util.c wnaf.c) \
    $(addprefix rsa/,blinding.c padding.c rsa.c rsa_impl.c) \
    sha/sha256.c sha/sha512.c

# Around it. Its randomness and its list of errors are not among them: see server/crypto/needs.h.
AWSLC_AROUND := $(addprefix crypto/,crypto.c mem.c thread_none.c refcount_lock.c ex_data.c \
    engine/engine.c stack/stack.c bytestring/cbs.c bytestring/cbb.c bn_extra/bn_asn1.c \
    rsa_extra/rsa_asn1.c fipsmodule/cpucap/cpucap.c)

# What OpenSSL's and BoringSSL's authors wrote, and what s2n-bignum's did.
AWSLC_ASM_x86_64  := p256-x86_64-asm p256_beeu-x86_64-asm rsaz-2k-avx512 rsaz-3k-avx512 \
    rsaz-4k-avx512 rsaz-avx2 sha256-x86_64 sha512-x86_64 x86_64-mont x86_64-mont5
AWSLC_ASM_aarch64 := armv8-mont bn-armv8 p256-armv8-asm p256_beeu-armv8-asm sha256-armv8 sha512-armv8
S2N_P256 := bignum_montinv_p256 p256_montjscalarmul p256_montjscalarmul_alt
S2N_P384 := bignum_add_p384 bignum_deamont_p384 bignum_littleendian_6 bignum_montinv_p384 \
    bignum_montmul_p384 bignum_montmul_p384_alt bignum_montsqr_p384 bignum_montsqr_p384_alt \
    bignum_neg_p384 bignum_nonzero_6 bignum_sub_p384 bignum_tomont_p384 p384_montjdouble \
    p384_montjdouble_alt p384_montjscalarmul p384_montjscalarmul_alt
S2N_x86_64  := x86_att $(addprefix p384/,bignum_deamont_p384_alt bignum_tomont_p384_alt) \
    $(addprefix curve25519/curve25519_,x25519 x25519base x25519base_alt x25519_alt)
S2N_aarch64 := arm $(addprefix curve25519/curve25519_,x25519_byte x25519_byte_alt x25519base_byte \
        x25519base_byte_alt) \
    $(addprefix fastmul/,bignum_emontredc_8n bignum_kmul_16_32 bignum_kmul_32_64 bignum_ksqr_16_32 \
        bignum_ksqr_32_64) \
    $(addprefix generic/bignum_,copy_row_from_table copy_row_from_table_16 copy_row_from_table_32 \
        copy_row_from_table_8n ge mul optsub sqr)
S2N         := third_party/s2n-bignum/s2n-bignum-imported
AWSLC_ASM   := $(AWSLC_ASM_$(AWSLC_CPU):%=generated-src/linux-$(AWSLC_CPU)/crypto/fipsmodule/%.S) \
    $(addprefix $(S2N)/$(firstword $(S2N_$(AWSLC_CPU)))/,$(addsuffix .S,$(S2N_P256:%=p256/%) \
        $(S2N_P384:%=p384/%) $(wordlist 2,99,$(S2N_$(AWSLC_CPU)))))
# What is for P-384, for RSA, for clients without X25519 or for other processors comes last: see RESIDENT in
# the Makefile.
AWSLC_RARE  := %-mont5.S %_alt.S %/p256_montjscalarmul.S $(S2N)/$(firstword $(S2N_$(AWSLC_CPU)))/p384/% \
    generated-src/linux-$(AWSLC_CPU)/crypto/fipsmodule/rsaz%
AWSLC_FILES := $(AWSLC_AROUND) $(filter-out $(AWSLC_RARE),$(AWSLC_ASM)) \
    $(filter $(AWSLC_RARE),$(AWSLC_ASM))

# One thread, so no locks; no code before main; nothing is read from the environment.
# What nothing calls has to go from the program, because it calls files that are left out: a fuzzer's
# marks would keep it, and so would vectors of addresses, which gcc from 14 on puts in one section.
AWSLC_BUILD  = $(if $(FUZZER),$(filter-out -fsanitize=%,$(HARDEN)),$(HARDEN)) $(MAPPED) \
    -ffunction-sections -fdata-sections $(CFLAGS) -O2 -fno-tree-slp-vectorize -w -std=gnu17 \
    -Werror=implicit-function-declaration -DNDEBUG -DBORINGSSL_IMPLEMENTATION \
    -DBORINGSSL_NO_STATIC_INITIALIZER -DOPENSSL_NO_THREADS_CORRUPT_MEMORY_AND_LEAK_SECRETS_IF_THREADED \
    -I$(AWSLC_TREE)/include -I$(AWSLC_TREE) -I$(AWSLC_TREE)/$(S2N)/include \
    -I$(AWSLC_TREE)/third_party/s2n-bignum

AWSLC_OBJ   := $(B)/awslc/module.o $(addprefix $(B)/awslc/obj/,$(addsuffix .o,$(AWSLC_FILES)))

$(AWSLC_LIB): $(AWSLC_OBJ)
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

# Its own header says first what its files take for granted when they follow each other.
$(B)/awslc/module.c: $(B)/awslc.flags
	@mkdir -p $(@D)
	@{ echo '#include <stdlib.h>'; echo '#define getenv(name) ((char *)0)'; \
	    printf '#include "crypto/%s"\n' internal.h fipsmodule/service_indicator/internal.h \
	    fipsmodule/cpucap/internal.h rsa_extra/internal.h $(AWSLC_MODULE:%=fipsmodule/%); } >$@

$(B)/awslc/module.o: $(B)/awslc/module.c | $(AWSLC_READY)
	@echo "  compile AWS-LC ($(AWSLC_TREE))"
	$(Q)$(CC) $(AWSLC_BUILD) -c -o $@ $<

$(B)/awslc/obj/%.o: $(AWSLC_TREE)/% $(B)/awslc.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(AWSLC_BUILD) -c -o $@ $<

# What tests/project/test_secrets.py runs: with AWS-LC's marks of what may be known of a secret.
$(B)/awslc/marked/module.o: $(B)/awslc/module.c | $(AWSLC_READY)
	@mkdir -p $(@D)
	$(Q)$(CC) $(AWSLC_BUILD) -DBORINGSSL_CONSTANT_TIME_VALIDATION -c -o $@ $<
$(B)/tests/secrets: $(B)/obj/tests/support/secrets.o $(addprefix $(B)/obj/server/crypto/,curve.o needs.o \
    rsa.o sha.o) $(B)/awslc/marked/module.o $(filter-out %/module.o,$(AWSLC_OBJ))
	@mkdir -p $(@D)
	$(Q)$(CC) $(LINK) -o $@ $^
endif
