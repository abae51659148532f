#include "command/command.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/heap.h"
#include "base/suggest.h"
#include "base/text.h"
#include "configuration/document.h"
#include "crypto/accelerate.h"
#include "policy/name.h"
#include "serve/tls.h"

static const char DEFAULT_PATH[] = "/etc/mta-sts/mta-sts.yaml";

enum { OPTION_HELP = 1U << 29, OPTION_VERSION = 1U << 30, COMMANDS_MOST = 32 };

enum option_kind {
    FLAG,    /* a bool */
    WORD,    /* a const char * */
    LIST,    /* a struct command_words */
    ADDRESS, /* where to listen */
    SERVER,  /* what to connect to */
    DATE,    /* an int64_t */
    HELP,
};

/* Every option of every command: an option is a row here and a member of struct command_line. */
static const struct {
    char letter; /* or 0: it has only its long name */
    enum option_kind kind;
    const char *name;
    const char *argument; /* or NULL */
    unsigned bit;
    size_t offset; /* of the value in struct command_line */
    const char *text;
} options[] = {
#define VALUE(member) offsetof(struct command_line, member)
    {'c', WORD, "config", "FILE", OPTION_CONFIG, VALUE(path),
     "the configuration (default /etc/mta-sts/mta-sts.yaml)"},
    {'l', ADDRESS, "listen", "ADDRESS", OPTION_LISTEN, VALUE(listen),
     "listen there instead of where the configuration says"},
    {'a', DATE, "at", "DATE", OPTION_AT, VALUE(now),
     "check certificates, or what senders hold, as of that day (2026-12-24)"},
    {'f', WORD, "format", "FORMAT", OPTION_FORMAT, VALUE(format),
     "zone (default), nsupdate or json"},
    {'s', WORD, "since", "FILE", OPTION_SINCE, VALUE(since),
     "dns: only what has changed since that output of --format json; check: FILE was served until now"},
    {0, WORD, "published", "FILE", OPTION_PUBLISH, VALUE(published),
     "only the difference to FILE, which says what is published"},
    {0, WORD, "commit-with", "CMD", OPTION_PUBLISH, VALUE(commit_with),
     "give the difference to the shell command CMD and, if it succeeds, bring FILE up to date"},
    {0, FLAG, "remove-many", NULL, OPTION_PUBLISH, VALUE(remove_many),
     "also if more than a quarter of the domains in FILE are removed"},
    {0, FLAG, "served", NULL, OPTION_PUBLISH, VALUE(served),
     "withhold the record of a policy that not every address of its host serves yet"},
    {0, WORD, "sort", "COLUMN", OPTION_SORT, VALUE(sort),
     "with --held also until; by: domain (default), state, mode, max_age, id or expires"},
    {0, LIST, "state", "STATE", OPTION_STATE, VALUE(state),
     "with --held a folder to read; else only these: served, stale, refused or no-certificate"},
    {0, FLAG, "held", NULL, OPTION_STATE, VALUE(held),
     "the policies that senders may still hold, and until when"},
    {0, FLAG, "senders", NULL, OPTION_STATE, VALUE(senders),
     "ask the running server who has fetched DOMAIN's policy"},
    {0, WORD, "group", "N", OPTION_HOSTS, VALUE(group),
     "up to N on a line, for one certificate: at most 100, or a profile: tlsserver (25)"},
    {0, FLAG, "missing", NULL, OPTION_HOSTS, VALUE(missing),
     "only those without a certificate that is good for a while"},
    {0, LIST, "search", "PATH", OPTION_IMPORT, VALUE(search),
     "look for policy hosts in that file or folder; may be repeated"},
    {0, FLAG, "keep-id", NULL, OPTION_IMPORT, VALUE(keep_id),
     "keep the ids that the DNS has today"},
    {0, SERVER, "connect", "ADDRESS", OPTION_CONNECT, VALUE(connect),
     "ask this server, whatever the DNS says"},
    {0, WORD, "ca", "FILE", OPTION_PROBE, VALUE(ca),
     "the authorities to trust (default: the system's, or SSL_CERT_FILE)"},
    {0, FLAG, "record", NULL, OPTION_RECORD, VALUE(record),
     "write down in the state folder what the DNS and other servers have, for list --held and check"},
    {0, FLAG, "smtp", NULL, OPTION_SMTP, VALUE(smtp),
     "connect to each MX on port 25 as well, and check its TLS and its certificate"},
    {0, WORD, "timeout", "DURATION", OPTION_TIMEOUT, VALUE(timeout),
     "give up on an address after that long (default 10s), reload on the server (60s)"},
    {0, WORD, "status", "FILE", OPTION_STATUS, VALUE(status),
     "the status file of the server (default in /run/mta-sts)"},
    {'j', FLAG, "json", NULL, OPTION_JSON, VALUE(json), "print JSON"},
    {'h', HELP, "help", NULL, OPTION_HELP, 0, "print this help"},
    {'V', HELP, "version", NULL, OPTION_VERSION, 0, "print the version"},
#undef VALUE
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]), LONG_ONLY = 256 };

/* Options that are gone, and what to write instead. */
static const struct {
    const char *name;
    unsigned bit;
    const char *instead;
} former[] = {
    {"apache", OPTION_IMPORT,
     "the policies are fetched from the running server; write --search PATH instead of"},
    {"nginx", OPTION_IMPORT,
     "the policies are fetched from the running server; write --search PATH instead of"},
    {"root", OPTION_IMPORT,
     "the policies are fetched from a running server, --connect ADDRESS; write "
     "--search PATH instead of"},
    {"url", OPTION_IMPORT, "every domain is fetched; write import DOMAIN... without"},
    {"ids", OPTION_IMPORT, "the ids are read from the DNS; write --keep-id instead of"},
};

static void print_options(unsigned bits, struct text *out)
{
    text_append(out, span_of("\nOptions:\n"));
    for (size_t i = 0; i < OPTIONS; i++) {
        if ((options[i].bit & bits) == 0)
            continue;
        if (options[i].letter != 0)
            text_printf(out, "  -%c, ", options[i].letter);
        else
            text_append(out, span_of("      "));
        text_printf(out, "--%s %-*s %s\n", options[i].name, (int)(16 - strlen(options[i].name)),
                    options[i].argument == NULL ? "" : options[i].argument, options[i].text);
    }
}

bool command_write(const struct text *text)
{
    if (text_write(text, STDOUT_FILENO))
        return true;
    (void)fprintf(stderr, "mta-sts-httpd: standard output: %s\n",
                  strerror(errno)); /* the last resort */
    return false;
}

bool command_complain(const char *format, ...)
{
    struct text out = {0};
    va_list arguments;
    text_append(&out, span_of("mta-sts-httpd: "));
    va_start(arguments, format);
    text_vprintf(&out, format, arguments);
    va_end(arguments);
    text_append(&out, span_of("\n"));
    return command_complain_lines(&out) && false;
}

bool command_complain_lines(struct text *lines)
{
    bool good = text_write(lines, STDERR_FILENO);
    if (!good)
        (void)fprintf(stderr, "mta-sts-httpd: cannot print all errors: %s\n",
                      strerror(errno)); /* the last resort */
    text_free(lines);
    return good;
}

static int print_help(const struct command *commands, struct text *out)
{
    text_append(out, span_of("mta-sts-httpd serves MTA-STS policies (RFC 8461) over HTTPS.\n\n"
                             "Usage: mta-sts-httpd COMMAND [OPTION...] [OPERAND...]\n\n"
                             "Commands:\n"));
    for (const struct command *command = commands; command->name != NULL; command++)
        text_printf(out, "  %-8s %-15s %s\n", command->name, command->operands, command->summary);
    print_options(~0U, out);
    text_append(out, span_of("\nExit status: 0 good, 1 something is wrong with what was checked, "
                             "2 wrong usage,\n3 good, but something is withheld or not served as "
                             "configured.\n\"mta-sts-httpd COMMAND --help\" says what a command "
                             "takes; the manual is mta-sts-httpd(8).\n"));
    return STATUS_GOOD;
}

static int print_command_help(const struct command *command, struct text *out)
{
    text_printf(out, "Usage: mta-sts-httpd %s [OPTION...]%s%s\n\n%c%s.\n", command->name,
                command->operands[0] == '\0' ? "" : " ", command->operands,
                toupper((unsigned char)command->summary[0]), command->summary + 1);
    print_options(command->options | OPTION_HELP, out);
    return STATUS_GOOD;
}

static int print_version(struct text *out)
{
    text_printf(out,
                "mta-sts-httpd " MTA_STS_HTTPD_VERSION "\n"
                "TLS: mbedTLS %s\n"
                "cryptography: %s\n"
                "YAML: libyaml %s\n",
                tls_library_version(), accelerate_name(), document_library_version());
#ifdef __GLIBC__
    text_printf(out, "C library: glibc %s\n", gnu_get_libc_version());
#endif
    return STATUS_GOOD;
}

int command_misused(const char *command, const char *before, const char *word, const char *behind)
{
    struct text out = {0};
    text_printf(&out, "mta-sts-httpd: %s", before);
    if (word != NULL) {
        text_append(&out, span_of(" \""));
        text_escape(&out, span_of(word), 100);
        text_append(&out, span_of("\""));
    }
    text_printf(&out, "%s\nTry \"mta-sts-httpd %s%s--help\".\n", behind == NULL ? "" : behind,
                command, command[0] == '\0' ? "" : " ");
    (void)command_complain_lines(&out); /* the exit status says it too */
    return STATUS_USAGE;
}

/* Names the candidate that was likely meant by the name in the word. */
static int misspelt(const char *command, const char *what, const char *word, struct span name,
                    const char *const *candidates, size_t count)
{
    char before[32], behind[96]; /* the names of commands and options are short */
    size_t nearest = suggest_nearest(name, candidates, count);
    (void)snprintf(before, sizeof(before), "unknown %s", what);
    if (nearest < count)
        (void)snprintf(behind, sizeof(behind), "; did you mean \"%.*s%s\"?",
                       (int)(name.data - word), word, candidates[nearest]);
    return command_misused(command, before, word, nearest < count ? behind : NULL);
}

/* The word is two hyphens, a name and perhaps a value. */
static int unknown_long_option(const struct command *command, const char *word)
{
    const char *names[OPTIONS];
    size_t count = 0;
    const struct span name = {word + 2, strcspn(word + 2, "=")};
    for (size_t i = 0; i < sizeof(former) / sizeof(former[0]); i++)
        if ((former[i].bit & command->options) != 0 && span_equal(name, span_of(former[i].name)))
            return command_misused(command->name, former[i].instead, word, NULL);
    for (size_t i = 0; i < OPTIONS; i++) {
        if (span_equal(name, span_of(options[i].name)))
            return command_misused(command->name, "this command has no option", word, NULL);
        if ((options[i].bit & (command->options | OPTION_HELP)) != 0)
            names[count++] = options[i].name;
    }
    return misspelt(command->name, "option", word, name, names, count);
}

/* After getopt_long has found what it does not know: in optopt is the letter of an option, or what
 * stands for a long one that takes no value and was given one, or 0. */
static int unknown_option(const struct command *command, const char *word)
{
    if (optopt == 0)
        return unknown_long_option(command, word);
    if (optopt >= LONG_ONLY)
        return command_misused(command->name, "option", word, " takes no value");
    return command_misused(command->name, "unknown option", (char[]){'-', (char)optopt, '\0'},
                           NULL);
}

/* The tables that getopt_long wants, for the options in bits. An option's value is its row. */
static void prepare_getopt(unsigned bits, char *ret_letters, struct option *ret_options)
{
    *ret_letters++ = ':'; /* makes a missing argument distinct from an unknown option */
    for (size_t i = 0; i < OPTIONS; i++) {
        if ((options[i].bit & bits) == 0)
            continue;
        if (options[i].letter != 0) {
            *ret_letters++ = options[i].letter;
            if (options[i].argument != NULL)
                *ret_letters++ = ':';
        }
        *ret_options++ = (struct option){
            .name = options[i].name,
            .has_arg = options[i].argument == NULL ? no_argument : required_argument,
            .val = LONG_ONLY + (int)i,
        };
    }
    *ret_letters = '\0';
    *ret_options = (struct option){0};
}

/* The row of what getopt_long found; OPTIONS for an error. */
static size_t find_option(int found)
{
    if (found >= LONG_ONLY)
        return (size_t)(found - LONG_ONLY);
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].letter != 0 && options[i].letter == found)
            return i;
    return OPTIONS;
}

/* Reads "192.0.2.1", "2001:db8::1", or either with a port. */
static bool read_server(const char *word, struct address *ret_address)
{
    struct text text = {0};
    text_printf(&text, strchr(word, ':') == NULL || word[0] == '[' ? "%s:443" : "[%s]:443", word);
    bool good =
        address_parse(span_of(word), ret_address) || address_parse(heap_text(&text), ret_address);
    text_free(&text);
    return good &&
           (ret_address->any.sa_family == AF_INET || ret_address->any.sa_family == AF_INET6);
}

/* Puts the option's value into the line. STATUS_GOOD, or an exit status after saying what is wrong. */
static int take_option(const struct command *command, size_t row, struct command_line *line)
{
    void *value = (char *)line + options[row].offset;
    struct command_words *words;
    const bool yes = true;
    switch (options[row].kind) {
    case FLAG:
        memcpy(value, &yes, sizeof(yes));
        break;
    case WORD:
        memcpy(value, &(const char *){optarg}, sizeof(const char *));
        break;
    case LIST:
        words = value;
        if (words->count == COMMAND_WORDS)
            return command_misused(command->name, "there are too many of the option before", optarg,
                                   NULL);
        words->items[words->count++] = optarg;
        break;
    case ADDRESS:
        if (!address_parse(span_of(optarg), &line->listen_to))
            return command_misused(
                command->name,
                "not an address with a port such as 127.0.0.1:8443 or [::]:443:", optarg, NULL);
        line->listen = &line->listen_to;
        break;
    case SERVER:
        if (!read_server(optarg, &line->connect_to))
            return command_misused(command->name,
                                   "not an address such as 192.0.2.1 or [2001:db8::1]:443:", optarg,
                                   NULL);
        line->connect = &line->connect_to;
        break;
    case DATE:
        if (!calendar_parse(span_of(optarg), value))
            return command_misused(command->name, "not a day such as 2026-12-24:", optarg, NULL);
        break;
    case HELP:
        break;
    }
    return STATUS_GOOD;
}

/* Whether the operand names a file where a domain belongs. A file may have the name of a domain, too, as
 * in a folder of sites: it is meant if there is no configuration to find the domain in. */
static bool is_file(const char *word, bool has_configuration)
{
    const struct span text = span_of(word);
    const char *dot = strrchr(word, '.');
    struct name name;
    struct stat status;
    if (strstr(word, "://") != NULL)
        return false;
    if (strchr(word, '/') != NULL ||
        (dot != NULL && (strcasecmp(dot, ".yaml") == 0 || strcasecmp(dot, ".yml") == 0)))
        return true;
    return stat(word, &status) == 0 && S_ISREG(status.st_mode) &&
           (!has_configuration || name_parse(text, NAME_HOST, &name) != NAME_OK);
}

/* "check FILE" is often written for "check -c FILE". STATUS_GOOD, or an exit status after saying so.
 * import takes files, and judges its operands itself. */
static int refuse_files(const struct command *command, const struct command_line *line)
{
    const bool has_configuration = !line->is_default_path || access(line->path, F_OK) == 0;
    if ((command->options & OPTION_CONFIG) == 0)
        return STATUS_GOOD;
    for (size_t i = 0; i < line->operand_count; i++)
        if (is_file(line->operands[i], has_configuration))
            return command_misused(command->name,
                                   line->is_default_path
                                       ? "a configuration is named by an option: write -c"
                                       : "one configuration is read, that of -c, and not",
                                   line->operands[i], NULL);
    return STATUS_GOOD;
}

static int run(const struct command *command, int argc, char **argv, struct text *out)
{
    char letters[2 * OPTIONS + 2];
    struct option longs[OPTIONS + 1];
    int status = STATUS_GOOD;
    struct command_line line = {.path = DEFAULT_PATH, .now = time(NULL)};
    prepare_getopt(command->options | OPTION_HELP, letters, longs);
    opterr = 0;
    for (int found; (found = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        size_t row = find_option(found);
        if (found == ':')
            return command_misused(command->name, "option", argv[optind - 1], " needs a value");
        if (row == OPTIONS)
            return unknown_option(command, argv[optind - 1]);
        if (options[row].bit == OPTION_HELP)
            return print_command_help(command, out);
        status = take_option(command, row, &line);
        if (status != STATUS_GOOD)
            return status;
    }
    line.is_default_path = line.path == DEFAULT_PATH;
    line.operands = argv + optind;
    line.operand_count = (size_t)(argc - optind);
    status = refuse_files(command, &line);
    if (status != STATUS_GOOD)
        return status;
    if (line.operand_count < command->operands_least)
        return command_misused(command->name, "missing operand", command->operands, NULL);
    if (line.operand_count > command->operands_most)
        return command_misused(command->name, "unexpected operand",
                               line.operands[command->operands_most], NULL);
    return command->run(&line, out);
}

static int run_word(const struct command *commands, int argc, char **argv, struct text *out)
{
    const char *names[COMMANDS_MOST];
    size_t count = 0;
    if (argc < 2)
        return command_misused("", "a command is missing", NULL, NULL);
    const char *word = argv[1];
    const bool is_help = strcmp(word, "help") == 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (is_help && argc == 2))
        return print_help(commands, out);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return print_version(out);
    if (is_help)
        word = argv[2]; /* "help COMMAND" is "COMMAND --help" */
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, word) == 0)
            return is_help ? print_command_help(command, out)
                           : run(command, argc - 1, argv + 1, out);
        assert(count < COMMANDS_MOST);
        names[count++] = command->name;
    }
    return misspelt("", "command", word, span_of(word), names, count);
}

int command_main(const struct command *commands, int argc, char **argv)
{
    struct text out = {0};
    int status = run_word(commands, argc, argv, &out);
    if ((out.len > 0 || out.failed) && !command_write(&out))
        status = STATUS_WRONG;
    text_free(&out);
    return status;
}
