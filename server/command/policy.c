#include "policy/policy.h"

#include "command/command.h"
#include "command/reading.h"

int command_policy(const struct command_line *line, struct text *out)
{
    struct reading reading = reading_new(line, true);
    const struct site_domain *domain =
        reading.configuration == NULL ? NULL : reading_find(&reading, line->operands[0]);
    const struct policy *policy = domain == NULL ? NULL : site_policy(domain);
    if (policy != NULL)
        text_append(out, policy_body(policy));
    else if (domain != NULL || reading.configuration == NULL)
        (void)reading_tell(line, &reading); /* the exit status says it too */
    reading_free(&reading);
    return policy != NULL ? STATUS_GOOD : STATUS_WRONG;
}
