#include "policy/policy.h"

#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"

int command_policy(const struct command_line *line)
{
    int status = STATUS_WRONG;
    struct reading reading = reading_new(line, true, NULL);
    const struct site_domain *domain =
        reading.configuration == NULL ? NULL : reading_find(&reading, line->operands[0]);
    if (domain != NULL && site_policy(domain) != NULL) {
        struct text out = {0};
        text_append(&out, policy_body(site_policy(domain)));
        if (command_write(&out))
            status = STATUS_GOOD;
        text_free(&out);
    } else if (domain != NULL || reading.configuration == NULL) {
        (void)reading_tell(line, &reading); /* the exit status says it too */
    }
    reading_free(&reading);
    return status;
}
