#!/bin/sh
# Puts a release together: what "make release" has built goes into one folder, with a bill of materials
# (SPDX 2.3) for each program, checksums and, with a key, their signature. Equal sources, compiler and
# libraries give equal bytes, but for the signature. See RELEASING in server/README.md.
#
#   release.sh prepare FOLDER VERSION     empties the folder and puts the source and the manuals there
#   release.sh bill PROGRAM PARTS FILE VERSION
#                                         the bill of materials of a program, whose linker has listed
#                                         its inputs in PARTS, as FILE
#   release.sh finish FOLDER              checksums and signature
#
# SIGN_KEY   a secret key: minisign's, or one that openssl reads (PEM)
set -eu

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

epoch() {
    echo "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
}

prepare() {
    [ -z "$(git status --porcelain)" ] || fail "the tree is not clean: a release is made of what is committed
$(git status --short)"
    grep -q "^## $2\$" CHANGELOG.md || printf 'warning: CHANGELOG.md has no section "## %s"\n' "$2" >&2
    rm -rf "$1"
    mkdir -p "$1"
    git archive --format=tar --prefix="mta-sts-httpd-$2/" HEAD | gzip -9 -n >"$1/mta-sts-httpd-$2.tar.gz"
    cp config/mta-sts-httpd.8 config/mta-sts.yaml.5 "$1"
}

# The licence of what a source package's library adds to a program. A library that is not here ends the
# release: it must be looked at first.
licence_of() {
    case $1 in
    mbedtls) echo 'Apache-2.0 OR GPL-2.0-or-later' ;;
    aws-lc) echo 'Apache-2.0 AND ISC AND BSD-3-Clause AND MIT' ;;
    libyaml) echo MIT ;;
    glibc | cross-toolchain-base*) echo LGPL-2.1-or-later ;;
    gcc-*) echo 'GPL-3.0-or-later WITH GCC-exception-3.1' ;;
    *) fail "server/release.sh knows no licence of $1, which is linked" ;;
    esac
}

macro_of() {
    sed -n "s/^#define $2  *\"\\(.*\\)\"\$/\\1/p" "$1"
}

# Where a file of the linker comes from: "SOURCE|PACKAGE|VERSION|PURL", or nothing for one of ours.
origin_of() {
    case $1 in
    */obj/server/* | */libmta-sts-httpd.a) ;;
    */libmbedtls.a | */client.o)
        version=$(macro_of "${MBEDTLS_TREE:?}/include/mbedtls/build_info.h" MBEDTLS_VERSION_STRING)
        echo "mbedtls|mbedtls|$version|pkg:github/Mbed-TLS/mbedtls@v$version"
        ;;
    */libawslc.a)
        version=$(macro_of "${AWSLC_TREE:?}/include/openssl/base.h" AWSLC_VERSION_NUMBER_STRING)
        echo "aws-lc|aws-lc|$version|pkg:github/aws/aws-lc@v$version"
        ;;
    build/arm64/root/*)
        package=$(basename "$1" .a)-dev
        set -- "$(zcat "build/arm64/root/usr/share/doc/$package"/changelog.Debian*.gz | head -n 1)" "$package"
        version=$(printf '%s' "$1" | sed 's/^[^(]*(\([^)]*\)).*/\1/')
        echo "${1%% *}|$2|$version|pkg:deb/debian/$2@$version?arch=arm64"
        ;;
    *)
        path=$(realpath "$1")
        found=$(dpkg-query -S "$path" 2>/dev/null || dpkg-query -S "${path#/usr}" 2>/dev/null) ||
            fail "no Debian package has $path, which is linked"
        # shellcheck disable=SC2016 # the format is dpkg's, not ours
        dpkg-query -W -f '${source:Package}|${Package}|${Version}|pkg:deb/debian/${Package}@${Version}?arch=${Architecture}\n' \
            "${found%%: *}"
        ;;
    esac
}

# "KIND|ORIGIN|NAME|SHA256" for each library, by which way it is in the program. What the compiler adds
# beside a library (crt1.o) is of the same packages.
parts_of() {
    tr -s ': ' '\n' <"$1" | grep / | LC_ALL=C sort -u | while read -r file; do
        case $file in
        *.a) kind=STATIC_LINK ;;
        *.so | *.so.*) kind=DYNAMIC_LINK ;;
        *) continue ;;
        esac
        # A script of the linker, which names the library itself.
        [ "$(head -c 4 "$file")" != '/* G' ] || continue
        origin=$(origin_of "$file")
        [ -z "$origin" ] ||
            printf '%s|%s|%s|%s\n' "$kind" "$origin" "$(basename "$file")" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
    done
}

package_entry() {
    printf '    {"SPDXID": "SPDXRef-%s", "name": "%s", "versionInfo": "%s", "packageFileName": "%s",\n' "$1" "$2" "$3" "$4"
    printf '     "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "copyrightText": "NOASSERTION",\n'
    printf '     "licenseConcluded": "NOASSERTION", "licenseDeclared": "%s",\n' "$6"
    printf '     "checksums": [{"algorithm": "SHA256", "checksumValue": "%s"}]' "$5"
    [ -z "$7" ] || printf ',\n     "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "%s"}]' "$7"
    printf '}'
}

bill() {
    name=$(basename "$3" .spdx.json) version=$4
    digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
    parts=$(parts_of "$2")
    [ -n "$parts" ] || fail "$2 names no library"
    {
        printf '{"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",\n'
        printf ' "name": "%s", "documentNamespace": "urn:mta-sts-httpd:%s:%s",\n' "$name" "$name" "$digest"
        printf ' "creationInfo": {"created": "%s", "creators": ["Tool: mta-sts-httpd-release-%s"]},\n' \
            "$(date -u -d "@$(epoch)" +%Y-%m-%dT%H:%M:%SZ)" "$version"
        printf ' "packages": [\n'
        package_entry program mta-sts-httpd "$version" "$name" "$digest" ISC ''
        number=0
        printf '%s\n' "$parts" | while IFS='|' read -r _ source package release purl file sum; do
            number=$((number + 1))
            licence=$(licence_of "$source")
            printf ',\n'
            package_entry "part-$number" "$package" "$release" "$file" "$sum" "$licence" "$purl"
        done || exit 1
        printf '\n ],\n "relationships": [\n'
        printf '    {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-program"}'
        printf '%s\n' "$parts" | cut -d '|' -f 1 | sed '=' | paste -d ' ' - - | while read -r number kind; do
            printf ',\n    {"spdxElementId": "SPDXRef-program", "relationshipType": "%s", "relatedSpdxElement": "SPDXRef-part-%s"}' \
                "$kind" "$number"
        done
        printf '\n ]}\n'
    } >"$3.new"
    mv "$3.new" "$3"
}

sign() {
    if head -n 1 "$1" | grep -q 'minisign'; then
        command -v minisign >/dev/null || fail "$1 is a key of minisign, which is not installed"
        minisign -S -s "$1" -m SHA256SUMS -t "mta-sts-httpd" >/dev/null
    else
        openssl pkeyutl -sign -rawin -inkey "$1" -in SHA256SUMS -out SHA256SUMS.sig ||
            fail "openssl cannot sign with $1"
    fi
}

finish() {
    key=${SIGN_KEY:+$(realpath "$SIGN_KEY")}
    cd "$1"
    rm -f SHA256SUMS*
    find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >../SHA256SUMS.new
    mv ../SHA256SUMS.new SHA256SUMS
    if [ -n "$key" ]; then
        sign "$key"
    else
        echo 'not signed: SIGN_KEY names no key'
    fi
    ls -l
}

case "${1:-}:$#" in
prepare:3) prepare "$2" "$3" ;;
bill:5) bill "$2" "$3" "$4" "$5" ;;
finish:2) finish "$2" ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
