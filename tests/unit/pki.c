#include "pki.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static const char prelude[] =
    "set -eu\n"
    "umask 077\n"
    "export OPENSSL_CONF=\"$PWD/openssl.cnf\"\n"
    "[ -e openssl.cnf ] || printf '[req]\\ndistinguished_name=dn\\n[dn]\\n' >openssl.cnf\n"
    "[ -e serial ] || echo 1000 >serial\n"
    "key() { openssl ecparam -name prime256v1 -genkey -noout -out \"$1.key\"; }\n"
    "issue_as() {\n"
    "    subject=$1 name=$2 issuer=$3 days=$4; shift 4\n"
    "    printf '%s\\n' '[x]' \"$@\" >ext; echo $(($(cat serial) + 1)) >serial\n"
    "    openssl req -new -key \"$name.key\" -subj \"$subject\" -out csr\n"
    "    if [ \"$name\" = \"$issuer\" ]; then set -- -signkey \"$name.key\"\n"
    "    else set -- -CA \"$issuer.crt\" -CAkey \"$issuer.key\"; fi\n"
    "    openssl x509 -req -in csr \"$@\" -days \"$days\" -set_serial \"$(cat serial)\" \\\n"
    "        -extfile ext -extensions x -out \"$name.crt\" ${DIGEST:-} 2>/dev/null\n"
    "}\n"
    "issue_from() {\n"
    "    subject=$1 name=$2 issuer=$3 begin=$4 end=$5; shift 5\n"
    "    printf '%s\\n' \"$@\" >ext; echo $(($(cat serial) + 1)) >serial; cp serial ca.serial; : >index\n"
    "    printf '%s\\n' '[ca]' 'default_ca=c' '[c]' 'database=index' 'serial=ca.serial' 'policy=p' \\\n"
    "        'new_certs_dir=.' 'default_md=sha256' 'unique_subject=no' '[p]' 'commonName=optional' "
    ">ca.cnf\n"
    "    openssl req -new -key \"$name.key\" -subj \"$subject\" -out csr\n"
    "    if [ \"$name\" = \"$issuer\" ]; then set -- -selfsign; else set -- -cert \"$issuer.crt\"; fi\n"
    "    openssl ca \"$@\" -config ca.cnf -batch -notext -in csr -extfile ext -out \"$name.crt\" \\\n"
    "        -keyfile \"$issuer.key\" -startdate \"$(date -u -d \"$begin days\" +%Y%m%d%H%M%SZ)\" \\\n"
    "        -enddate \"$(date -u -d \"$end days\" +%Y%m%d%H%M%SZ)\" 2>/dev/null\n"
    "    rm -f [0-9A-F]*.pem\n"
    "}\n"
    "issue() { issue_as \"/CN=$1\" \"$@\"; }\n"
    "ids='subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid'\n"
    "ca='basicConstraints=critical,CA:TRUE'\n"
    "names() { list=; for host; do list=\"${list:+$list,}DNS:$host\"; done; echo \"$list\"; }\n"
    "leaf() {\n"
    "    leaf=$1 by=$2 for=$3; shift 3\n"
    "    key \"$leaf\"; issue \"$leaf\" \"$by\" \"$for\" \"$ids\" \"subjectAltName=$(names \"$@\")\"\n"
    "}\n";

static int run(const char *lines)
{
    static const char shell[] = "/bin/sh";
    char *script = NULL;
    char name[] = "sh", option[] = "-c";
    pid_t child;
    int status = -1;
    if (asprintf(&script, "%s%s", prelude, lines) < 0)
        return -1;
    char *arguments[] = {name, option, script, NULL};
    if (posix_spawn(&child, shell, NULL, NULL, arguments, environ) != 0 ||
        waitpid(child, &status, 0) != child)
        status = -1;
    free(script);
    return status;
}

int pki_begin(void)
{
    char folder[] = "/tmp/mta-sts-httpd-unit-XXXXXX";
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return -1;
    /* A test gives up root for a moment and must still reach the folder. */
    return chmod(".", 0755);
}

void pki_run(const char *lines)
{
    assert_int_equal(run(lines), 0);
}

int pki_end(void)
{
    return run("folder=$PWD; cd /\n"
               "case $folder in /tmp/mta-sts-httpd-unit-*) rm -rf \"$folder\";; esac\n") == 0
               ? chdir("/")
               : -1;
}

int pki_set_up(const char *lines)
{
    if (pki_begin() != 0)
        return -1;
    pki_run(lines);
    return 0;
}

int pki_tear_down(void **state)
{
    (void)state;
    return pki_end();
}
