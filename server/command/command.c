#include "command/command.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/suggest.h"
#include "base/text.h"

static const char DEFAULT_PATH[] = "/etc/mta-sts/mta-sts.yaml";

enum { OPTION_HELP = 1U << 29, OPTION_VERSION = 1U << 30, COMMANDS_MOST = 32 };

/* Every option of every command. */
static const struct {
    char letter;
    const char *name;
    const char *argument; /* or NULL */
    unsigned bit;
    const char *text;
} options[] = {
    {'c', "config", "FILE", OPTION_CONFIG, "the configuration (default /etc/mta-sts/mta-sts.yaml)"},
    {'l', "listen", "ADDRESS", OPTION_LISTEN,
     "listen there instead of where the configuration says"},
    {'a', "at", "DATE", OPTION_AT, "judge certificates as of that day (2026-12-24)"},
    {'j', "json", NULL, OPTION_JSON, "print JSON"},
    {'h', "help", NULL, OPTION_HELP, "print this help"},
    {'V', "version", NULL, OPTION_VERSION, "print the version"},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

static void print_options(unsigned bits, struct text *out)
{
    text_append(out, span_of("\nOptions:\n"));
    for (size_t i = 0; i < OPTIONS; i++)
        if ((options[i].bit & bits) != 0)
            text_printf(out, "  -%c, --%s %-*s %s\n", options[i].letter, options[i].name,
                        (int)(16 - strlen(options[i].name)),
                        options[i].argument == NULL ? "" : options[i].argument, options[i].text);
}

static int print(struct text *out)
{
    int status = text_write(out, STDOUT_FILENO) ? STATUS_GOOD : STATUS_WRONG;
    text_free(out);
    return status;
}

static int print_help(const struct command *commands)
{
    struct text out = {0};
    text_append(&out, span_of("mta-sts-httpd serves MTA-STS policies (RFC 8461) over HTTPS.\n\n"
                              "Usage: mta-sts-httpd COMMAND [OPTION...] [OPERAND...]\n\n"
                              "Commands:\n"));
    for (const struct command *command = commands; command->name != NULL; command++)
        text_printf(&out, "  %-8s %-12s %s\n", command->name, command->operands, command->summary);
    print_options(~0U, &out);
    text_append(&out, span_of("\nExit status: 0 good, 1 something is wrong with what was judged, "
                              "2 wrong usage.\n"));
    return print(&out);
}

static int print_command_help(const struct command *command)
{
    struct text out = {0};
    text_printf(&out, "Usage: mta-sts-httpd %s [OPTION...]%s%s\n\nIt will %s.\n", command->name,
                command->operands[0] == '\0' ? "" : " ", command->operands, command->summary);
    print_options(command->options | OPTION_HELP, &out);
    return print(&out);
}

static int print_version(void)
{
    struct text out = {0};
    text_append(&out, span_of("mta-sts-httpd " MTA_STS_HTTPD_VERSION "\n"));
    return print(&out);
}

static int wrong_usage(const char *command, const char *problem, const char *word)
{
    struct text out = {0};
    text_printf(&out, "mta-sts-httpd: %s", problem);
    if (word != NULL) {
        text_append(&out, span_of(" \""));
        text_escape(&out, span_of(word), 100);
        text_append(&out, span_of("\""));
    }
    text_printf(&out, "\nTry \"mta-sts-httpd %s%s--help\".\n", command,
                command[0] == '\0' ? "" : " ");
    (void)text_write(&out, STDERR_FILENO); /* the exit status says it too */
    text_free(&out);
    return STATUS_USAGE;
}

static int unknown_command(const struct command *commands, const char *word)
{
    const char *names[COMMANDS_MOST];
    size_t count = 0;
    for (; count < COMMANDS_MOST && commands[count].name != NULL; count++)
        names[count] = commands[count].name;
    size_t nearest = suggest_nearest(span_of(word), names, count);
    if (nearest == count)
        return wrong_usage("", "unknown command", word);
    char problem[64];
    (void)snprintf(problem, sizeof(problem), "did you mean \"%s\"? There is no command",
                   names[nearest]); /* command names are short */
    return wrong_usage("", problem, word);
}

/* The tables that getopt_long wants, for the options in bits. */
static void prepare_getopt(unsigned bits, char *ret_letters, struct option *ret_options)
{
    *ret_letters++ = ':'; /* makes a missing argument distinct from an unknown option */
    for (size_t i = 0; i < OPTIONS; i++) {
        if ((options[i].bit & bits) == 0)
            continue;
        *ret_letters++ = options[i].letter;
        if (options[i].argument != NULL)
            *ret_letters++ = ':';
        *ret_options++ = (struct option){
            .name = options[i].name,
            .has_arg = options[i].argument == NULL ? no_argument : required_argument,
            .val = options[i].letter,
        };
    }
    *ret_letters = '\0';
    *ret_options = (struct option){0};
}

static int run(const struct command *command, int argc, char **argv)
{
    char letters[2 * OPTIONS + 2];
    struct option longs[OPTIONS + 1];
    struct address listen;
    struct command_line line = {.path = DEFAULT_PATH, .now = time(NULL)};
    prepare_getopt(command->options | OPTION_HELP, letters, longs);
    opterr = 0;
    for (int letter; (letter = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        switch (letter) {
        case 'c':
            line.path = optarg;
            break;
        case 'l':
            if (!address_parse(span_of(optarg), &listen))
                return wrong_usage(command->name,
                                   "not an address with a port such as "
                                   "127.0.0.1:8443 or [::]:443:",
                                   optarg);
            line.listen = &listen;
            break;
        case 'a':
            if (!calendar_parse(span_of(optarg), &line.now))
                return wrong_usage(command->name, "not a day such as 2026-12-24:", optarg);
            break;
        case 'j':
            line.json = true;
            break;
        case 'h':
            return print_command_help(command);
        case ':':
            return wrong_usage(command->name, "an argument is missing behind", argv[optind - 1]);
        default:
            return wrong_usage(command->name, "unknown option", argv[optind - 1]);
        }
    }
    line.operands = argv + optind;
    line.operand_count = (size_t)(argc - optind);
    if (line.operand_count < command->operands_least)
        return wrong_usage(command->name, "missing operand", command->operands);
    if (line.operand_count > command->operands_most)
        return wrong_usage(command->name, "unexpected operand",
                           line.operands[command->operands_most]);
    return command->run(&line);
}

int command_main(const struct command *commands, int argc, char **argv)
{
    if (argc < 2)
        return wrong_usage("", "a command is missing", NULL);
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return print_help(commands);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return print_version();
    for (const struct command *command = commands; command->name != NULL; command++)
        if (strcmp(command->name, word) == 0)
            return run(command, argc - 1, argv + 1);
    return unknown_command(commands, word);
}
