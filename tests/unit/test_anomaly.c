/*
 * The nth allocation fails, or the nth system call, for every n until one run meets none: then an
 * operation is refused with a word about it, or does what it does in good times; it never leaks. What
 * loads and the commands do ends the process when memory is short, with a word and a status.
 * With ANOMALY=all in the environment no n is left out.
 */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/preload_fault.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/text.h"
#include "command/command.h"
#include "crypto/accelerate.h"
#include "load/configuration.h"
#include "load/state.h"
#include "pki.h"
#include "serve/connection.h"

/* From 2026 on the certificates are valid. */
static int64_t now(void)
{
    struct stat status;
    assert_int_equal(stat("leaf.crt", &status), 0);
    return status.st_mtim.tv_sec + 60;
}

static const char setup[] =
    "none='subjectKeyIdentifier=none\nauthorityKeyIdentifier=none'\n"
    "authority() { key \"$1\"; issue_as \"/CN=$2\" \"$1\" \"$3\" 3650 \"$ca\" \"$none\"; }\n"
    "host() { key \"$1\"; issue \"$1\" mid \"$2\" \"$none\" subjectAltName=DNS:mta-sts.example.com; }\n"
    /* Authorities of one name, which only a signature tells apart; one that is in no file. */
    "authority ca ca ca; authority twin ca twin; authority mid mid ca; authority mid2 mid ca\n"
    "authority gone gone gone; host leaf 90; host fresh 91\n"
    "openssl genrsa -out rsa.key 2048 2>/dev/null\n"
    "key bad; issue bad gone 90 \"$none\" 'subjectAltName=DNS:*.example.com'\n"
    "issue rsa ca 90 \"$none\" 'subjectAltName=DNS:*.example.com'\n"
    "mkdir certs doubt worse d state empty; cp leaf.key certs; cat leaf.crt mid.crt ca.crt >certs/chain\n"
    "cat rsa.crt ca.crt rsa.key >certs/all\n"
    "cat leaf.crt mid2.crt mid.crt ca.crt twin.crt leaf.key >doubt/all\n"
    "cat bad.crt bad.key >worse/all; cp certs/chain certs/leaf.key worse\n"
    "for f in certs doubt worse; do chmod 600 $f/*; touch -d '1 hour ago' $f/*; done\n"
    "cat >main.yaml <<'END'\n"
    "listen: ['127.0.0.1:0', {address: '[::1]:0', freebind: true}]\n"
    "certificates: [certs, empty]\n"
    "include: d/*.yaml\n"
    "state: state\n"
    "certificate_warning: 100d\n"
    "dns: {addresses: [192.0.2.1, '2001:db8::1']}\n"
    "tls_rpt: 'mailto:reports@example.com'\n"
    "policies:\n"
    "  default: {mode: enforce, max_age: 1d, mx: [mail.example.com, '*.mx.example.com']}\n"
    "domains:\n"
    "  example.com:\n"
    "  example.net: {policy: default, mode: testing, tls_rpt: 'mailto:x@y.example'}\n"
    "END\n"
    "cat >d/one.yaml <<'END'\n"
    "policies: {other: &p {mode: none, max_age: 1w, mx: a.b, id: x1}, same: *p}\n"
    "domains: {a.example.com: other, b.example.com: same}\n"
    "END\n"
    "sed s/certs/worse/ main.yaml >bad.yaml; printf '  bad_name: {}\\n  x.example: {mode: Enforce}\\n' >>bad.yaml\n"
    "sed s/certs/doubt/ main.yaml >doubt.yaml\n";

/* What is watched for leaks. */
struct balance {
    int64_t live;
    size_t descriptors;
};

static struct balance take_balance(void)
{
    struct balance balance = {0};
    DIR *stream = opendir("/proc/self/fd");
    assert_non_null(stream);
    while (readdir(stream) != NULL)
        balance.descriptors++;
    assert_int_equal(closedir(stream), 0);
    balance.live = fault_live();
    return balance;
}

static void arm(enum fault_kind kind, int64_t n)
{
    *fault_page() = (struct fault_page){.pid = getpid(), .kind = kind, .countdown = n};
}

/* Whether a call has failed since. */
static bool disarm(void)
{
    fault_page()->pid = 0;
    return fault_page()->fired > 0;
}

/* An operation: begins with arm(kind, n), ends with disarm() and asserts what must hold. Returns what
 * disarm said. context is the test's own. */
typedef bool operation(enum fault_kind kind, int64_t n, void *context);

/* Thousands of allocations are the same arithmetic, where some stand for all by default. */
static int64_t next_after(int64_t n)
{
    const char *how = getenv("ANOMALY");
    bool all = how != NULL && strcmp(how, "all") == 0;
    return n + (all || n < 1000 ? 1 : 1 + n / 40);
}

/* What fails at the moment, for whoever looks at a failure; asserts do not know it. */
static char doing[100];

/* known_leaks: so many allocations are not ours to free. */
static void for_every_n(const char *name, enum fault_kind kind, operation *run, void *context,
                        int64_t known_leaks)
{
    const char *what = kind == FAULT_CALL ? "call" : "allocation";
    bool fired = true;
    int64_t n = 1, runs = 0, leaks = 0;
    (void)run(FAULT_NOTHING, 0, context); /* what is made once and kept is no leak */
    for (; fired; n = next_after(n), runs++) {
        (void)snprintf(doing, sizeof(doing), "%s, %s %ld", name, what, (long)n);
        struct balance before = take_balance();
        fired = run(kind, n, context);
        struct balance after = take_balance();
        leaks += after.live - before.live;
        if (leaks > known_leaks || after.descriptors != before.descriptors)
            fail_msg("%ld allocations and %ld descriptors have leaked", (long)leaks,
                     (long)after.descriptors - (long)before.descriptors);
    }
    print_message("# %s: complete before %s %ld, in %ld runs\n", name, what, (long)n, (long)runs);
    doing[0] = '\0';
}

/* Where a child writes; it is read here. */
static int child_output, child_errors;

static struct text read_back(int fd)
{
    struct text text = {0};
    char buffer[4096];
    ssize_t count = 0;
    text_append(&text, span_of(""));
    for (off_t at = 0; (count = pread(fd, buffer, sizeof(buffer), at)) > 0; at += count)
        text_append(&text, (struct span){buffer, (size_t)count});
    assert_int_equal(count, 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return text;
}

enum { CHILD_FIRED = 100, CHILD_COMPLETE, CHILD_LEAKS };

/* What runs in a child: its exit status. */
static int run_child(operation *run, enum fault_kind kind, int64_t n, void *context)
{
    struct balance before = take_balance();
    bool fired = run(kind, n, context);
    struct balance after = take_balance();
    if (after.live > before.live || after.descriptors != before.descriptors)
        return CHILD_LEAKS;
    return fired ? CHILD_FIRED : CHILD_COMPLETE;
}

/* Runs it in a child. Returns its exit status, or below 0 a signal. */
static int run_apart(operation *run, enum fault_kind kind, int64_t n, void *context)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("CMOCKA_TEST_ABORT", "1",
                     1); /* an assertion must not go on with other tests */
        (void)dup2(child_errors, STDERR_FILENO);
        _exit(run_child(run, kind, n, context));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Every nth failure in what ends without memory: it says so, and its status tells, or the operation
 * judges what came of it. What it writes before an end is the beginning of the output, which may be
 * NULL. */
static void for_every_end(const char *name, enum fault_kind kind, operation *run, void *context,
                          const struct text *output)
{
    const char *what = kind == FAULT_CALL ? "call" : "allocation";
    int64_t n = 1, ends = 0, runs = 0;
    for (int status = CHILD_FIRED; status != CHILD_COMPLETE; n += n < 300 ? 1 : n / 30, runs++) {
        (void)snprintf(doing, sizeof(doing), "%s, %s %ld", name, what, (long)n);
        status = run_apart(run, kind, n, context);
        struct text said = read_back(child_errors), written = read_back(child_output);
        if (status == HEAP_END_STATUS) {
            ends++;
            assert_string_equal(said.data, "mta-sts-httpd: error: out of memory\n");
            assert_true(written.len <= (output == NULL ? 0 : output->len));
            assert_true(written.len == 0 || memcmp(written.data, output->data, written.len) == 0);
        } else if (status != CHILD_FIRED && status != CHILD_COMPLETE) {
            fail_msg("status %d: %s", status, said.data);
        }
        text_free(&said);
        text_free(&written);
    }
    assert_true(kind == FAULT_CALL || ends * 2 > runs);
    print_message("# %s: complete before %s %ld; %ld of %ld runs ended\n", name, what, (long)n,
                  (long)ends, (long)runs);
    doing[0] = '\0';
}

/* For what loads and commands do. */
static void for_both(const char *name, operation *run, void *context, const struct text *output)
{
    (void)run(FAULT_NOTHING, 0, context); /* remembers good times, and makes what is made once */
    for_every_end(name, FAULT_CALL, run, context, output);
    for_every_end(name, FAULT_ALLOCATION, run, context, output);
}

/* A worker says of an answer that it is wrong only if it was not memory that was lacking. */
static void checks_cryptography(void **state)
{
    bool fired = true;
    (void)state;
    for (int64_t n = 1; fired; n++) {
        arm(FAULT_ALLOCATION, n);
        errno = 0;
        bool good = accelerate_begin();
        int reason = errno;
        fired = disarm();
        accelerate_end();
        assert_true(good ? true : fired && reason == ENOMEM);
    }
}

static int tell(void **state)
{
    (void)state;
    if (doing[0] != '\0')
        print_message("# it was: %s\n", doing);
    return 0;
}

static void print_domain(struct text *out, const struct site_domain *domain)
{
    text_printf(out, "%s %d %s %s\n", site_name(domain), (int)site_state(domain), site_file(domain),
                site_tls_rpt(domain) == NULL ? "-" : site_tls_rpt(domain));
    if (site_policy(domain) != NULL) {
        text_printf(out, "%s ", policy_id(site_policy(domain)));
        text_append(out, policy_body(site_policy(domain)));
    }
    for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++) {
        const struct credential *credential = site_credential(domain, kind);
        if (credential == NULL)
            continue;
        text_printf(out, "%s %u %016lx", credential_fields(credential).file,
                    credential_fields(credential).line,
                    (unsigned long)span_hash(credential_fields(credential).key));
        for (size_t i = 0; i < credential_fields(credential).chain_len; i++)
            text_printf(out, " %016lx",
                        (unsigned long)span_hash(credential_fields(credential).chain[i]));
        text_append(out, span_of("\n"));
    }
}

/* Everything that a configuration says, as text; owned. */
static struct text print_configuration(const struct configuration *configuration)
{
    const struct settings *settings = &configuration->settings;
    struct text out = {0};
    for (size_t i = 0; i < settings->listener_count; i++)
        text_printf(&out, "%s %d\n", settings->listeners[i].address.text,
                    settings->listeners[i].freebind);
    for (size_t i = 0; i < settings->dns_address_count; i++)
        text_printf(&out, "%s\n", settings->dns_addresses[i]);
    text_printf(&out, "%s %s %" PRId64 "\n", settings->tls_rpt, settings->state,
                settings->certificate_warning);
    for (size_t i = 0; i < site_count(configuration->site); i++)
        print_domain(&out, site_at(configuration->site, i));
    assert_false(out.failed);
    return out;
}

static size_t errors(const struct diag *diag)
{
    return diag_count(diag, DIAG_FATAL) + diag_count(diag, DIAG_ERROR);
}

/* A load that is repeated. */
struct load {
    struct load_request request;
    struct text site;  /* owned; what it comes to in good times */
    struct text words; /* owned; what is said then */
};

/* Every domain of the one that has a policy has the same in the other, and a certificate. */
static void assert_nothing_lost(const struct site *before, const struct site *after)
{
    for (size_t i = 0; i < site_count(before); i++) {
        const struct site_domain *was = site_at(before, i);
        const struct site_domain *is = site_find_domain(after, site_name_span(was));
        assert_non_null(is);
        assert_true(site_policy(was) == NULL || site_policy(is) != NULL);
        for (size_t kind = 0; kind < CREDENTIAL_KINDS; kind++)
            assert_true(site_credential(was, kind) == NULL || site_credential(is, kind) != NULL ||
                        site_credential(is, 1 - kind) != NULL);
    }
}

static const char TOGETHER[] = "; the same holds for ";

static bool has_together(struct span text)
{
    return text.data != NULL && memmem(text.data, text.len, TOGETHER, sizeof(TOGETHER) - 1) != NULL;
}

/* On a shortage, diagnostics with one cause are printed one by one. */
static bool is_one_by_one(const struct text *words, const struct text *expected)
{
    return !has_together((struct span){words->data, words->len}) &&
           has_together((struct span){expected->data, expected->len});
}

/* Is there every line of the expected ones, and one that is not? */
static bool tells_more(const struct text *words, const struct text *expected)
{
    struct span rest = {expected->data, expected->len};
    while (rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        assert_non_null(end);
        size_t len = (size_t)(end - rest.data) + 1;
        bool is_there = words->len > 0 && memmem(words->data, words->len, rest.data, len) != NULL;
        if (!is_there && !has_together((struct span){rest.data, len}))
            return false;
        rest = span_skip(rest, len);
    }
    return words->len > expected->len;
}

/* A system call may fail because of one file, which is told and costs that file's domains; a
 * shortage of memory has no such bounds, so that it refuses the whole. */
static void judge_load(const struct load *load, enum fault_kind kind,
                       const struct configuration *configuration, const struct diag *diag,
                       const struct text *words)
{
    if (configuration == NULL) {
        assert_true(diag == NULL || errors(diag) > 0);
        assert_true(diag == NULL || words->failed || words->len > 0);
        return;
    }
    if (kind == FAULT_CALL && errors(diag) > 0) {
        if (load->request.previous != NULL)
            assert_nothing_lost(load->request.previous, configuration->site);
        return;
    }
    struct text site = print_configuration(configuration);
    if (strcmp(site.data, load->site.data) != 0)
        print_message("# with these words:\n%s", words->data == NULL ? "none" : words->data);
    assert_string_equal(site.data, load->site.data);
    struct span told = {words->data, words->len};
    if (!words->failed && !span_equal(told, (struct span){load->words.data, load->words.len}))
        assert_true((kind == FAULT_CALL || is_one_by_one(words, &load->words)) &&
                    tells_more(words, &load->words));
    text_free(&site);
}

/* What it comes to in good times. */
static void remember(struct load *load, const struct configuration *configuration,
                     struct text *words)
{
    load->site = print_configuration(configuration);
    load->words = *words;
    *words = (struct text){0};
}

static bool run_load(enum fault_kind kind, int64_t n, void *context)
{
    struct load *load = context;
    struct text words = {0}, json = {0};
    struct configuration *configuration = NULL;
    arm(kind, n);
    struct diag *diag = diag_new();
    if (diag != NULL) {
        configuration = configuration_load(&load->request, diag);
        diag_print(diag, DIAG_NOTE, &words);
        diag_print_json(diag, NULL, DIAG_NOTE, &json);
    }
    bool fired = disarm();
    bool first = load->site.data == NULL;
    if (!first)
        judge_load(load, kind, configuration, diag, &words);
    else if (configuration != NULL)
        remember(load, configuration, &words);
    assert_true(fired || configuration != NULL);
    configuration_free(configuration);
    diag_free(diag);
    text_free(&words);
    text_free(&json);
    return fired;
}

static void load_for_every_n(const char *name, struct load_request request)
{
    struct load load = {.request = request};
    for_both(name, run_load, &load, NULL);
    text_free(&load.site);
    text_free(&load.words);
}

static struct configuration *load_well(const char *path)
{
    struct diag *diag = diag_new();
    struct configuration *configuration =
        configuration_load(&(struct load_request){.path = path, .now = now()}, diag);
    assert_non_null(configuration);
    diag_free(diag);
    return configuration;
}

static void loads(void **state)
{
    (void)state;
    load_for_every_n("load", (struct load_request){.path = "main.yaml", .now = now()});
    load_for_every_n("load what is doubtful",
                     (struct load_request){.path = "doubt.yaml", .now = now()});
    load_for_every_n("load what is bad", (struct load_request){.path = "bad.yaml", .now = now()});
}

static void loads_anew(void **state)
{
    (void)state;
    struct configuration *previous = load_well("main.yaml");
    struct load_request request = {.path = "main.yaml", .now = now(), .previous = previous->site};
    load_for_every_n("reload", request);
    pki_run(
        "cp fresh.crt certs/chain; cat mid.crt ca.crt >>certs/chain; cp fresh.key certs/leaf.key\n");
    request.kept_settings = &previous->settings;
    request.kept_watch = &previous->watch;
    load_for_every_n("renewal", request);
    configuration_free(previous);
}

static bool write_state(const struct configuration *configuration)
{
    struct text bytes = {0};
    state_print(configuration->site, &bytes);
    bool good =
        !bytes.failed && state_file_write("state", state_forms[STATE_POLICIES].name, &bytes);
    text_free(&bytes);
    return good;
}

static bool run_state(enum fault_kind kind, int64_t n, void *context)
{
    const struct configuration *configuration = context;
    struct position at = {"main.yaml", 1, 1};
    struct diag *diag = diag_new();
    struct site *site = NULL;
    (void)unlink("state/last-valid-policies.yaml"); /* it may not be there */
    arm(kind, n);
    bool written = write_state(configuration);
    bool failed_to_write = disarm();
    struct site *complete = state_read("state", at, NULL, diag);
    assert_int_equal(diag_count(diag, DIAG_WARNING), 0); /* whole, or not there */
    assert_true(complete != NULL || !written);
    assert_true(written || failed_to_write);
    if (complete != NULL)
        assert_int_equal(site_count(complete), site_count(configuration->site));
    site_free(complete);
    assert_true(write_state(configuration));
    arm(kind, n);
    site = state_read("state", at, NULL, diag);
    bool failed_to_read = disarm();
    assert_true((site == NULL) ==
                (diag_count(diag, DIAG_FATAL) + diag_count(diag, DIAG_WARNING) > 0));
    assert_true(site != NULL || failed_to_read);
    if (site != NULL)
        assert_int_equal(site_count(site), site_count(configuration->site));
    site_free(site);
    diag_free(diag);
    return failed_to_write || failed_to_read;
}

static bool run_watch(enum fault_kind kind, int64_t n, void *context)
{
    const struct configuration *configuration = context;
    struct watch_look before = watch_now(&configuration->watch);
    arm(kind, n);
    struct watch_look look = watch_now(&configuration->watch);
    bool fired = disarm();
    assert_true(fired || memcmp(&look, &before, sizeof(look)) == 0);
    return fired;
}

static void keeps_state_and_watches(void **state)
{
    (void)state;
    struct configuration *configuration = load_well("main.yaml");
    for_both("state", run_state, configuration, NULL);
    pki_run("rm -f state/*\n");
    for_both("watch", run_watch, configuration, NULL);
    configuration_free(configuration);
}

/* A command with its output in two files. */
struct command_run {
    int (*run)(const struct command_line *line, struct text *out);
    struct command_line line;
    struct text output[2]; /* owned; in good times, of standard output and standard error */
    int status;
};

static int redirect(int fd, int to)
{
    int kept = dup(fd);
    assert_true(kept >= 0 && dup2(to, fd) == fd);
    return kept;
}

/* A table or a zone may lack what could not be read, if that is told; a policy may not. */
static bool may_lack(const struct command_run *command, enum fault_kind kind,
                     const struct text *errors_told)
{
    return command->run == command_check ||
           (kind == FAULT_CALL && command->run != command_policy && errors_told->len > 0);
}

static void judge_output(const struct command_run *command, enum fault_kind kind, int status,
                         const struct text *output)
{
    const struct text *expected = command->output;
    if (status == command->status && (status == STATUS_GOOD || status == STATUS_PENDING)) {
        /* There may be a complaint more, of a file that does not matter here; check counts it. */
        bool more =
            kind == FAULT_CALL && output[0].len + output[1].len > expected[0].len + expected[1].len;
        if (!more)
            assert_string_equal(output[1].data, expected[1].data);
        if (!more || command->run != command_check)
            assert_string_equal(output[0].data, expected[0].data);
        return;
    }
    assert_int_equal(status, STATUS_WRONG);
    /* Something is said, and nothing is on standard output that only good times would allow. */
    assert_true(output[0].len + output[1].len > 0);
    assert_true(may_lack(command, kind, &output[1]) ||
                memcmp(output[0].data, expected[0].data, output[0].len) == 0);
}

static bool run_command(enum fault_kind kind, int64_t n, void *context)
{
    struct command_run *command = context;
    struct text output[2];
    int files[2] = {child_output, child_errors};
    (void)fflush(stdout);
    int kept[2] = {redirect(STDOUT_FILENO, files[0]), redirect(STDERR_FILENO, files[1])};
    arm(kind, n);
    struct text out = {0};
    int status = command->run(&command->line, &out);
    if ((out.len > 0 || out.failed) && !command_write(&out))
        status = STATUS_WRONG;
    bool fired = disarm();
    text_free(&out);
    for (int i = 0; i < 2; i++) {
        assert_true(dup2(kept[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO) >= 0);
        assert_int_equal(close(kept[i]), 0);
        output[i] = read_back(files[i]);
    }
    if (command->output[0].data == NULL) {
        command->status = status;
        command->output[0] = output[0];
        command->output[1] = output[1];
        return fired;
    }
    judge_output(command, kind, status, output);
    assert_true(fired || status == command->status);
    text_free(&output[0]);
    text_free(&output[1]);
    return fired;
}

static void runs_commands(void **state)
{
    (void)state;
    char domain[] = "example.com", unknown[] = "example.con";
    char *operands[] = {domain, unknown};
    struct command_line line = {.path = "main.yaml", .now = now()};
    struct command_line json = line, one = line, other = line;
    json.json = true;
    one.operands = operands;
    one.operand_count = 1;
    other.operands = operands + 1;
    other.operand_count = 1;
    const struct {
        const char *name;
        struct command_run command;
    } commands[] = {
        {"check", {.run = command_check, .line = line}},
        {"check --json", {.run = command_check, .line = json}},
        {"list", {.run = command_list, .line = line}},
        {"list --json", {.run = command_list, .line = json}},
        {"policy", {.run = command_policy, .line = one}},
        {"policy of an unknown domain", {.run = command_policy, .line = other}},
        {"dns", {.run = command_dns, .line = line}},
        {"dns of one", {.run = command_dns, .line = one}},
    };
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct command_run command = commands[i].command;
        for_both(commands[i].name, run_command, &command, &command.output[0]);
        text_free(&command.output[0]);
        text_free(&command.output[1]);
    }
}

/* A ClientHello, as the fuzz target of TLS has it. */
static struct span read_hello(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t count = read(fd, buffer, size);
    assert_true(count > 0);
    assert_int_equal(close(fd), 0);
    return (struct span){buffer, (size_t)count};
}

struct greeting {
    const struct site *site;
    struct span hello;
};

/* A worker's TLS and one connection that gets no further than the server's first flight. */
static bool run_greeting(enum fault_kind kind, int64_t n, void *context)
{
    const struct greeting *greeting = context;
    int pair[2];
    char request[LIMIT_REQUEST_HEAD];
    const struct endpoint endpoint = {0};
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct connection_setting setting = {
        .shortage.quiet_until = INT64_MAX, .site = greeting->site, .request = request};
    struct connection *connection = NULL;
    char answer[8192];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(send(pair[1], greeting->hello.data, greeting->hello.len, 0),
                     greeting->hello.len);
    arm(kind, n);
    setting.tls = tls_context_new(greeting->site, NULL);
    if (setting.tls != NULL)
        connection = connection_new(&setting, pair[0], &endpoint, &nobody, 0);
    for (int i = 0; connection != NULL && i < 8; i++)
        if (connection->wish != CONNECTION_OVER)
            connection_advance(connection, i);
    bool fired = disarm();
    ssize_t count = recv(pair[1], answer, sizeof(answer), 0);
    assert_true(fired || (connection != NULL && count > 500));
    if (connection == NULL)
        assert_int_equal(close(pair[0]), 0);
    connection_free(connection);
    tls_context_free(setting.tls);
    assert_int_equal(close(pair[1]), 0);
    return fired;
}

/* mbedTLS 3.6.7 forgets the cipher for one direction of a TLS 1.3 connection when there is no memory
 * for that of the other (mbedtls_ssl_tls13_compute_handshake_transform and ..._application_...). */
enum { LIBRARY_LEAKS = 16 };

/* The same for the leak sanitizer. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:mbedtls_ssl_tls13_populate_transform\n";
}

static void greets_clients(void **state)
{
    static const char *const hellos[] = {"hello", "hello-12", "hello-retry-twice"};
    char buffer[4096], path[512];
    struct configuration *configuration = load_well("main.yaml");
    assert_true(accelerate_begin()); /* as a worker does */
    for (size_t i = 0; i < COUNT(hellos); i++) {
        (void)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/tls/%s", (const char *)*state,
                       hellos[i]);
        struct greeting greeting = {configuration->site, read_hello(path, buffer, sizeof(buffer))};
        for_every_n(hellos[i], FAULT_ALLOCATION, run_greeting, &greeting, LIBRARY_LEAKS);
        for_every_n(hellos[i], FAULT_CALL, run_greeting, &greeting, 0);
    }
    configuration_free(configuration);
}

static int set_up(void **state)
{
    *state = getcwd(NULL, 0);
    child_output = memfd_create("output", MFD_CLOEXEC);
    child_errors = memfd_create("errors", MFD_CLOEXEC);
    if (*state == NULL || child_output < 0 || child_errors < 0 || pki_begin() != 0)
        return -1;
    pki_run(setup);
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return pki_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(loads, tell),
        cmocka_unit_test_teardown(loads_anew, tell),
        cmocka_unit_test_teardown(runs_commands, tell),
        cmocka_unit_test_teardown(keeps_state_and_watches, tell),
        cmocka_unit_test_teardown(greets_clients, tell),
        cmocka_unit_test_teardown(checks_cryptography, tell),
    };
    return cmocka_run_group_tests_name("anomaly", tests, set_up, tear_down);
}
