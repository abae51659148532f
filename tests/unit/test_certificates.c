/* The certificate store, on files that openssl writes while the test runs. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "certificates/store.h"
#include "pki.h"
#include "sandbox/syscall_filter.h"

#define HOST "mta-sts.example.com"

/* What is loaded, at which day from now it is judged, which file then serves which host, and what
 * is said. */
struct example {
    const char *name;
    const char *paths[4];
    const char *host;  /* NULL: HOST */
    const char *ecdsa; /* "FILE:LINE CHAIN_LEN", NULL: none */
    const char *rsa;
    unsigned counts[3]; /* errors, warnings, notes */
    const char *said[3];
    int day;
};

static const char authorities[] = "key root; issue root root 4000 \"$ids\" \"$ca\"\n"
                                  "key mid; issue mid root 3000 \"$ids\" \"$ca\"\n"
                                  "key low; issue low mid 3000 \"$ids\" \"$ca\"\n";

static const char keys[] =
    "leaf a low 300 " HOST "; mkdir keys\n"
    "cat a.crt low.crt mid.crt >a.pem\n"
    "openssl ec -in a.key -outform DER -out a.der 2>/dev/null\n"
    "cp a.key keys/sec1\n"
    "openssl pkcs8 -topk8 -nocrypt -in a.key -out keys/pkcs8\n"
    "openssl ec -in a.key -no_public -out keys/sec1-short 2>/dev/null\n"
    "openssl pkcs8 -topk8 -nocrypt -in keys/sec1-short -out keys/pkcs8-short\n"
    "openssl ec -in a.key -conv_form compressed -out keys/sec1-compressed 2>/dev/null\n"
    "(openssl ecparam -name prime256v1; cat a.key) >keys/parameters\n"
    "(echo 'Bag Attributes'; echo '    localKeyID: 01'; cat a.key; echo tail) >keys/bag\n"
    "sed 's/$/\\r/' a.key >keys/crlf\n"
    "printf %s \"$(cat a.key)\" >keys/no-newline\n"
    "openssl ec -in a.key -aes128 -passout pass:x -out encrypted-sec1 2>/dev/null\n"
    "openssl pkcs8 -topk8 -in a.key -passout pass:x -out encrypted-pkcs8\n"
    "head -n 2 a.key >cut.key; sed '2s/./*/' a.key >star.key\n"
    "(head -n 1 a.key; echo Zm9v; tail -n 1 a.key) >junk.key\n"
    "openssl genpkey -algorithm ed25519 -out ed25519.key\n"
    "openssl genpkey -algorithm x25519 -out x25519.key\n"
    "openssl ecparam -name secp521r1 -genkey -noout -out p521.key\n"
    "openssl ecparam -name secp256k1 -genkey -noout -out k1.key\n"
    "openssl genrsa -out rsa1024.key 1024 2>/dev/null\n"
    "cp a.key public.key; chmod 644 public.key\n";

static const char kinds[] =
    "openssl ecparam -name secp384r1 -genkey -noout -out p384.key\n"
    "openssl genrsa -out r2.key 2048 2>/dev/null; openssl genrsa -out r4.key 4096 2>/dev/null\n"
    "for name in p384 r2 r4; do\n"
    "    issue $name mid 300 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "    cat $name.crt mid.crt >$name.pem\n"
    "done\n"
    "openssl rsa -in r2.key -traditional -out r2.pkcs1 2>/dev/null\n"
    "openssl rsa -in r2.key -traditional -outform DER -out r2.der 2>/dev/null\n"
    "openssl pkcs8 -topk8 -nocrypt -in r2.key -out r2.pkcs8\n"
    "openssl rsa -in r2.key -traditional -aes128 -passout pass:x -out r2.encrypted 2>/dev/null\n"
    "for name in ed25519 p521 k1 rsa1024; do\n"
    "    issue $name mid 300 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "done\n";

static const char files[] =
    "mkdir all; (cat mid.crt a.key; openssl x509 -in low.crt -text; cat root.crt a.crt) >all/one\n"
    "sed 's/$/\\r/' all/one >crlf.pem; cat low.crt a.crt >wrong-order.pem\n"
    "openssl x509 -in a.crt -trustout -out trusted.crt\n"
    "openssl x509 -in a.crt -outform DER -out a.crt.der\n"
    "head -n 4 a.crt >cut.crt; (cat cut.crt; cat a.pem a.key) >cut-then-good.pem\n"
    "(head -n 1 a.crt; echo Zm9v; tail -n 1 a.crt) >junk.crt\n"
    "sed '3s/./*/' a.crt >star.crt\n"
    "openssl ecparam -name prime256v1 -out parameters; echo hello >text; : >empty\n"
    "mkdir -p tree/b/c tree/.hidden; cp a.pem tree/b/chain; cp a.key tree/b/c/key\n"
    "cp junk.crt tree/.hidden/x; cp junk.crt tree/.junk; cp text tree/; cp a.crt.der tree/\n"
    "mkfifo tree/fifo; cp parameters tree/; ln -s .. tree/b/up; ln -s ../.. tree/b/c/up\n"
    "mkdir links archive; cp a.pem archive/chain1; cp a.key archive/key1; ln -s tree tree-link\n"
    "ln -s ../archive/chain1 links/fullchain.pem; ln -s ../archive/key1 links/privkey.pem\n"
    "mkdir dangling; cp a.pem a.key dangling; ln -s nowhere dangling/x; mkfifo fifo\n"
    "deep=deep/1/2/3/4/5/6/7/8; mkdir -p $deep/9; cp a.pem a.key $deep; cp junk.crt $deep/9\n"
    "head -c 1100000 /dev/zero >large; mkdir big; cp large big; cp a.pem a.key big\n"
    "mkdir twice; cp a.crt twice/1cert.pem; cp a.pem twice/2fullchain.pem; cp a.key twice/key\n"
    "cp a.key twice/same-key; cp low.crt mid.crt twice\n"
    /* Files that were spoilt, or are of another form, each with the key beside it and in a folder. */
    "mkdir form; awk '{printf \"%s\\\\n\", $0}' a.pem >form/escaped; tr '\\n' '\\r' <a.pem >form/cr\n"
    "printf '{\"cert\": \"%s\"}\\n' \"$(cat form/escaped)\" >form/json\n"
    "iconv -t UTF-16 a.pem >form/utf16; iconv -t UTF-16LE a.pem >form/utf16le\n"
    "tr '\\n' ' ' <a.pem >form/spaces; tr -d '\\n' <a.pem >form/none\n"
    "sed 's/^/    /' a.pem >form/indented; sed 's/^/> /' a.pem >form/quoted\n"
    "openssl crl2pkcs7 -nocrl -certfile a.pem -out form/p7\n"
    "openssl crl2pkcs7 -nocrl -certfile a.pem -outform DER -out form/p7der\n"
    "openssl pkcs12 -export -passout pass: -in a.pem -inkey a.key -out form/p12\n"
    "openssl x509 -in a.crt -outform DER -out form/der; cp a.der form/keyder\n"
    "openssl pkcs8 -topk8 -nocrypt -in a.key -outform DER -out form/key8der\n"
    "openssl x509 -in a.crt -outform DER | openssl base64 >form/bare\n"
    "openssl base64 -A -in form/p7der -out form/p7bare\n"
    "openssl req -new -key a.key -subj /CN=x -out form/csr\n"
    "openssl req -new -key a.key -subj /CN=x -outform DER -out form/csrder\n"
    "cd form; for name in *; do mkdir ../forms-$name; cp $name ../a.key ../forms-$name; done; cd ..\n"
    "mkdir good-and-form; cp form/* a.pem a.key good-and-form\n"
    "cat a.crt low.crt >first; printf %s \"$(cat first)\" >glued; cat mid.crt a.key >>glued\n"
    "mkdir noise; cp a.pem a.key noise; i=0; while [ $i -lt 120 ]; do\n"
    "    i=$((i + 1)); cp form/der noise/$i; cat junk.crt >>noise/junk\n"
    "done\n";

static const char leaves[] =
    "leaf old low 10 " HOST "; leaf far low 20 " HOST "; leaf new low 500 " HOST "\n"
    "leaf case low 300 MTA-STS.Example.COM example.com; leaf wild low 400 '*.example.com'\n"
    "leaf nokey low 300 " HOST " www.example.com; rm nokey.key\n"
    "leaf other low 300 www.example.org; cp other.key other-alone.key; rm other.key\n"
    "key cn; issue_as /CN=" HOST " cn low 300 \"$ids\"\n"
    "key junkname; issue junkname low 300 \"$ids\" 'subjectAltName=DNS:mta-sts_x,DNS:*.*.example'\n"
    "key ip; issue ip low 300 \"$ids\" 'subjectAltName=IP:192.0.2.1,email:a@example.com'\n"
    "key client; issue client low 300 \"$ids\" subjectAltName=DNS:client.example "
    "extendedKeyUsage=clientAuth\n"
    "key server; issue server low 300 \"$ids\" subjectAltName=DNS:" HOST " "
    "extendedKeyUsage=clientAuth,serverAuth keyUsage=digitalSignature\n"
    "key agree; issue agree low 300 \"$ids\" subjectAltName=DNS:" HOST " keyUsage=keyAgreement\n"
    "key self; issue self self 300 subjectAltName=DNS:" HOST "\n"
    "key selfca; issue selfca selfca 300 \"$ids\" \"$ca\" subjectAltName=DNS:" HOST "\n"
    "key nul; issue nul low 300 \"$ids\" "
    "subjectAltName=DER:30:17:82:15:$(printf 'mta-sts.example.com\\0x' | od -An -v -tx1 | "
    "tr -d '\\n' | sed 's/^ //; s/ /:/g')\n"
    "key sha1; DIGEST=-sha1 issue sha1 low 300 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "cp r2.key rsa.key; issue rsa rsa 300 \"$ca\"\n"
    "key md5; DIGEST=-md5 issue md5 rsa 300 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "key many; issue many low 300 \"$ids\" \"subjectAltName=$(i=0; while [ $i -lt 700 ]; do "
    "printf 'DNS:host-number-%s.example.com,' $i; i=$((i + 1)); done)DNS:" HOST "\"\n";

/* Of one name: a replaced one of 90 days, one of 6 days that was issued later, a wildcard between. */
static const char dates[] =
    "for name in ninety six; do key $name; done\n"
    "issue_from /CN=ninety ninety low -30 60 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "issue_from /CN=six six low -1 5 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "key joker; issue_from /CN=joker joker low -10 300 \"$ids\" 'subjectAltName=DNS:*.example.com'\n"
    "key staple; issue staple low 300 \"$ids\" tlsfeature=status_request subjectAltName=DNS:" HOST
    "\n"
    "key feature; issue feature low 300 \"$ids\" 1.3.6.1.5.5.7.1.24=critical,DER:30:03:02:01:11 "
    "subjectAltName=DNS:" HOST "\n"
    "key other_feature; issue other_feature low 300 \"$ids\" 1.3.6.1.5.5.7.1.24=DER:30:03:02:01:01 "
    "subjectAltName=DNS:" HOST "\n"
    "key odd; issue odd low 300 \"$ids\" 1.2.3.4=critical,DER:05:00 subjectAltName=DNS:" HOST "\n"
    "key policy; issue policy low 300 \"$ids\" certificatePolicies=critical,2.23.140.1.2.1 "
    "subjectAltName=DNS:" HOST "\n"
    "openssl genrsa -out r41.key 4104 2>/dev/null\n"
    "issue r41 low 300 \"$ids\" subjectAltName=DNS:" HOST "\n";

/* The victim's is by an authority that the system trusts; the attacker's is issued later and ends
 * later, by his own root or by what looks like the other one. */
static const char contests[] =
    "mkdir -p trusted/victim trusted/own trusted/posing trusted/wild; cp root.crt bundle.pem\n"
    "key victim; issue_from /CN=victim victim low -30 60 \"$ids\" subjectAltName=DNS:" HOST "\n"
    "cat victim.crt low.crt mid.crt >trusted/victim/chain; cp victim.key trusted/victim/key\n"
    "key evil; issue evil evil 3000 \"$ids\" \"$ca\"; key mine; issue mine evil 3000 \"$ids\" \"$ca\"\n"
    "leaf own mine 400 " HOST "; cat own.crt mine.crt evil.crt >trusted/own/chain\n"
    "cp own.key trusted/own/key\n"
    "key pose; issue_as /CN=root pose pose 3000 \"$ids\" \"$ca\"; leaf posing pose 500 " HOST "\n"
    "cat posing.crt pose.crt >trusted/posing/chain; cp posing.key trusted/posing/key\n"
    "leaf wildest mine 600 '*.example.com'; cat wildest.crt mine.crt >trusted/wild/chain\n"
    "cp wildest.key trusted/wild/key\n";

static const char chains[] =
    /* Intermediates whose critical extensions the library does not know or does not judge. */
    "i=0; for line in 'nameConstraints=critical,permitted;DNS:example.com' "
    "'policyConstraints=critical,requireExplicitPolicy:0' inhibitAnyPolicy=critical,0 "
    "certificatePolicies=critical,1.2.3.4 1.2.3.4=critical,DER:05:00; do\n"
    "    i=$((i + 1)); key limit$i; issue limit$i root 300 \"$ids\" \"$ca\" \"$line\"\n"
    "    leaf onlimit$i limit$i 300 " HOST "; cat onlimit$i.crt limit$i.crt >onlimit$i.pem\n"
    "done\n"
    /* A new root signed by an old one, both of them gone; and the same as an intermediate. */
    "key older; issue_from /CN=older older older -300 -20 \"$ids\" \"$ca\"\n"
    "key newer; issue_from /CN=newer newer older -200 -20 \"$ids\" \"$ca\"; cp newer.crt "
    "newer-old.crt\n"
    "issue_from /CN=newer newer newer -200 3000 \"$ids\" \"$ca\"; cp newer.crt newer-root.crt\n"
    "key between; issue between newer 300 \"$ids\" \"$ca\"; leaf onnewer between 300 " HOST "\n"
    "cat onnewer.crt between.crt newer-old.crt >onnewer.pem; cat onnewer.pem older.crt >full.pem\n"
    "key ended; issue_from /CN=ended ended root -200 -20 \"$ids\" \"$ca\"\n"
    "key onended; issue onended ended 300 \"$ids\" \"$ca\"; leaf under onended 300 " HOST "\n"
    "cat under.crt onended.crt ended.crt root.crt >under.pem\n"
    "cp rsa1024.key weak.key; issue weak root 300 \"$ids\" \"$ca\"; leaf onweak weak 300 " HOST "\n"
    "cat onweak.crt weak.crt >onweak.pem\n"
    "key short; issue short root 5 \"$ids\" \"$ca\"; leaf onshort short 300 " HOST "\n"
    "cp short.crt short-old.crt; issue short root 2000 \"$ids\" \"$ca\"; cp short.crt "
    "short-new.crt\n"
    "cat onshort.crt short-old.crt >onshort.pem\n"
    /* Two authorities with one name and different keys, without key identifiers. */
    "key twin; issue_as /CN=twin twin root 2000 \"$ca\"; cp twin.crt twin1.crt\n"
    "key ontwin; issue ontwin twin 300 subjectAltName=DNS:" HOST "\n"
    "key twin; issue_as /CN=twin twin root 2500 \"$ca\"; cp twin.crt twin2.crt\n"
    /* Forgeries of an issuer, with its name and key identifier, and what has to be found all the same:
     * in the same file, in the same folder, and elsewhere. */
    "mkdir forged same near far; i=0; while [ $i -lt 40 ]; do\n"
    "    i=$((i + 1)); key forged; cp low.crt real.crt\n"
    "    id=$(openssl x509 -in low.crt -noout -ext subjectKeyIdentifier | tail -n 1 | tr -d ' ')\n"
    "    issue_as /CN=low forged forged 4000 \"subjectKeyIdentifier=$id\" \"$ca\"\n"
    "    cat forged.crt >>forged/all; cp forged.crt forged/$i.crt\n"
    "done; cp root.crt mid.crt forged\n"
    "cat a.crt low.crt >same/chain; cp a.key same; cp a.crt a.key low.crt near; cp a.crt a.key far\n"
    /* Cross-signing: root as an intermediate of another root, and that one the other way round. */
    "key cross; issue cross cross 4000 \"$ids\" \"$ca\"\n"
    "cp root.crt root-self.crt; cp cross.crt cross-self.crt\n"
    "issue root cross 3500 \"$ids\" \"$ca\"; mv root.crt root-cross.crt; cp root-self.crt root.crt\n"
    "issue cross root 3500 \"$ids\" \"$ca\"; mv cross.crt cross-root.crt\n"
    "cat a.crt low.crt mid.crt root-cross.crt >crossed.pem\n"
    "above=mid; for name in link1 link2 link3 link4 link5; do\n"
    "    key $name; issue $name $above 300 \"$ids\" \"$ca\"; above=$name\n"
    "done; leaf fits link4 300 " HOST "; leaf deep link5 300 " HOST "\n"
    "cat link?.crt mid.crt >long.pem\n";

static const struct example key_examples[] = {
    {"SEC 1", {"a.pem", "keys/sec1"}, .ecdsa = "a.pem:1 3"},
    {"PKCS#8", {"keys/pkcs8", "a.pem"}, .ecdsa = "a.pem:1 3"},
    {"SEC 1 without the public part", {"a.pem", "keys/sec1-short"}, .ecdsa = "a.pem:1 3"},
    {"PKCS#8 without the public part", {"a.pem", "keys/pkcs8-short"}, .ecdsa = "a.pem:1 3"},
    {"SEC 1, compressed", {"a.pem", "keys/sec1-compressed"}, .ecdsa = "a.pem:1 3"},
    {"EC PARAMETERS before it", {"a.pem", "keys/parameters"}, .ecdsa = "a.pem:1 3"},
    {"text around it", {"a.pem", "keys/bag"}, .ecdsa = "a.pem:1 3"},
    {"CRLF", {"a.pem", "keys/crlf"}, .ecdsa = "a.pem:1 3"},
    {"no line end", {"a.pem", "keys/no-newline"}, .ecdsa = "a.pem:1 3"},
    {"all at once", {"keys", "a.pem"}, .ecdsa = "a.pem:1 3"},
    {"encrypted in the old way",
     {"encrypted-sec1", "other.crt"},
     .counts = {1, 0, 1},
     .said = {"encrypted-sec1:1:1: error: the private key is encrypted\n",
              "    fix: write it without one: openssl pkey -in encrypted-sec1 -out NEW\n"}},
    {"encrypted PKCS#8",
     {"encrypted-pkcs8"},
     .counts = {1},
     .said = {"encrypted-pkcs8:1:1: error: the private key is encrypted\n"}},
    {"encrypted PKCS#1",
     {"r2.encrypted"},
     .counts = {1},
     .said = {"r2.encrypted:1:1: error: the private key is encrypted\n"}},
    {"cut off", {"cut.key"}, .counts = {1}, .said = {"cut.key:1:1: error: the block has no line "}},
    {"not base64", {"star.key"}, .counts = {1}, .said = {"star.key:2:1: error: this line of the"}},
    {"junk", {"junk.key"}, .counts = {1}, .said = {"junk.key:1:1: error: this is not a private"}},
    {"Ed25519",
     {"ed25519.key"},
     .counts = {1},
     .said = {"ed25519.key:1:1: error: the private key is left out: it is Ed25519\n",
              "    why: senders verify P-256"}},
    {"X25519", {"x25519.key"}, .counts = {1}, .said = {"left out: it is X25519\n"}},
    {"P-521", {"p521.key"}, .counts = {1}, .said = {"left out: it is ECDSA P-521\n"}},
    {"secp256k1", {"k1.key"}, .counts = {1}, .said = {"left out: it is ECDSA secp256k1\n"}},
    {"RSA 1024", {"rsa1024.key"}, .counts = {1}, .said = {"left out: it is RSA 1024\n"}},
    {"everybody can read it",
     {"a.pem", "public.key"},
     .ecdsa = "a.pem:1 3",
     .counts = {0, 1},
     .said = {"public.key: warning: every user of this machine can read the private key\n"
              "    fix: chmod 600 public.key\n"}},
    {"key without certificate",
     {"a.key"},
     .counts = {0, 0, 1},
     .said = {"a.key:1:1: note: no certificate in the files belongs to this private key\n"}},
    {"RSA as PKCS#1", {"r2.pem", "r2.pkcs1"}, .rsa = "r2.pem:1 2"},
    {"RSA as PKCS#8", {"r2.pem", "r2.pkcs8"}, .rsa = "r2.pem:1 2"},
    {"RSA 4096", {"r4.pem", "r4.key"}, .rsa = "r4.pem:1 2"},
    {"P-384", {"p384.pem", "p384.key"}, .ecdsa = "p384.pem:1 2"},
    {"ECDSA and RSA",
     {"a.pem", "a.key", "r2.pem", "r2.key"},
     .ecdsa = "a.pem:1 3",
     .rsa = "r2.pem:1 2"},
    {"the key of another certificate",
     {"a.pem", "new.key"},
     .counts = {1, 0, 1},
     .said = {"a.pem:1:1: error: the certificate is left out: its private key is in none of the "
              "files\n"}},
};

static const struct example file_examples[] = {
    {"combined, any order", {"all"}, .ecdsa = "all/one:@ 3"},
    {"combined, CRLF", {"crlf.pem"}, .ecdsa = "crlf.pem:@ 3"},
    {"chain in the wrong order",
     {"wrong-order.pem", "a.key", "mid.crt"},
     .ecdsa = "wrong-order.pem:@ 3"},
    {"chain in other files", {"a.crt", "a.key", "mid.crt", "low.crt"}, .ecdsa = "a.crt:1 3"},
    {"a folder", {"tree"}, .ecdsa = "tree/b/chain:1 3", .counts = {0, 0, 1}},
    {"a link to a folder", {"tree-link"}, .ecdsa = "tree-link/b/chain:1 3", .counts = {0, 0, 1}},
    {"a folder with a slash", {"tree/b/"}, .ecdsa = "tree/b/chain:1 3"},
    {"links to files", {"links"}, .ecdsa = "links/fullchain.pem:1 3"},
    {"links and what they lead to", {"archive", "links"}, .ecdsa = "archive/chain1:1 3"},
    {"the same in several files", {"twice"}, .ecdsa = "twice/2fullchain.pem:1 3"},
    {"a dangling link",
     {"dangling"},
     .ecdsa = "dangling/a.pem:1 3",
     .counts = {0, 0, 1},
     .said = {"dangling/x: note: No such file or directory\n"}},
    {"a dangling link, and a host without",
     {"dangling"},
     .host = "mta-sts.example.org",
     .counts = {1, 0, 1},
     .said = {"dangling/x: error: No such file or directory\n"}},
    {"too deep",
     {"deep"},
     .ecdsa = "deep/1/2/3/4/5/6/7/8/a.pem:1 3",
     .counts = {0, 1},
     .said = {"deep/1/2/3/4/5/6/7/8/9: warning: this folder is not searched"}},
    {"too large",
     {"large"},
     .counts = {1},
     .said = {"config:7:9: error: large is not read, because it is larger than 1048576 bytes\n"}},
    {"too large in a folder", {"big"}, .ecdsa = "big/a.pem:1 3", .counts = {0, 0, 1}},
    {"not there",
     {"nowhere", "a.pem", "a.key"},
     .ecdsa = "a.pem:1 3",
     .counts = {1},
     .said = {"config:7:9: error: nowhere: No such file or directory\n"}},
    {"a pipe",
     {"fifo"},
     .counts = {1},
     .said = {"config:7:9: error: fifo: neither a file nor a folder\n"}},
    {"text",
     {"text"},
     .counts = {1},
     .said = {"config:7:9: error: text holds no certificate and no key in PEM form\n"}},
    {"empty", {"empty"}, .counts = {1}, .said = {"empty holds no certificate"}},
    {"parameters only", {"parameters"}, .counts = {1}, .said = {"parameters holds no"}},
    {"DER",
     {"a.crt.der"},
     .counts = {1},
     .said = {"config:7:9: error: a.crt.der holds no certificate and no key in PEM form: it is a "
              "certificate in DER\n",
              "    fix: openssl x509 -inform DER -in a.crt.der -out NEW\n"}},
    {"OpenSSL's own form",
     {"trusted.crt"},
     .counts = {1},
     .said = {"trusted.crt:1:1: error: this is OpenSSL's own form of a certificate\n"}},
    {"cut off", {"cut.crt"}, .counts = {1}, .said = {"cut.crt:1:1: error: the block has no line "}},
    {"cut off before a good one",
     {"cut-then-good.pem"},
     .ecdsa = "cut-then-good.pem:5 3",
     .counts = {1},
     .said = {"cut-then-good.pem:1:1: error: the block has no line -----END CERTIFICATE-----\n"}},
    {"junk beside a good one",
     {"junk.crt", "a.pem", "a.key"},
     .ecdsa = "a.pem:1 3",
     .counts = {1},
     .said = {"junk.crt:1:1: error: this is not a certificate\n",
              "    fix: look at it with: openssl x509 -in junk.crt -noout -text\n"}},
    {"not base64", {"star.crt"}, .counts = {1}, .said = {"star.crt:3:1: error: this line of the"}},
};

/* Something that cannot be read is only a note when all hosts have what they need. */
static const struct example form_examples[] = {
    {"glued",
     {"glued"},
     .ecdsa = "glued:1 1",
     .counts = {1, 1},
     .said = {"glued:@:1: error: the line break before or after END CERTIFICATE is missing\n",
              "    fix: sed "}},
    {"forms beside what is good",
     {"good-and-form"},
     .ecdsa = "good-and-form/a.pem:1 3",
     .counts = {0, 0, 17},
     .said = {"good-and-form/utf16: note: no certificate and no key can be read from this file: it "
              "is text in UTF-16, as PowerShell writes it\n    fix: iconv -f UTF-16 -t UTF-8 "
              "good-and-form/utf16 >NEW\n"}},
    {"very many",
     {"noise"},
     .ecdsa = "noise/a.pem:1 3",
     .counts = {0, 0, 122},
     .said = {"config:7:9: note: 20 more files have no certificate and no key that can be read\n",
              "noise/junk:61:1: note: more faults of this file are not reported\n"}},
    {"a request, and nothing else",
     {"forms-csr"},
     .counts = {0, 0, 2},
     .said = {"forms-csr/csr: note: no certificate and no key can be read from this file: it is a "
              "request for a certificate, not the certificate\n"}},
    {"named", {"form/csrder"}, .counts = {1}, .said = {"it is a request for a certificate"}},
    {"PKCS #12, named",
     {"form/p12"},
     .counts = {1},
     .said = {"config:7:9: error: form/p12 holds no certificate and no key in PEM form: it is PKCS "
              "#12\n    fix: openssl pkcs12 -nodes -in form/p12 -out NEW\n"}},
};

/* What others have in a folder that many use. */
static const char foreign[] =
    "mkdir foreign foreign/mine; cp a.pem a.key foreign/mine\n"
    "for kind in ed25519 p521 rsa1024; do\n"
    "    cp $kind.key foreign/$kind.key; cp $kind.key x-$kind.key\n"
    "    issue x-$kind mid 300 \"$ids\" subjectAltName=DNS:mta-sts.example.net,DNS:example.net\n"
    "    cp x-$kind.crt foreign\n"
    "done\n"
    "leaf theirs low 300 mta-sts.example.net; cp theirs.crt foreign; rm theirs.key\n"
    "cp encrypted-pkcs8 encrypted-sec1 cut.key junk.key star.key cut.crt junk.crt trusted.crt foreign\n"
    "cp cn.crt odd.crt r41.key client.crt foreign; cp other-alone.key foreign; chmod 644 foreign/other-alone.key; ln -s nowhere foreign/link\n"
    "cp r41.key x-r41.key; issue x-r41 low 300 \"$ids\" subjectAltName=DNS:mta-sts.example.net\n"
    "cp x-r41.crt foreign\n";

static const struct example foreign_examples[] = {
    {"everything is somebody else's",
     {"foreign"},
     .ecdsa = "foreign/mine/a.pem:1 3",
     .counts = {0, 0, 23},
     .said =
         {"foreign/odd.crt:1:1: note: the certificate is left out",
          "foreign/theirs.crt:1:1: note: the certificate is left out: its private key is in",
          "foreign/x-ed25519.crt:1:1: note: the certificate is left out: its key is Ed25519\n"}},
    {"it is for a configured host",
     {"foreign"},
     .host = "mta-sts.example.net",
     .counts = {18, 1, 5},
     .said =
         {"foreign/theirs.crt:1:1: error: the certificate is left out: its private key is in",
          "foreign/x-ed25519.crt:1:1: error: the certificate is left out: its key is Ed25519\n"}},
};

static const struct example leaf_examples[] = {
    {"of the same day the one that expires last",
     {"old.crt", "new.crt", "old.key", "new.key"},
     .ecdsa = "new.crt:1 1",
     .counts = {0, 1, 1},
     .said = {"old.crt:1:1: note: no host uses this certificate: for the host that it names there "
              "is a better one\n    why: it is for " HOST "\n"}},
    {"expired, with a valid one",
     {"far.crt", "far.key", "old.crt", "old.key"},
     .ecdsa = "far.crt:1 1",
     .counts = {0, 1, 1},
     .day = 15},
    {"expired only",
     {"far.crt", "far.key", "old.crt", "old.key"},
     .ecdsa = "far.crt:1 1",
     .counts = {0, 1, 1},
     .day = 30},
    {"not yet valid", {"far.crt", "far.key"}, .ecdsa = "far.crt:1 1", .counts = {0, 1}, .day = -30},
    {"wildcard", {"wild.crt", "wild.key", "low.crt"}, .ecdsa = "wild.crt:1 2"},
    {"wildcard and two labels",
     {"wild.crt", "wild.key", "low.crt"},
     .host = "mta-sts.a.example.com",
     .counts = {0, 0, 1},
     .said = {"none of its names is the policy host of a configured domain\n"
              "    why: it is for *.example.com\n"}},
    {"wildcard and none", {"wild.crt", "wild.key"}, .host = "example.com", .counts = {0, 0, 1}},
    {"a wildcard of the same day that lasts longer",
     {"wild.crt", "wild.key", "case.crt", "case.key"},
     .ecdsa = "wild.crt:1 1",
     .counts = {0, 1, 1}},
    {"case, and several names", {"case.crt", "case.key", "low.crt"}, .ecdsa = "case.crt:1 2"},
    {"the second name",
     {"case.crt", "case.key", "low.crt"},
     .host = "example.com",
     .ecdsa = "case.crt:1 2"},
    {"another host", {"a.pem", "a.key"}, .host = "mta-sts.example.org", .counts = {0, 0, 1}},
    {"no key for a policy host",
     {"nokey.crt"},
     .counts = {1},
     .said = {"nokey.crt:1:1: error: the certificate is left out: its private key is in none"}},
    {"no key for another host",
     {"other.crt"},
     .counts = {0, 0, 1},
     .said = {"other.crt:1:1: note: the certificate is left out: its private key is in none"}},
    {"common name only",
     {"cn.crt", "cn.key"},
     .counts = {0, 1},
     .said = {"cn.crt:1:1: warning: the certificate is left out: it has no DNS name in its subject "
              "alternative name\n    why: senders ignore the common name"}},
    {"names of another kind", {"ip.crt", "ip.key"}, .counts = {0, 1}},
    {"names that are none",
     {"junkname.crt", "junkname.key"},
     .counts = {0, 1},
     .said = {"none of the names in its subject alternative name is valid\n"}},
    {"NUL in a name", {"nul.crt", "nul.key"}, .counts = {0, 1}, .said = {"none of the names"}},
    {"for clients only",
     {"client.crt", "client.key"},
     .counts = {0, 0, 1},
     .said = {"left out: its extended key usage does not allow TLS servers\n"}},
    {"for servers too", {"server.crt", "server.key", "low.crt"}, .ecdsa = "server.crt:1 2"},
    {"no digital signature",
     {"agree.crt", "agree.key"},
     .counts = {1},
     .said = {"left out: its key usage does not allow digital signatures\n"}},
    {"SHA-1", {"sha1.crt", "sha1.key"}, .counts = {1}, .said = {"signature is made with SHA-1\n"}},
    /* Where mbedTLS has no MD5, the key then has no certificate. */
    {"MD5", {"md5.crt"}, .counts = {1}, .said = {"signature is made with MD5\n"}},
    {"Ed25519 certificate", {"ed25519.crt"}, .counts = {1}, .said = {"out: its key is Ed25519\n"}},
    {"P-521 certificate", {"p521.crt"}, .counts = {1}, .said = {"out: its key is ECDSA P-521\n"}},
    {"secp256k1 certificate", {"k1.crt"}, .counts = {1}, .said = {"key is ECDSA secp256k1\n"}},
    {"RSA 1024 certificate", {"rsa1024.crt"}, .counts = {1}, .said = {"its key is RSA 1024\n"}},
    {"self-signed",
     {"self.crt", "self.key"},
     .ecdsa = "self.crt:1 1",
     .counts = {0, 1},
     .said = {"self.crt:1:1: warning: the certificate is self-signed\n    why: every sender"}},
    {"self-signed as an authority",
     {"selfca.crt", "selfca.key"},
     .ecdsa = "selfca.crt:1 1",
     .counts = {0, 1}},
    {"self-signed is worse than the authority's",
     {"self.crt", "self.key", "far.crt", "far.key"},
     .ecdsa = "far.crt:1 1",
     .counts = {0, 1, 1}},
    {"an authority is no leaf", {"low.crt", "low.key", "root.crt"}, .counts = {0}},
    {"too many names",
     {"many.crt", "many.key", "low.crt"},
     .counts = {1},
     .said = {"many.crt:1:1: error: the certificate is left out: with its chain it has "}},
};

static const struct example date_examples[] = {
    {"the one that was issued last, not the one that ends last",
     {"ninety.crt", "ninety.key", "six.crt", "six.key"},
     .ecdsa = "six.crt:1 1",
     .counts = {0, 1, 1},
     .said = {"ninety.crt:1:1: note: no host uses this certificate: for the host that it names"}},
    {"a wildcard that was issued later",
     {"ninety.crt", "ninety.key", "joker.crt", "joker.key"},
     .ecdsa = "joker.crt:1 1",
     .counts = {0, 1, 1}},
    {"the later one has expired",
     {"ninety.crt", "ninety.key", "six.crt", "six.key"},
     .ecdsa = "ninety.crt:1 1",
     .counts = {0, 1, 1},
     .day = 6},
    {"the later one lacks its chain",
     {"ninety.crt", "ninety.key", "onlimit1.crt", "onlimit1.key"},
     .ecdsa = "onlimit1.crt:1 1",
     .counts = {0, 1, 1}},
    {"must-staple",
     {"staple.crt", "staple.key", "low.crt"},
     .ecdsa = "staple.crt:1 2",
     .counts = {1},
     .said = {"staple.crt:1:1: error: the certificate demands a stapled OCSP response "
              "(must-staple)\n    why: this server staples none"}},
    {"must-staple of the second kind, critical",
     {"feature.crt", "feature.key", "low.crt"},
     .ecdsa = "feature.crt:1 2",
     .counts = {1}},
    {"another feature of TLS",
     {"other_feature.crt", "other_feature.key", "low.crt"},
     .ecdsa = "other_feature.crt:1 2"},
    {"must-staple is worse than an older one",
     {"staple.crt", "staple.key", "ninety.crt", "ninety.key"},
     .ecdsa = "staple.crt:1 1",
     .counts = {1, 1, 1}},
    {"a critical extension that nobody knows",
     {"odd.crt", "odd.key"},
     .counts = {1, 0, 1},
     .said = {"odd.crt:1:1: error: the certificate is left out: an extension is malformed, or it "
              "is marked as critical"}},
    {"critical policies", {"policy.crt", "policy.key", "low.crt"}, .ecdsa = "policy.crt:1 2"},
    {"RSA above 4096 bits",
     {"r41.crt"},
     .counts = {1},
     .said = {"r41.crt:1:1: error: the certificate is left out: its key is RSA 4104\n"
              "    why: a handshake with RSA above 4096 bits takes so much CPU"}},
    {"its key",
     {"r41.key"},
     .counts = {1},
     .said = {"r41.key:1:1: error: the private key is left out: it is RSA 4104\n"}},
};

static const struct example chain_examples[] = {
    {"critical name constraints above",
     {"onlimit1.pem", "onlimit1.key"},
     .ecdsa = "onlimit1.pem:1 2"},
    {"critical policy constraints above",
     {"onlimit2.pem", "onlimit2.key"},
     .ecdsa = "onlimit2.pem:1 2"},
    {"no policy is any policy above",
     {"onlimit3.pem", "onlimit3.key"},
     .ecdsa = "onlimit3.pem:1 2"},
    {"critical policies above", {"onlimit4.pem", "onlimit4.key"}, .ecdsa = "onlimit4.pem:1 2"},
    {"an unknown critical extension above",
     {"onlimit5.pem", "onlimit5.key"},
     .ecdsa = "onlimit5.pem:1 2"},
    {"an expired cross-sign at the end",
     {"onnewer.pem", "onnewer.key"},
     .ecdsa = "onnewer.pem:1 2",
     .counts = {0, 1},
     .said = {"onnewer.pem:1:1: warning: the last certificate of its chain expired on ",
              "senders verify the chain by their own root CN=newer; old senders"}},
    {"with the old root behind it",
     {"full.pem", "onnewer.key"},
     .ecdsa = "full.pem:1 2",
     .counts = {0, 1},
     .said = {"old senders that do not have it cannot"}},
    {"with the new root",
     {"onnewer.pem", "onnewer.key", "newer-root.crt"},
     .ecdsa = "onnewer.pem:1 2"},
    {"an expired intermediate of a valid root",
     {"under.pem", "under.key"},
     .ecdsa = "under.pem:1 2",
     .counts = {0, 1},
     .said = {"under.pem:1:1: warning: an intermediate certificate of its chain has expired\n"}},
    {"an intermediate with a short key",
     {"onweak.pem", "onweak.key"},
     .ecdsa = "onweak.pem:1 2",
     .counts = {0, 1},
     .said = {"onweak.pem:1:1: warning: the key of an intermediate certificate of its chain is RSA "
              "1024\n"}},
    {"no intermediate",
     {"a.crt", "a.key"},
     .ecdsa = "a.crt:1 1",
     .counts = {0, 1},
     .said = {"a.crt:1:1: warning: the chain is incomplete: the issuer CN=low is in none of the "
              "files\n    why: senders do not fetch missing intermediate certificates\n"}},
    {"the root is left out", {"a.crt", "a.key", "mid.crt", "authorities"}, .ecdsa = "a.crt:1 3"},
    {"an expired intermediate",
     {"onshort.pem", "onshort.key"},
     .ecdsa = "onshort.pem:1 2",
     .counts = {0, 1},
     .said = {"onshort.pem:1:1: warning: an intermediate certificate of its chain has expired\n",
              "onshort.pem:@:1: note: the intermediate is here\n"},
     .day = 30},
    {"an expired intermediate and a valid one",
     {"onshort.pem", "onshort.key", "short-new.crt"},
     .ecdsa = "onshort.pem:1 2",
     .day = 30},
    {"two authorities of one name, the wrong one lasts longer",
     {"ontwin.crt", "ontwin.key", "twin2.crt", "twin1.crt"},
     .ecdsa = "ontwin.crt:1 2"},
    {"forged issuers, with the real one in the file",
     {"same", "forged"},
     .ecdsa = "same/chain:1 3"},
    {"forged issuers before, with the real one in the folder",
     {"forged", "near"},
     .ecdsa = "near/a.crt:1 3"},
    {"forged issuers, with the real one elsewhere",
     {"far", "forged", "low.crt"},
     .ecdsa = "far/a.crt:1 3"},
    {"forged issuers, and there is no real one",
     {"far", "forged"},
     .ecdsa = "far/a.crt:1 1",
     .counts = {0, 1},
     .said = {"the chain is incomplete: the issuer CN=low is in none of the files"}},
    {"two authorities of one name, both wrong",
     {"a.pem", "a.key", "twin2.crt", "twin1.crt"},
     .ecdsa = "a.pem:1 3"},
    {"a cross-signed root in the same file",
     {"crossed.pem", "a.key", "root-self.crt"},
     .ecdsa = "crossed.pem:1 4"},
    {"a cross-signed root elsewhere",
     {"a.pem", "a.key", "root-cross.crt", "root-self.crt"},
     .ecdsa = "a.pem:1 3"},
    {"a loop", {"a.pem", "a.key", "root-cross.crt", "cross-root.crt"}, .ecdsa = "a.pem:1 5"},
    {"as long as it may be", {"fits.crt", "fits.key", "long.pem"}, .ecdsa = "fits.crt:1 6"},
    {"too long",
     {"deep.crt", "deep.key", "long.pem"},
     .counts = {1},
     .said = {"deep.crt:1:1: error: the certificate is left out: its chain is longer than 6 "}},
};

/* "@" in the expected text stands for any number, for openssl's text has no fixed length. */
static bool begins_like(const char *text, const char *expected)
{
    for (; *expected != '\0'; expected++)
        if (*expected != '@') {
            if (*text++ != *expected)
                return false;
        } else {
            while (*text >= '0' && *text <= '9')
                text++;
        }
    return true;
}

static bool contains_like(const char *text, const char *expected)
{
    for (; *text != '\0'; text++)
        if (begins_like(text, expected))
            return true;
    return false;
}

static struct certificates *load(struct diag *diag, const char *const paths[4], int day)
{
    struct certificates *store = certificates_new(diag, NULL, NULL);
    assert_non_null(store);
    for (size_t i = 0; i < 4 && paths[i] != NULL; i++)
        certificates_read(store, paths[i],
                          (struct position){diag_intern(diag, span_of("config")), 7, 9});
    (void)certificates_match(store,
                             (int64_t)time(NULL) + (int64_t)day * 86400); /* nobody looks again */
    return store;
}

static void describe(const struct credential_fields *credential, struct text *out)
{
    if (credential == NULL)
        text_append(out, span_of("none"));
    else
        text_printf(out, "%s:%u %zu", credential->file, credential->line, credential->chain_len);
}

static void check_example(const struct example *example)
{
    const struct credential_fields *found[CREDENTIAL_KINDS];
    struct diag *diag = diag_new();
    struct certificates *store = load(diag, example->paths, example->day);
    struct span host = guard_copy(span_of(example->host == NULL ? HOST : example->host));
    certificates_find(store, host, found);
    certificates_report_unused(store);

    struct text said = {0}, got[CREDENTIAL_KINDS] = {{0}};
    text_append(&said, span_of(""));
    diag_print(diag, DIAG_NOTE, &said);
    const char *expected[CREDENTIAL_KINDS] = {example->ecdsa, example->rsa};
    bool good = diag_count(diag, DIAG_FATAL) == 0;
    for (unsigned kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        describe(found[kind], &got[kind]);
        good =
            good && begins_like(got[kind].data, expected[kind] == NULL ? "none" : expected[kind]);
        assert_true(found[kind] == NULL || found[kind]->kind == kind);
    }
    for (unsigned level = DIAG_ERROR; level <= DIAG_NOTE; level++)
        good = good && diag_count(diag, level) == example->counts[level - DIAG_ERROR];
    for (size_t i = 0; i < COUNT(example->said) && example->said[i] != NULL; i++)
        good = good && contains_like(said.data, example->said[i]);
    if (!good)
        fail_msg("%s: ECDSA %s, RSA %s, %zu errors, %zu warnings, %zu notes, said:\n%s",
                 example->name, got[0].data, got[1].data, diag_count(diag, DIAG_ERROR),
                 diag_count(diag, DIAG_WARNING), diag_count(diag, DIAG_NOTE), said.data);

    for (unsigned kind = 0; kind < CREDENTIAL_KINDS; kind++)
        text_free(&got[kind]);
    text_free(&said);
    guard_free(host);
    certificates_free(store);
    diag_free(diag);
}

#define TEST_TABLE(table)                         \
    static void test_##table(void **state)        \
    {                                             \
        (void)state;                              \
        for (size_t i = 0; i < COUNT(table); i++) \
            check_example(&(table)[i]);           \
    }

static const struct example trust_examples[] = {
    {"somebody's own root, issued later",
     {"trusted/own", "trusted/victim"},
     .ecdsa = "trusted/victim/chain:1 3",
     .counts = {0, 0, 1},
     .said = {"trusted/own/chain:1:1: note: no host uses this certificate: for the host that it "
              "names there is a better one\n    why: it is for " HOST "\n",
              "trusted/victim/chain:1:1: note: this one is used, because the authorities that "
              "this system trusts verify it\n"}},
    {"a root of the same name, and a wildcard",
     {"trusted/victim", "trusted/posing", "trusted/wild"},
     .ecdsa = "trusted/victim/chain:1 3",
     .counts = {0, 0, 2}},
    {"all below one folder", {"trusted"}, .ecdsa = "trusted/victim/chain:1 3", .counts = {0, 0, 3}},
    {"nobody is trusted",
     {"trusted/own", "trusted/posing"},
     .ecdsa = "trusted/posing/chain:1 1",
     .counts = {0, 0, 1},
     .said = {"note: this one is used, because it was issued later\n"}},
    {"what is trusted has expired",
     {"trusted/own", "trusted/victim"},
     .ecdsa = "trusted/own/chain:1 2",
     .counts = {0, 0, 1},
     .said = {"note: this one is used, because the other one is not valid now\n"},
     .day = 70},
};

TEST_TABLE(key_examples)
TEST_TABLE(file_examples)
TEST_TABLE(leaf_examples)
TEST_TABLE(form_examples)
TEST_TABLE(foreign_examples)
TEST_TABLE(date_examples)
TEST_TABLE(chain_examples)

static void check_key(const char *const paths[4], unsigned kind, const char *algorithm,
                      const char *der_file)
{
    char der[4096];
    FILE *file = fopen(der_file, "rb");
    if (file == NULL) {
        fail();
        return;
    }
    size_t len = fread(der, 1, sizeof(der), file);
    assert_int_equal(fclose(file), 0);
    struct diag *diag = diag_new();
    struct certificates *store = load(diag, paths, 0);
    const struct credential_fields *found[CREDENTIAL_KINDS];
    certificates_find(store, span_of(HOST), found);
    assert_non_null(found[kind]);
    if (!span_equal(found[kind]->key, (struct span){der, len}))
        fail_msg("%s: the key is not the same as in %s", paths[0], der_file);
    assert_string_equal(found[kind]->algorithm, algorithm);
    certificates_free(store);
    diag_free(diag);
}

/* The system's authorities are those of SSL_CERT_FILE, so that root is one of them. */
static void test_trust_examples(void **state)
{
    (void)state;
    assert_int_equal(setenv("SSL_CERT_FILE", "bundle.pem", 1), 0);
    for (size_t i = 0; i < COUNT(trust_examples); i++)
        check_example(&trust_examples[i]);
    assert_int_equal(setenv("SSL_CERT_FILE", "nowhere", 1), 0);
    check_example(&(struct example){"without authorities the one that was issued last",
                                    {"trusted/own", "trusted/victim"},
                                    .ecdsa = "trusted/own/chain:1 2",
                                    .counts = {0, 0, 1}});
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
}

/* The command that is advised makes a file of what could not be read from which it can be. */
static void test_conversions(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_key;
        const char *ecdsa;
    } forms[] = {{"escaped", false, "NEW:@ 3"},  {"json", false, "NEW:@ 3"},
                 {"cr", false, "NEW:@ 3"},       {"utf16", false, "NEW:@ 3"},
                 {"spaces", false, "NEW:@ 3"},   {"none", false, "NEW:@ 3"},
                 {"indented", false, "NEW:@ 3"}, {"quoted", false, "NEW:@ 3"},
                 {"p7", false, "NEW:@ 3"},       {"p7der", false, "NEW:@ 3"},
                 {"der", false, "NEW:@ 1"},      {"bare", false, "NEW:@ 1"},
                 {"p7bare", false, "NEW:@ 3"},   {"keyder", true, "a.pem:1 3"},
                 {"key8der", true, "a.pem:1 3"}};
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct diag *diag = diag_new();
        struct text said = {0};
        char path[64], command[512];
        (void)snprintf(path, sizeof(path), "forms-%s", forms[i].name);
        struct certificates *store = load(diag, (const char *const[4]){path}, 0);
        const struct credential_fields *found[CREDENTIAL_KINDS];
        certificates_find(store, span_of(HOST), found);
        certificates_report_unused(store);
        diag_print(diag, DIAG_WARNING, &said);
        const char *fix = strstr(said.data, "    fix: ");
        if (fix == NULL || strchr(fix, '\n') == NULL) {
            fail_msg("%s: %s", path, said.data);
            return;
        }
        fix += strlen("    fix: ");
        (void)snprintf(command, sizeof(command), "rm -f NEW; %.*s", (int)(strchr(fix, '\n') - fix),
                       fix);
        pki_run(command);
        certificates_free(store);
        diag_free(diag);
        struct example example = {
            forms[i].name,
            {"NEW", forms[i].is_key ? "a.pem" : "a.key"},
            .ecdsa = forms[i].ecdsa,
            .counts = {0, strchr(forms[i].ecdsa, '1') != NULL && !forms[i].is_key}};
        pki_run("chmod 600 NEW");
        check_example(&example);
        text_free(&said);
    }
}

/* Whatever form a key has in its file, the worker gets the one that is parsed fastest. */
static void test_keys_are_normalised(void **state)
{
    (void)state;
    static const char *const ecdsa[] = {"keys/sec1",        "keys/pkcs8", "keys/sec1-short",
                                        "keys/pkcs8-short", "keys/crlf",  "keys/sec1-compressed"};
    for (size_t i = 0; i < COUNT(ecdsa); i++)
        check_key((const char *const[4]){ecdsa[i], "a.pem"}, CREDENTIAL_ECDSA, "ECDSA P-256",
                  "a.der");
    static const char *const rsa[] = {"r2.pkcs1", "r2.pkcs8"};
    for (size_t i = 0; i < COUNT(rsa); i++)
        check_key((const char *const[4]){rsa[i], "r2.pem"}, CREDENTIAL_RSA, "RSA 2048", "r2.der");
}

/* One leaf is one credential. */
static void test_sharing(void **state)
{
    (void)state;
    static const char *const paths[4] = {"a.pem", "a.key", "wild.crt", "wild.key"};
    struct diag *diag = diag_new();
    struct certificates *store = load(diag, paths, 0);
    const struct credential_fields *one[CREDENTIAL_KINDS], *two[CREDENTIAL_KINDS],
        *other[CREDENTIAL_KINDS];
    certificates_find(store, span_of("x.example.com"), one);
    certificates_find(store, span_of("y.example.com"), two);
    certificates_find(store, span_of("mta-sts.a.example.com"), other);
    assert_non_null(one[CREDENTIAL_ECDSA]);
    assert_ptr_equal(one[CREDENTIAL_ECDSA], two[CREDENTIAL_ECDSA]);
    assert_null(other[CREDENTIAL_ECDSA]);
    assert_int_equal(one[CREDENTIAL_ECDSA]->chain_len, 3);
    certificates_free(store);
    diag_free(diag);
}

/* Hosts that no certificate can name, and an empty store. */
static void test_odd_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t len;
    } hosts[] = {{"", 0},
                 {".", 1},
                 {"a", 1},
                 {".example.com", 12},
                 {"*.example.com.", 14},
                 {HOST "\0x", sizeof(HOST) + 1}};
    static const char *const paths[2][4] = {{NULL}, {"wild.crt", "wild.key"}};
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct diag *diag = diag_new();
        struct certificates *store = load(diag, paths[i], 0);
        for (size_t k = 0; k < COUNT(hosts); k++) {
            const struct credential_fields *found[CREDENTIAL_KINDS];
            struct span host = guard_copy((struct span){hosts[k].data, hosts[k].len});
            certificates_find(store, host, found);
            assert_null(found[CREDENTIAL_ECDSA]);
            assert_null(found[CREDENTIAL_RSA]);
            guard_free(host);
        }
        char longest[300];
        const struct credential_fields *found[CREDENTIAL_KINDS];
        memset(longest, 'a', sizeof(longest));
        memcpy(longest + 280, ".example.com", 12);
        certificates_find(store, (struct span){longest, 292}, found);
        assert_null(found[CREDENTIAL_ECDSA]);
        certificates_free(store);
        diag_free(diag);
    }
    certificates_free(NULL);
}

/* Root may read everything, so the test is somebody else for a moment. */
static void test_unreadable(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"named file",
         {"locked/a.key"},
         .counts = {1},
         .said = {"config:7:9: error: locked/a.key: Permission denied\n    fix: start as root"}},
        {"file in a folder",
         {"locked"},
         .ecdsa = "locked/b.pem:1 3",
         .counts = {0, 0, 2},
         .said = {"locked/a.key: note: Permission denied\n", "locked/sub: note: Permission"}},
        {"folder",
         {"locked/sub"},
         .counts = {1},
         .said = {"config:7:9: error: locked/sub: Permission denied\n"}},
    };
    pki_run("mkdir locked locked/sub; cp a.key locked; cat a.pem a.key >locked/b.pem\n"
            "chmod 755 locked; chmod 000 locked/a.key locked/sub; chmod 640 locked/b.pem\n"
            "[ $(id -u) != 0 ] || chown 65534:65534 locked/b.pem\n");
    if (geteuid() == 0 && seteuid(65534) != 0)
        skip();
    for (size_t i = 0; i < COUNT(examples); i++)
        check_example(&examples[i]);
    assert_true(getuid() != 0 || seteuid(0) == 0);
}

/* A link counts if it belongs to root or to the owner of what it points to: certbot's, and those of a
 * user who runs his own client; but nobody has his certificate served with the key of root. */
static void test_links(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"of root to the files of another", {"link-root"}, .ecdsa = "link-root/chain:1 3"},
        {"of a user to his own files", {"link-own"}, .ecdsa = "link-own/chain:1 3"},
        {"of a user to a key of root",
         {"link-stolen"},
         .counts = {2},
         .said = {"link-stolen/key: error: a link on its path belongs neither to root nor to the "
                  "owner of what it points to\n",
                  "link-stolen/chain:1:1: error: the certificate is left out: its private key is"}},
        {"one that is named",
         {"link-stolen/chain", "link-stolen/key"},
         .ecdsa = "link-stolen/chain:1 3"},
    };
    if (geteuid() != 0)
        skip();
    pki_run("for kind in root own stolen; do mkdir link-$kind; cp a.pem link-$kind/chain; done\n"
            "mkdir store; cp a.key store/users; chown 65534 store/users; cp a.key store/roots\n"
            "ln -s ../store/users link-root/key; ln -s ../store/users link-own/key\n"
            "ln -s ../store/roots link-stolen/key; chown -h 65534 link-own/key link-stolen/key\n");
    for (size_t i = 0; i < COUNT(examples); i++)
        check_example(&examples[i]);
}

/* In a process of its own, which the kernel gives none. */
static void test_no_random_bytes(void **state)
{
    static const struct filter_rule none[] = {{.call = SYS_getrandom, .error = EIO}};
    const struct filter_table table = FILTER_TABLE(none, 0);
    const struct filter filter = {&table, 1, SECCOMP_RET_ALLOW};
    const char *const paths[4] = {"a.pem", "keys"};
    int status = 0;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct diag *diag = diag_new();
        struct text said = {0};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !filter_install(&filter))
            _exit(2);
        certificates_free(load(diag, paths, 0));
        diag_print(diag, DIAG_NOTE, &said);
        _exit(diag_count(diag, DIAG_FATAL) == 1 &&
                      span_equal((struct span){said.data, said.len},
                                 span_of("error: certificates cannot be read: the kernel gives no "
                                         "random bytes\n"))
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        skip(); /* the kernel has no filters */
    assert_int_equal(status, 0);
}

static int set_up(void **state)
{
    (void)state;
    if (pki_set_up(authorities) != 0)
        return -1;
    pki_run("mkdir authorities; cp root.crt low.crt authorities\n");
    pki_run(keys);
    pki_run(kinds);
    pki_run(files);
    pki_run(leaves);
    pki_run(dates);
    pki_run(contests);
    pki_run(foreign);
    pki_run(chains);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_examples),    cmocka_unit_test(test_file_examples),
        cmocka_unit_test(test_leaf_examples),   cmocka_unit_test(test_chain_examples),
        cmocka_unit_test(test_date_examples),   cmocka_unit_test(test_trust_examples),
        cmocka_unit_test(test_form_examples),   cmocka_unit_test(test_foreign_examples),
        cmocka_unit_test(test_conversions),     cmocka_unit_test(test_keys_are_normalised),
        cmocka_unit_test(test_sharing),         cmocka_unit_test(test_odd_hosts),
        cmocka_unit_test(test_unreadable),      cmocka_unit_test(test_links),
        cmocka_unit_test(test_no_random_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, pki_tear_down);
}
