#include "policy/inspect.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/limits.h"
#include "policy/inspect_state.h"

const char *inspect_keep(struct inspection *inspection, struct text *text)
{
    const char *copy = text->failed || text->data == NULL
                           ? NULL
                           : arena_copy(inspection->arena, (struct span){text->data, text->len});
    inspection->shortage = inspection->shortage || copy == NULL;
    text_free(text);
    return copy;
}

struct inspect_finding *inspect_add(struct inspection *inspection, enum finding_kind kind,
                                    struct position at, struct span about, const char *tail)
{
    const struct finding_rule *rule = finding_rule(kind);
    bool is_first_decision = rule->needs_decision && !inspection->needs_decision;
    inspection->needs_decision = inspection->needs_decision || rule->needs_decision;
    inspection->changes_meaning = inspection->changes_meaning || finding_changes_meaning(kind);
    if (rule->gravity > inspection->gravity)
        inspection->gravity = rule->gravity;
    if (inspection->count >= LIMIT_FINDINGS && !is_first_decision)
        return NULL;
    void *items = array_room(inspection->findings, inspection->count, &inspection->capacity,
                             sizeof(*inspection->findings));
    if (items == NULL) {
        inspection->shortage = true;
        return NULL;
    }
    inspection->findings = items;
    struct text message = {0};
    text_append(&message, span_of(rule->text));
    if (about.data != NULL) {
        text_append(&message, span_of(" \""));
        text_escape(&message, about, 100);
        text_append(&message, span_of("\""));
    }
    if (tail != NULL)
        text_printf(&message, " %s", tail);
    struct inspect_finding *finding = &inspection->findings[inspection->count++];
    *finding = (struct inspect_finding){
        .rule = rule,
        .at = at,
        .message = inspect_keep(inspection, &message),
        .senders = rule->senders,
        .fix = rule->fix,
    };
    return finding;
}

void inspect_advise(struct inspection *inspection, struct inspect_finding *finding,
                    const char *verb, const char *words)
{
    struct text fix = {0};
    if (finding == NULL)
        return;
    text_printf(&fix, "%s %s", verb, words);
    finding->fix = inspect_keep(inspection, &fix);
}

static void judge_line_ends(struct inspection *inspection)
{
    const size_t *ends = inspection->ends;
    const struct position *at = inspection->ends_at;
    if (ends[INSPECT_END_LF] > 0)
        (void)inspect_add(inspection,
                          ends[INSPECT_END_CRLF] > 0 ? FINDING_MIXED_LINE_ENDS : FINDING_LF,
                          at[INSPECT_END_LF], INSPECT_NOTHING, NULL);
    if (ends[INSPECT_END_CR] > 0)
        (void)inspect_add(inspection, FINDING_LONE_CR, at[INSPECT_END_CR], INSPECT_NOTHING, NULL);
    if (ends[INSPECT_END_NONE] > 0)
        (void)inspect_add(inspection, FINDING_NO_LAST_LINE_END, at[INSPECT_END_NONE],
                          INSPECT_NOTHING, NULL);
}

static void judge_missing(struct inspection *inspection)
{
    struct position at = inspection->at;
    if (inspection->keys[INSPECT_VERSION].text.data == NULL)
        (void)inspect_add(inspection, FINDING_VERSION_MISSING, at, INSPECT_NOTHING, NULL);
    if (inspection->keys[INSPECT_MODE].text.data == NULL)
        (void)inspect_add(inspection, FINDING_MODE_MISSING, at, INSPECT_NOTHING, NULL);
    if (inspection->mx_count == 0)
        (void)inspect_add(inspection, FINDING_MX_MISSING, at, INSPECT_NOTHING, NULL);
    if (inspection->keys[INSPECT_MAX_AGE].text.data == NULL)
        (void)inspect_add(inspection, FINDING_MAX_AGE_MISSING, at, INSPECT_NOTHING, NULL);
}

static void judge_short_max_age(struct inspection *inspection)
{
    uint32_t seconds = 0;
    struct field max_age = inspection->max_age;
    if (span_equal(inspection->mode.text, span_of(policy_mode_text(POLICY_ENFORCE))) &&
        inspect_digits(max_age.text, &seconds) && seconds < LIMIT_MAX_AGE_ADVISED)
        (void)inspect_add(inspection, FINDING_MAX_AGE_SHORT, max_age.at, max_age.text,
                          "is short for an enforced policy");
}

/* The bytes as they are, and as policy_new will write them. */
static void judge_size(struct inspection *inspection, size_t len)
{
    char tail[64];
    size_t written = strlen("version: STSv1\r\nmode: \r\nmax_age: \r\n") +
                     inspection->mode.text.len + inspection->max_age.text.len;
    for (size_t i = 0; i < inspection->mx_count; i++)
        written += strlen("mx: \r\n") + inspection->mx[i].text.len;
    enum finding_kind kind = written > LIMIT_BODY    ? FINDING_LARGE_WRITTEN
                             : len > LIMIT_BODY_MOST ? FINDING_LARGE_MOST
                             : len > LIMIT_BODY      ? FINDING_LARGE
                                                     : FINDING_LARGE_ADVISED;
    if (written <= LIMIT_BODY && len <= LIMIT_BODY_ADVISED)
        return;
    (void)snprintf(tail, sizeof(tail), "%zu bytes long", len); /* a number and two words */
    (void)inspect_add(inspection, kind, inspection->at, INSPECT_NOTHING, tail);
}

/* What is no text of lines at all; FINDING_LF, which it cannot be, when it is one. */
static enum finding_kind recognise(struct span bytes)
{
    if (bytes.len >= 2 &&
        (memcmp(bytes.data, "\xff\xfe", 2) == 0 || memcmp(bytes.data, "\xfe\xff", 2) == 0 ||
         bytes.data[0] == '\0' || bytes.data[1] == '\0'))
        return FINDING_UTF16;
    while (bytes.len > 0 && memchr(" \t\r\n", bytes.data[0], 4) != NULL)
        bytes = span_skip(bytes, 1);
    if (bytes.len == 0)
        return FINDING_EMPTY;
    return bytes.data[0] == '<' ? FINDING_WEB_PAGE : FINDING_LF;
}

static void inspect(struct inspection *inspection, struct span bytes)
{
    static const char MARK[] = "\xef\xbb\xbf";
    size_t len = bytes.len;
    uint32_t column = 1;
    if (span_begins_fold(bytes, span_of(MARK))) {
        (void)inspect_add(inspection, FINDING_BYTE_ORDER_MARK, inspection->at, INSPECT_NOTHING,
                          NULL);
        bytes = span_skip(bytes, strlen(MARK));
        column = 2;
    }
    enum finding_kind kind = recognise(bytes);
    if (kind != FINDING_LF) {
        (void)inspect_add(inspection, kind, inspection->at, INSPECT_NOTHING, NULL);
        return;
    }
    inspect_lines(inspection, bytes, column);
    judge_line_ends(inspection);
    judge_missing(inspection);
    judge_short_max_age(inspection);
    judge_size(inspection, len);
}

struct inspection *inspection_new(struct span bytes, const char *file)
{
    struct inspection *inspection = calloc(1, sizeof(*inspection));
    if (inspection == NULL)
        return NULL;
    inspection->at = (struct position){file, 1, 1};
    inspection->is_ordered = true;
    inspection->arena = arena_new();
    if (inspection->arena == NULL)
        goto fail;
    inspect(inspection, bytes);
    if (!inspection->shortage)
        return inspection;
fail:
    inspection_free(inspection);
    return NULL;
}

void inspection_free(struct inspection *inspection)
{
    if (inspection == NULL)
        return;
    table_free(&inspection->by_name);
    arena_free(inspection->arena);
    free(inspection->findings);
    free(inspection->mx);
    free(inspection);
}

size_t inspection_count(const struct inspection *inspection)
{
    return inspection->count;
}

const struct inspect_finding *inspection_at(const struct inspection *inspection, size_t index)
{
    assert(index < inspection->count);
    return &inspection->findings[index];
}

enum finding_gravity inspection_gravity(const struct inspection *inspection)
{
    return inspection->gravity;
}

bool inspection_needs_decision(const struct inspection *inspection)
{
    return inspection->needs_decision;
}

struct policy_fields inspection_fields(const struct inspection *inspection)
{
    return (struct policy_fields){
        .at = inspection->at,
        .mode = inspection->mode,
        .max_age = inspection->max_age,
        .mx = inspection->mx,
        .mx_count = inspection->mx_count,
        .mx_key = inspection->keys[INSPECT_MX],
        .unreadable = inspection->needs_decision,
    };
}

bool inspection_changes_meaning(const struct inspection *inspection)
{
    return inspection->changes_meaning;
}

void inspection_move(struct inspection *inspection, struct position at)
{
    for (size_t i = 0; i < inspection->count; i++) {
        struct inspect_finding *finding = &inspection->findings[i];
        struct text message = {0};
        text_printf(&message, "line %u of the policy: %s", (unsigned)finding->at.line,
                    finding->message);
        const char *moved = inspect_keep(inspection, &message);
        finding->message = moved == NULL ? finding->message : moved;
        finding->at = at;
    }
}

static enum diag_level level_of(const struct finding_rule *rule, bool mended)
{
    if (mended && rule->needs_decision)
        return DIAG_ERROR;
    if (rule->gravity == FINDING_NOTE)
        return DIAG_NOTE;
    return mended || rule->gravity == FINDING_WARNING ? DIAG_WARNING : DIAG_ERROR;
}

void inspection_report(const struct inspection *inspection, bool mended, struct diag *diag)
{
    for (size_t i = 0; i < inspection->count; i++) {
        const struct inspect_finding *finding = &inspection->findings[i];
        diag_add(diag, level_of(finding->rule, mended), finding->at, "%s", finding->message);
        if (finding->senders != NULL)
            diag_reason(diag, "%s", finding->senders);
        bool done =
            mended && !finding->rule->needs_decision && !finding_is_advice(finding->rule->kind);
        if (finding->fix != NULL)
            diag_hint(diag, "%s%s", done ? "done: " : "", finding->fix);
    }
}
