#!/bin/sh
# Makes an authority for development, and a certificate from it for each HOST. For development only:
# the authority's key lies unprotected beside it, so never trust it with anything real.
#
#   make-dev-ca.sh [-d DIR] HOST...     DIR is `dev` beside this script unless told
#
#   DIR/ca.pem ca.key                   the root, once, ten years
#   DIR/intermediate.pem .key           signs the leaves, so that chains are as long as real ones
#   DIR/HOST/fullchain.pem privkey.pem  the leaf with the intermediate, 90 days, and its key
#
# It may be repeated: only what is missing, or expires within a week, is made.
set -eu
umask 077

usage() {
    echo "usage: $0 [-d DIR] HOST..." >&2
    exit 2
}

dir=$(dirname "$0")/dev
while getopts d: option; do
    case $option in
    d) dir=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage
for host in "$@"; do
    case $host in
    '' | -* | ?*\** | *[!A-Za-z0-9.*-]*)
        echo "error: \"$host\" is not a host name" >&2
        exit 2
        ;;
    esac
done

work=
said=
cleanup() {
    [ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# Called before the first change, so that a run with nothing to do is silent.
begin() {
    [ -z "$said" ] || return 0
    said=yes
    echo "Making certificates for development only, in $dir."
    mkdir -p "$dir"
    chmod 755 "$dir"
    work=$(mktemp -d "$dir/.making.XXXXXX")
    # Sections of our own, because the machine's openssl.cnf may say anything.
    cat >"$work/openssl.cnf" <<'CONFIG'
[req]
distinguished_name = name
prompt = no
[name]
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[intermediate]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
# Critical, as it must be where the subject is empty; strict clients look.
subjectAltName = critical, DNS:${ENV::HOST}
CONFIG
}

run_openssl() {
    HOST=$host openssl "$@" 2>"$work/log" || {
        cat "$work/log" >&2
        exit 1
    }
}

new_key() {
    run_openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

new_request() {
    run_openssl req -new -config "$work/openssl.cnf" -key "$1" -subj "$2" -out "$work/request.pem"
}

# A random number, because two authorities of one name must not give out the same one twice.
serial() {
    printf '0x4%s' "$(openssl rand -hex 15)"
}

sign() {
    run_openssl x509 -req -sha256 -in "$work/request.pem" -extfile "$work/openssl.cnf" \
        -set_serial "$(serial)" "$@"
}

# True if the certificate is there and good for another week.
lasts() {
    [ -s "$1" ] && openssl x509 -in "$1" -noout -checkend 604800 >/dev/null 2>&1
}

# True if the second certificate signed the first.
signed_by() {
    openssl verify -partial_chain -trusted "$2" "$1" >/dev/null 2>&1
}

# The certificate comes last: a key without its certificate only means that it is made again.
if ! lasts "$dir/ca.pem" || [ ! -s "$dir/ca.key" ]; then
    begin
    new_key "$work/ca.key"
    new_request "$work/ca.key" '/O=mta-sts-httpd development/CN=Development root'
    sign -extensions root -days 3650 -signkey "$work/ca.key" -out "$work/ca.pem"
    chmod 644 "$work/ca.pem"
    mv -f "$work/ca.key" "$dir/ca.key"
    mv -f "$work/ca.pem" "$dir/ca.pem"
fi

if ! lasts "$dir/intermediate.pem" || [ ! -s "$dir/intermediate.key" ] ||
    ! signed_by "$dir/intermediate.pem" "$dir/ca.pem"; then
    begin
    new_key "$work/intermediate.key"
    new_request "$work/intermediate.key" '/O=mta-sts-httpd development/CN=Development intermediate'
    sign -extensions intermediate -days 3650 -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
        -out "$work/intermediate.pem"
    chmod 644 "$work/intermediate.pem"
    mv -f "$work/intermediate.key" "$dir/intermediate.key"
    mv -f "$work/intermediate.pem" "$dir/intermediate.pem"
fi

for host in "$@"; do
    # A folder named * would be a trap for the next shell.
    leaf=$dir/$(printf '%s' "$host" | sed 's/^\*/_/')
    if lasts "$leaf/fullchain.pem" && [ -s "$leaf/privkey.pem" ] &&
        signed_by "$leaf/fullchain.pem" "$dir/intermediate.pem"; then
        continue
    fi
    begin
    new_key "$work/privkey.pem"
    # No name but the SAN: no one may read the common name any more.
    new_request "$work/privkey.pem" /
    sign -extensions leaf -days 90 -CA "$dir/intermediate.pem" -CAkey "$dir/intermediate.key" \
        -out "$work/leaf.pem"
    cat "$work/leaf.pem" "$dir/intermediate.pem" >"$work/fullchain.pem"
    mkdir -p "$leaf"
    chmod 755 "$leaf"
    chmod 644 "$work/fullchain.pem"
    chmod 600 "$work/privkey.pem"
    mv -f "$work/privkey.pem" "$leaf/privkey.pem"
    mv -f "$work/fullchain.pem" "$leaf/fullchain.pem"
    echo "  $leaf"
done
