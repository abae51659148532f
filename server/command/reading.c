#include "command/reading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/suggest.h"
#include "base/text.h"

struct reading reading_new(const struct command_line *line, bool without_certificates)
{
    struct reading reading = {.diag = diag_new()};
    const struct load_request request = {
        .path = line->path,
        .listen = line->listen,
        .now = line->now,
        .without_certificates = without_certificates,
    };
    if (reading.diag == NULL)
        (void)fputs("mta-sts-httpd: out of memory\n", stderr); /* nowhere is left to say it */
    else
        reading.configuration = configuration_load(&request, reading.diag);
    return reading;
}

void reading_free(struct reading *reading)
{
    configuration_free(reading->configuration);
    diag_free(reading->diag);
    *reading = (struct reading){0};
}

bool reading_print(const struct reading *reading, enum diag_level least)
{
    struct text out = {0};
    if (reading->diag == NULL)
        return false;
    diag_print(reading->diag, least, &out);
    bool good = text_write(&out, STDERR_FILENO);
    if (!good)
        (void)fprintf(stderr, "mta-sts-httpd: cannot write all that is wrong: %s\n",
                      strerror(errno)); /* the last resort */
    text_free(&out);
    return good;
}

static const char *nearest_domain(const struct site *site, const char *name)
{
    const char *nearest = NULL;
    const char **names = calloc(site_count(site) + 1, sizeof(*names));
    if (names == NULL)
        return NULL;
    for (size_t i = 0; i < site_count(site); i++)
        names[i] = site_at(site, i)->name;
    size_t index = suggest_nearest(span_of(name), names, site_count(site));
    if (index < site_count(site))
        nearest = names[index];
    free(names);
    return nearest;
}

const struct site_domain *reading_find(const struct reading *reading, const char *name)
{
    const struct site *site = reading->configuration->site;
    const struct site_domain *domain = site_find_domain(site, span_of(name));
    if (domain != NULL)
        return domain;
    struct text out = {0};
    text_append(&out, span_of("mta-sts-httpd: domain \""));
    text_escape(&out, span_of(name), 256);
    text_append(&out, span_of("\" is not configured"));
    const char *nearest = nearest_domain(site, name);
    if (nearest != NULL)
        text_printf(&out, "; did you mean \"%s\"?", nearest);
    text_append(&out, span_of("\n"));
    command_complain(&out);
    text_free(&out);
    return NULL;
}
