#!/bin/sh
# Brings what the build, a run, the tests and the linters need: Debian packages, and the sources of
# mbedTLS and AWS-LC. Every sub-command may be repeated; when nothing is missing it says and changes
# nothing.
#
#   dependencies.sh require PURPOSE…   fails when a Debian package is missing, and says how to install it
#   dependencies.sh install PURPOSE…   installs those that are missing. A purpose: build, source (to fetch
#                                      one), run, test, fuzz, bench, lint, deb, image-test, arm64, release
#   dependencies.sh arm64 DIR          unpacks Debian's libyaml for arm64 into DIR
#   dependencies.sh mbedtls DIR        unpacks Debian's mbedTLS 3.6 into DIR/source
#   dependencies.sh awslc DIR          unpacks AWS-LC from Debian's rust-aws-lc-sys into DIR/source
#   dependencies.sh awslc-check DIR    fails unless DIR is the source of an AWS-LC that is known to build
#   dependencies.sh mirrors            prints the mirrors of Debian that they would come from
#
# DEBIAN_MIRROR  where they come from; default: the mirror that this machine's apt already uses
set -eu

# The package lists. NAME alone is looked up in dpkg's database; NAME=cmd:COMMAND and NAME=pc:MODULE
# are content with a command or a pkg-config module from anywhere, so that other systems can pass.
build='gcc=cmd:cc libc6-dev=file:/usr/include/stdio.h make=cmd:make pkg-config=cmd:pkg-config
    libyaml-dev=pc:yaml-0.1'
source='debian-archive-keyring dpkg-dev=cmd:dpkg-source xz-utils=cmd:xz patch=cmd:patch ca-certificates'
run="$build openssl=cmd:openssl curl=cmd:curl"
deb="$build build-essential dpkg-dev=cmd:dpkg-buildpackage debhelper=cmd:dh fakeroot lintian=cmd:lintian"
# The tests call /usr/bin/python3 by its path, because only Debian's own finds Debian's modules.
# Postfix would push out another mail server: where there is one, its tests are skipped.
test="$run
    $deb
    libcmocka-dev=pc:cmocka
    python3=cmd:/usr/bin/python3 python3-pytest python3-cryptography python3-dnslib
    python3-prometheus-client python3-jsonschema python3-yaml mandoc=cmd:mandoc
    bash=cmd:bash zsh=cmd:zsh fish=cmd:fish
    gnutls-bin=cmd:gnutls-cli iproute2=cmd:ip procps=cmd:ps binutils=cmd:readelf strace=cmd:strace
    valgrind=cmd:valgrind
    slowhttptest=cmd:slowhttptest
    postfix-mta-sts-resolver=cmd:mta-sts-query faketime=cmd:faketime
    nginx=file:/usr/sbin/nginx apache2-bin=file:/usr/sbin/apache2
    postfix=cmd:sendmail chasquid=cmd:smtp-check
    sslscan=cmd:sslscan testssl.sh=cmd:testssl
    systemd=cmd:systemd-analyze
    bind9=file:/usr/sbin/named bind9-utils=cmd:named-checkzone bind9-dnsutils=cmd:nsupdate
    libssl-dev=pc:libssl
    mmdebstrap=cmd:mmdebstrap debian-archive-keyring
    gcc-aarch64-linux-gnu=cmd:aarch64-linux-gnu-gcc libc6-dev-arm64-cross=file:/usr/aarch64-linux-gnu/lib/libc.a
    qemu-user=cmd:qemu-aarch64
    pebble=cmd:pebble dehydrated=cmd:dehydrated uacme=cmd:uacme
    haproxy=file:/usr/sbin/haproxy nginx=file:/usr/sbin/nginx libnginx-mod-stream
    apache2-bin=file:/usr/sbin/apache2 caddy=file:/usr/bin/caddy
    lighttpd=file:/usr/sbin/lighttpd lighttpd-mod-openssl"
lint="$build gcc=cmd:gcc clang=cmd:clang clang-format=cmd:clang-format clang-tidy=cmd:clang-tidy
    cppcheck=cmd:cppcheck shellcheck=cmd:shellcheck libcmocka-dev=pc:cmocka libssl-dev=pc:libssl"
arm64="$build gcc-aarch64-linux-gnu=cmd:aarch64-linux-gnu-gcc
    libc6-dev-arm64-cross=file:/usr/aarch64-linux-gnu/lib/libc.a $source"
release="$deb $arm64"
fuzz="$build clang=cmd:clang libclang-rt-dev python3=cmd:/usr/bin/python3"
image="$test
    buildah=cmd:buildah podman=cmd:podman runc=cmd:runc"
# The servers that ours is measured beside, and what measures and draws.
bench="$run
    python3=cmd:/usr/bin/python3 python3-cryptography libssl-dev=pc:libssl
    binutils=cmd:strip util-linux=cmd:taskset
    nginx=file:/usr/sbin/nginx apache2-bin=file:/usr/sbin/apache2 haproxy=file:/usr/sbin/haproxy
    caddy=file:/usr/bin/caddy lighttpd=file:/usr/sbin/lighttpd lighttpd-mod-mbedtls
    h2o=file:/usr/bin/h2o"

# What the packages bring that nobody asked to run.
daemons='postfix-mta-sts-resolver.service postfix.service postfix-resolvconf.path chasquid.service
    chasquid-smtp.socket chasquid-submission.socket chasquid-submission_tls.socket
    named.service nginx.service haproxy.service caddy.service lighttpd.service h2o.service
    podman.service podman.socket podman-restart.service podman-auto-update.service
    podman-auto-update.timer'

mbedtls_series=3.6
mbedtls_oldest=3.6.7
# The list of files in server/crypto/awslc.mk builds with these; known answers try the result.
awslc_oldest=5.1
awslc_too_new=7

say() {
    printf '%s\n' "$*"
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the names of the entries that are not there.
missing_of() {
    for entry in "$@"; do
        name=${entry%%=*}
        case $entry in
        *=cmd:*) command -v "${entry#*=cmd:}" >/dev/null 2>&1 && continue ;;
        *=pc:*) pkg-config --exists "${entry#*=pc:}" 2>/dev/null && continue ;;
        *=file:*) [ -e "${entry#*=file:}" ] && continue ;;
        *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] && continue ;;
        esac
        printf '%s\n' "$name"
    done | sort -u | tr '\n' ' '
}

# Runs a command as root, with its output held back unless it fails.
quietly_as_root() {
    if [ "$(id -u)" -ne 0 ]; then
        set -- sudo "$@"
    fi
    log=$(mktemp)
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# RUNLEVEL=1 makes invoke-rc.d start nothing; systemd does not ask it, so there the units are masked
# until the package is installed and disabled afterwards. A daemon that the machine had is untouched.
install_without_daemons() {
    masked=
    for unit in $daemons; do
        [ -d /run/systemd/system ] || break
        if [ -e "/lib/systemd/system/$unit" ] || [ -e "/run/systemd/system/$unit" ]; then
            continue
        fi
        quietly_as_root ln -s /dev/null "/run/systemd/system/$unit"
        masked="$masked $unit"
    done
    status=0
    quietly_as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" || status=$?
    for unit in $masked; do
        quietly_as_root rm -f "/run/systemd/system/$unit"
    done
    [ -z "$masked" ] || quietly_as_root systemctl daemon-reload || true
    for unit in $masked; do
        [ ! -e "/lib/systemd/system/$unit" ] || quietly_as_root systemctl disable "$unit" || true
    done
    return "$status"
}

# Prints the list of a purpose.
packages_for() {
    case $1 in
    build) echo "$build" ;;
    # Elsewhere no source can be fetched, which is said where one is.
    source) ! command -v apt-get >/dev/null 2>&1 || echo "$source" ;;
    run) echo "$run" ;;
    test) echo "$test" ;;
    lint) echo "$lint" ;;
    fuzz) echo "$fuzz" ;;
    deb) echo "$deb" ;;
    bench) echo "$bench" ;;
    arm64) echo "$arm64" ;;
    release) echo "$release" ;;
    image-test) echo "$image" ;;
    *) fail "no such purpose: $1" ;;
    esac
}

as_root() {
    [ "$(id -u)" -eq 0 ] || printf 'sudo '
}

# Sets $wanted to the entries of all purposes and $missing to the names of those that are not there.
look_for() {
    wanted=
    for purpose in "$@"; do
        more=$(packages_for "$purpose") || exit 1
        wanted="$wanted $more"
    done
    # shellcheck disable=SC2086 # a list of entries, to be split
    missing=$(missing_of $wanted)
    missing=${missing% }
}

require_packages() {
    look_for "$@"
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "missing (to $*), by their names in Debian: $missing
This system has no apt-get: install the like with its own package manager."
    fi
    fail "missing (to $*): $missing
Install with: $(as_root)apt-get install --no-install-recommends $missing"
}

install_packages() {
    look_for "$@"
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "missing (to $*), by their names in Debian: $missing
This system has no apt-get: install the like with its own package manager, then use NO_INSTALL=1."
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null 2>&1; then
        fail "missing (to $*): $missing
Neither root nor sudo is at hand. Run as root: apt-get install --no-install-recommends $missing"
    fi
    say "Installing Debian packages (to $*): $missing"
    quietly_as_root apt-get -qq update ||
        say 'The package lists could not be refreshed; going on with those that are there.'
    # shellcheck disable=SC2086 # a list of package names, to be split
    install_without_daemons $missing || fail "apt-get could not install: $missing"
    look_for "$@"
    [ -z "$missing" ] || fail "installed, and yet not found (to $*): $missing"
}

# Prints the Debian mirrors that the machine's apt names, best first. Origin and label are known only
# after an update; before it, as in a fresh container, the address has to tell.
machine_mirrors() {
    for known in --release-info --no-release-info; do
        # shellcheck disable=SC2016 # the format is apt's, not ours
        apt-get indextargets "$known" --format '$(SITE)|$(ORIGIN)|$(LABEL)|$(RELEASE)' \
            'Created-By: Packages'
    done | awk -F '|' '
        ($1 $3 $4) ~ /[Ss]ecurity/ || seen[$1] { next }
        $2 !~ /\$/ { seen[$1] = 1; if ($2 == "Debian" && $3 == "Debian") print $1; next }
        $1 ~ /debian\/?$/ || $1 ~ /^mirror/ { seen[$1] = 1; print $1 }'
}

debian_keyring() {
    for keyring in /usr/share/keyrings/debian-archive-keyring.pgp \
        /usr/share/keyrings/debian-archive-keyring.gpg; do
        if [ -r "$keyring" ]; then
            printf '%s\n' "$keyring"
            return 0
        fi
    done
    fail "Debian's archive keyring is not in /usr/share/keyrings (package debian-archive-keyring)"
}

#   configure_apt MIRROR KEYRING USER SUITE KIND
# Writes a configuration for apt with a source list, lists and a cache of its own: nothing of the
# machine is changed, its other sources are not asked, and what it hooks to an update is not run. The
# signature is checked, always, and against Debian's keys alone.
configure_apt() {
    printf '%s [signed-by=%s] %s %s main\n' "$5" "$2" "$1" "$4" >"$apt/sources.list"
    : >"$apt/status"
    cat >"$apt/apt.conf" <<CONFIG
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "$3";
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "2";
CONFIG
    # A package is for another processor, and what this machine has of it does not matter.
    [ "$5" = deb-src ] || cat >>"$apt/apt.conf" <<CONFIG
APT::Architecture "arm64";
#clear APT::Architectures;
APT::Architectures "arm64";
Dir::State::status "$apt/status";
CONFIG
}

private_apt() {
    apt-get -q -c "$apt/apt.conf" "$@"
}

# The version of a mbedTLS source tree, or nothing.
mbedtls_version() {
    sed -n 's/^#define MBEDTLS_VERSION_STRING  *"\(.*\)"$/\1/p' \
        "$1/include/mbedtls/build_info.h" 2>/dev/null || true
}

# The same of AWS-LC.
awslc_version() {
    sed -n 's/^#define AWSLC_VERSION_NUMBER_STRING  *"\(.*\)"$/\1/p' \
        "$1/include/openssl/base.h" 2>/dev/null || true
}

is_not_older() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

require_mbedtls() {
    case $1 in
    "$mbedtls_series".*) ;;
    *) fail "$2 is mbedTLS ${1:-of no known version}; this program needs $mbedtls_series, from $mbedtls_oldest on.
Bring your own with MBEDTLS_SRC=DIR, or use the system's with MBEDTLS=system." ;;
    esac
    is_not_older "$1" "$mbedtls_oldest" ||
        fail "$2 is mbedTLS $1; older than $mbedtls_oldest, it has faults that are mended there"
}

require_awslc() {
    case $1 in
    [0-9]*.[0-9]*) ;;
    *) fail "$2 is no source of AWS-LC" ;;
    esac
    if ! is_not_older "$1" "$awslc_oldest" || is_not_older "$1" "$awslc_too_new"; then
        fail "$2 is AWS-LC $1; this program builds it from $awslc_oldest on, below $awslc_too_new"
    fi
}

# Downloads the newest package of the suite with apt, which has checked it when this returns 0.
download() {
    private_apt update >"$apt/log" 2>&1 || return 1
    case $kind in
    deb) (cd "$apt/download" && private_apt download "$1") >>"$apt/log" 2>&1 ;;
    *) (cd "$apt/download" && private_apt --download-only source "$1") >>"$apt/log" 2>&1 ;;
    esac
}

# Unpacks a package of Debian, from the first suite that has it, into $apt/unpacked. KIND is deb-src for a
# source package, deb for one for arm64.
#   fetch KIND DIR PACKAGE NAME HINT SUITE...
fetch() {
    kind=$1 dir=$2 package=$3 name=$4 hint=$5
    shift 5
    command -v apt-get >/dev/null 2>&1 ||
        fail "$name comes from Debian by apt-get, which is not here.
$hint"
    require_packages source

    mkdir -p "$dir"
    apt=$(mktemp -d "$(cd "$dir" && pwd)/apt.XXXXXX")
    trap 'rm -rf "$apt"' EXIT
    trap 'exit 1' HUP INT TERM
    chmod 755 "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/download"
    # As root, apt gives its network code to the user _apt if that one can reach the folder; a clone
    # under a closed home folder is not worth a warning, for the signature is checked either way.
    sandbox=root
    if [ "$(id -u)" -eq 0 ] && id _apt >/dev/null 2>&1 && command -v setpriv >/dev/null 2>&1 &&
        setpriv --reuid _apt --regid nogroup --clear-groups test -x "$apt/lists" 2>/dev/null; then
        sandbox=_apt
        chown _apt "$apt/download" "$apt/lists/partial" "$apt/cache/archives/partial"
    fi

    keyring=$(debian_keyring)
    mirrors=${DEBIAN_MIRROR:-$(machine_mirrors)}
    [ -n "$mirrors" ] || fail "apt's configuration names no mirror of Debian. Name one with
DEBIAN_MIRROR=URL. $hint"
    got=
    for suite in "$@"; do
        for mirror in $mirrors; do
            configure_apt "$mirror" "$keyring" "$sandbox" "$suite" "$kind"
            if download "$package"; then
                got=yes
                break 2
            fi
            cat "$apt/log" >>"$apt/failures"
        done
    done
    if [ -z "$got" ]; then
        cat "$apt/failures" >&2
        fail "$name could not be fetched and verified (see above).
$hint"
    fi
    say "Fetched $name from Debian $suite."

    # apt has checked the signature of the list and the sums of these files, with Debian's keys.
    case $kind in
    deb) dpkg-deb -x "$apt/download/$package"_*.deb "$apt/unpacked" >"$apt/log" 2>&1 ;;
    *) dpkg-source --no-check -x "$apt/download/$package"_*.dsc "$apt/unpacked" >"$apt/log" 2>&1 ;;
    esac || {
        cat "$apt/log" >&2
        fail "$name could not be unpacked"
    }
}

# Renaming comes last: a source folder is either whole or not there.
fetch_mbedtls() {
    if [ ! -e "$1/source" ]; then
        fetch deb-src "$1" mbedtls "the source of mbedTLS $mbedtls_series" \
            "Bring your own with MBEDTLS_SRC=DIR, or use the system's with MBEDTLS=system." forky
        require_mbedtls "$(mbedtls_version "$apt/unpacked")" "Debian's source package in $suite"
        mv -T "$apt/unpacked" "$1/source" || [ -e "$1/source" ]
    fi
    require_mbedtls "$(mbedtls_version "$1/source")" "$1/source"
}

# The package is a crate of Rust, which has AWS-LC in a folder.
fetch_awslc() {
    if [ ! -e "$1/source" ]; then
        fetch deb-src "$1" rust-aws-lc-sys "the source of AWS-LC" "Bring your own with AWSLC_SRC=DIR." forky sid
        require_awslc "$(awslc_version "$apt/unpacked/aws-lc")" "Debian's source package in $suite"
        mv -T "$apt/unpacked/aws-lc" "$1/source" || [ -e "$1/source" ]
    fi
    require_awslc "$(awslc_version "$1/source")" "$1/source"
}

# What the cross compiler links with and does not have. The release is this machine's, as is its C library.
fetch_arm64() {
    [ ! -e "$1" ] || return 0
    release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    fetch deb "$(dirname "$1")" libyaml-dev "libyaml for arm64" "" "${release:-bookworm}"
    mv -T "$apt/unpacked" "$1" || [ -e "$1" ]
}

case "${1:-} ${2:-}" in
'require '?*) shift && require_packages "$@" ;;
'install '?*) shift && install_packages "$@" ;;
'mbedtls '?*) fetch_mbedtls "$2" ;;
'arm64 '?*) fetch_arm64 "$2" ;;
'awslc '?*) fetch_awslc "$2" ;;
'awslc-check '?*) require_awslc "$(awslc_version "$2")" "$2" ;;
'mirrors ') printf '%s\n' "${DEBIAN_MIRROR:-$(machine_mirrors)}" ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
