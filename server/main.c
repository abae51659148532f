#include <stdint.h>

#include "command/command.h"

static const struct command commands[] = {
    {"serve", "", 0, 0, OPTION_CONFIG | OPTION_LISTEN | OPTION_STATUS,
     "serve the policies, in the foreground", command_serve},
    {"reload", "[DOMAIN...]", 0, SIZE_MAX, OPTION_CONFIG | OPTION_STATUS | OPTION_TIMEOUT,
     "reload the configuration of the running server; print what changed or why it was refused",
     command_reload},
    {"check", "[DOMAIN...]", 0, SIZE_MAX, OPTION_CONFIG | OPTION_JSON | OPTION_AT | OPTION_SINCE,
     "check the configuration, these domains, or - for standard input; serve nothing",
     command_check},
    {"policy", "DOMAIN", 1, 1, OPTION_CONFIG, "print the exact bytes of a domain's policy",
     command_policy},
    {"list", "[DOMAIN...]", 0, SIZE_MAX,
     OPTION_CONFIG | OPTION_JSON | OPTION_AT | OPTION_SORT | OPTION_STATE,
     "print a table of the domains, their policies and certificates; DOMAIN may have * and ?",
     command_list},
    {"hosts", "[DOMAIN...]", 0, SIZE_MAX, OPTION_CONFIG | OPTION_HOSTS | OPTION_AT,
     "print the names that need a certificate", command_hosts},
    {"dns", "[DOMAIN...]", 0, SIZE_MAX,
     OPTION_CONFIG | OPTION_FORMAT | OPTION_SINCE | OPTION_PUBLISH | OPTION_AT | OPTION_CONNECT |
         OPTION_PROBE | OPTION_TIMEOUT | OPTION_RECORD,
     "print the DNS records to publish", command_dns},
    {"seal", "", 0, 0, OPTION_CONFIG | OPTION_JSON,
     "show which rights workers give up on this machine", command_seal},
    {"probe", "[DOMAIN...]", 0, SIZE_MAX,
     OPTION_CONFIG | OPTION_CONNECT | OPTION_PROBE | OPTION_TIMEOUT | OPTION_JSON | OPTION_AT |
         OPTION_RECORD | OPTION_SMTP,
     "fetch the policies as the strictest sender would, and say who would refuse what",
     command_probe},
    {"health", "[DOMAIN]", 0, 1, OPTION_CONFIG | OPTION_LISTEN,
     "check whether the server on this machine is healthy", command_health},
    {"import", "[DOMAIN[=FILE]...]", 0, SIZE_MAX, OPTION_CONNECT | OPTION_IMPORT | OPTION_JSON,
     "write a configuration from what another web server serves today", command_import},
    {0},
};

int main(int argc, char **argv)
{
    return command_main(commands, argc, argv);
}
