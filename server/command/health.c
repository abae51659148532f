#include "probe/health.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "command/command.h"
#include "command/reading.h"
#include "load/tree.h"

static void print_health(const struct endpoint *endpoint, const struct health *health,
                         struct text *out)
{
    text_printf(out, "%s: ", endpoint->address.text);
    switch (health->state) {
    case HEALTH_SERVES:
        text_printf(out, "healthy, serves the policy of %s (%" PRId64 " ms)%s\n", health->domain,
                    (health->took_us + 500) / 1000,
                    health->differs ? "; it is not that of the configuration: reload?" : "");
        break;
    case HEALTH_IDLE:
        text_append(out, span_of("alive, but there is no certificate yet, so nothing is served\n"));
        break;
    case HEALTH_DEAD:
        text_printf(out, "unhealthy: %s\n", health->reason);
        break;
    }
}

/* What a proxy shows senders is not shown at a listener with TLS. */
static bool is_asked(const struct endpoint *endpoint, const struct site_domain *only)
{
    return endpoint->service == ENDPOINT_POLICIES &&
           (only == NULL || !only->is_proxied || endpoint->plain);
}

static size_t count_listeners(const struct endpoint *endpoints, size_t count,
                              const struct site_domain *only)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += is_asked(&endpoints[i], only) ? 1 : 0;
    return found;
}

/* Asks every listener, each for its part of the time that is left. True when all are alive. */
static bool ask_all(const struct endpoint *endpoints, size_t count, const struct site *site,
                    const struct site_domain *only, int64_t now, bool *ret_idle, struct text *out)
{
    int64_t end_us = clock_monotonic_us() + LIMIT_HEALTH_ALL_MS * INT64_C(1000);
    size_t left = count_listeners(endpoints, count, only);
    if (left == 0) {
        text_append(out, span_of("unhealthy: no listener for policies has \"tls: false\"\n"));
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        struct health health;
        if (!is_asked(&endpoints[i], only))
            continue;
        int64_t begin_us = clock_monotonic_us();
        assert(left > 0);
        int64_t share_us = (end_us - begin_us) / (int64_t)left--;
        if (share_us > LIMIT_HEALTH_MS * INT64_C(1000))
            share_us = LIMIT_HEALTH_MS * INT64_C(1000);
        const struct health_question question = {
            .endpoint = &endpoints[i],
            .site = site,
            .only = only,
            .now = now,
            .deadline_us = begin_us + share_us,
        };
        health_ask(&question, &health);
        print_health(&endpoints[i], &health, out);
        good = good && health.state != HEALTH_DEAD;
        *ret_idle = *ret_idle || health.state == HEALTH_IDLE;
    }
    return good;
}

/* A file that is being edited says nothing about the server, which goes on with what it has read. So
 * only the domains are unknown, and whether it is alive can still be asked. */
static bool ask_blindly(const struct command_line *line, struct text *out)
{
    struct endpoint endpoint = {0};
    if (line->listen != NULL)
        endpoint.address = *line->listen;
    else if (!address_parse(span_of("[::]:443"), &endpoint.address))
        return false;
    bool idle = false;
    text_printf(out, "%s has errors: see mta-sts-httpd check\n", line->path);
    return ask_all(&endpoint, 1, NULL, NULL, line->now, &idle, out);
}

/* The first file or folder with certificates that this user may not read. */
struct barrier {
    struct text path;
};

static void note_barrier(struct barrier *barrier, const char *path)
{
    if (barrier->path.len == 0)
        text_append(&barrier->path, span_of(path));
}

static void on_file(void *context, const struct tree_file *file)
{
    if (faccessat(file->folder, file->name, R_OK, AT_EACCESS) != 0 && errno == EACCES)
        note_barrier(context, file->path);
}

static void on_failure(void *context, const struct tree_failure *failure)
{
    if (failure->error == EACCES)
        note_barrier(context, failure->path);
}

/* A server without any certificate is healthy: its first one may be on the way. It is not healthy when
 * its user may not read what is there; in a container, that is the user of this command. */
static bool can_read_all(const struct command_line *line, struct text *out)
{
    struct barrier barrier = {0};
    struct tree tree = {.visit = on_file, .fail = on_failure, .context = &barrier};
    struct reading whole = reading_new(line, false, NULL);
    const struct configuration *configuration = whole.configuration;
    const struct watch_path *path =
        configuration == NULL ? NULL : configuration->watch.certificates;
    for (; path != NULL; path = path->next)
        tree_walk(&tree, path->path);
    bool good = barrier.path.len == 0;
    if (!good)
        text_printf(out,
                    "unhealthy: no certificate is served, and %s cannot be read by user %u: "
                    "Permission denied\n",
                    barrier.path.data, (unsigned)geteuid());
    tree_free(&tree);
    reading_free(&whole);
    text_free(&barrier.path);
    return good;
}

int command_health(const struct command_line *line)
{
    struct text out = {0};
    int status = STATUS_WRONG;
    bool good = false;
    bool idle = false;
    const struct site_domain *only = NULL;
    struct reading reading = reading_new(line, true, NULL);
    if (reading.configuration == NULL && line->operand_count == 0 && reading.diag != NULL) {
        good = ask_blindly(line, &out);
    } else if (reading.configuration == NULL) {
        reading_tell(line, &reading);
        goto done;
    } else {
        const struct configuration *configuration = reading.configuration;
        if (line->operand_count > 0) {
            only = reading_find(&reading, line->operands[0]);
            if (only == NULL || only->policy == NULL) {
                reading_tell(line, &reading);
                goto done;
            }
        }
        good = ask_all(configuration->settings.listeners, configuration->settings.listener_count,
                       configuration->site, only, line->now, &idle, &out);
        if (good && idle && only == NULL)
            good = can_read_all(line, &out);
    }
    if (command_write(&out) && good)
        status = STATUS_GOOD;
done:
    text_free(&out);
    reading_free(&reading);
    return status;
}
