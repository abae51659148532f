#include "serve/shortage.h"

#include <string.h>

#include "base/limits.h"
#include "base/log.h"

void shortage_tell(struct shortage *shortage, const char *what, int reason, int64_t now)
{
    shortage->count++;
    if (now < shortage->quiet_until)
        return;
    shortage->quiet_until = now + LIMIT_COMPLAINT_MS;
    log_line(LOG_LEVEL_WARNING, "cannot %s: %s; new clients are refused (logged once a minute)",
             what, strerror(reason));
}
