#include "load/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"
#include "policy/name.h"

/* Takes the next word of the line, which is not empty. False when there is none, or nothing behind a
 * space. */
static bool take_word(struct span *rest, struct span *ret_word)
{
    bool is_space = span_take(rest, ' ', ret_word);
    return ret_word->len > 0 && (!is_space || rest->len > 0);
}

static bool take_number(struct span *rest, uint32_t *ret_number)
{
    struct span word;
    uint64_t number = 0;
    if (!take_word(rest, &word) || !span_number(word, UINT32_MAX, &number))
        return false;
    *ret_number = (uint32_t)number;
    return word.data[0] != '0' || word.len == 1;
}

static bool take_instant(struct span *rest, int64_t *ret_instant)
{
    struct span word;
    return take_word(rest, &word) && word.len == CALENDAR_ISO_SIZE - 1 &&
           calendar_parse(word, ret_instant);
}

static bool is_name(struct span text, enum name_kind kind)
{
    struct name name;
    return name_parse(text, kind, &name) == NAME_OK && memcmp(name.text, text.data, text.len) == 0;
}

/* Lines of one domain follow each other, so its name is judged and kept once. domain is that of the line
 * before, or NULL. */
static bool take_domain(struct history *history, struct span *rest, const char **domain)
{
    struct span word;
    if (!take_word(rest, &word))
        return false;
    if (*domain != NULL && span_equal(span_of(*domain), word))
        return true;
    *domain = is_name(word, NAME_DOMAIN) ? arena_copy(history->arena, word) : NULL;
    return *domain != NULL;
}

static bool take_id(struct span *rest, struct span *ret_id)
{
    if (!take_word(rest, ret_id) || ret_id->len > LIMIT_ID)
        return false;
    return span_is_word(*ret_id, "");
}

/* "MODE MAX_AGE ID MX..." */
static bool read_policy(struct span line, struct promise *ret_promise)
{
    struct span mode, rest, mx;
    if (!take_word(&line, &mode) || !take_number(&line, &ret_promise->max_age) ||
        !take_id(&line, &ret_promise->id) || line.len == 0 || line.len > LIMIT_BODY)
        return false;
    bool good = policy_mode_read(mode, false, &ret_promise->mode);
    ret_promise->mx = rest = line;
    while (good && rest.len > 0)
        good = take_word(&rest, &mx) && is_name(mx, NAME_PATTERN);
    return good && ret_promise->max_age >= LIMIT_MAX_AGE_LEAST &&
           ret_promise->max_age <= LIMIT_MAX_AGE_MOST;
}

struct policies {
    struct promise *items; /* owned */
    size_t count;
};

/* "DOMAIN NUMBER FROM [UNTIL]" */
static bool read_promise(struct history *history, struct span line, bool is_open,
                         const struct policies *policies, struct promise *ret_promise)
{
    const char *domain =
        history->promise_count == 0 ? NULL : history->promises[history->promise_count - 1].domain;
    uint32_t number = 0;
    int64_t from = 0, until = PROMISE_OPEN;
    if (!take_domain(history, &line, &domain) || !take_number(&line, &number) ||
        number >= policies->count || !take_instant(&line, &from) ||
        (!is_open && !take_instant(&line, &until)) || line.len > 0 || from > until)
        return false;
    *ret_promise = policies->items[number];
    ret_promise->from = from;
    ret_promise->until = until;
    ret_promise->domain = domain;
    return true;
}

static bool read_promise_line(struct history *history, struct policies *policies, struct span line,
                              bool is_seen)
{
    struct span word;
    struct promise promise;
    int64_t since = 0;
    if (!take_word(&line, &word))
        return false;
    if (!is_seen && span_equal(word, span_of("since"))) {
        /* Of several folders together, all is known only from the latest on. */
        if (!take_instant(&line, &since))
            return false;
        if (history->since == INT64_MAX || since > history->since)
            history->since = since;
        return line.len == 0;
    }
    if (span_equal(word, span_of("policy"))) {
        struct promise *policy = ARRAY_ADD(policies->items, policies->count);
        *policy = (struct promise){.is_seen = is_seen};
        return read_policy(line, policy);
    }
    bool is_open = span_equal(word, span_of("served"));
    if ((!is_open && !span_equal(word, span_of("held"))) ||
        !read_promise(history, line, is_open, policies, &promise))
        return false;
    *ARRAY_ADD(history->promises, history->promise_count) = promise;
    return true;
}

/* "seen DOMAIN ID FIRST LAST TTL", where "-" is no record, and policies as in the other file */
static bool read_sighting_line(struct history *history, struct policies *policies, struct span line)
{
    struct span word, whole = line;
    struct sighting sighting = {.domain =
                                    history->sighting_count == 0
                                        ? NULL
                                        : history->sightings[history->sighting_count - 1].domain};
    if (!take_word(&line, &word) || !span_equal(word, span_of("seen")))
        return read_promise_line(history, policies, whole, true);
    if (!take_domain(history, &line, &sighting.domain))
        return false;
    if (line.len >= 2 && memcmp(line.data, "- ", 2) == 0)
        line = span_skip(line, 2);
    else if (!take_id(&line, &sighting.id))
        return false;
    if (!take_instant(&line, &sighting.first) || !take_instant(&line, &sighting.last) ||
        !take_number(&line, &sighting.ttl) || line.len > 0 || sighting.ttl > INT32_MAX ||
        sighting.first > sighting.last)
        return false;
    *ARRAY_ADD(history->sightings, history->sighting_count) = sighting;
    return true;
}

bool history_take(struct history *history, struct text *bytes, enum state_file file)
{
    struct span rest = {bytes->data, bytes->len};
    struct policies policies = {0};
    const size_t promises = history->promise_count, sightings = history->sighting_count;
    const int64_t since = history->since;
    bool good = state_file_unwrap(&rest, file);
    /* What is read borrows from the bytes, which the history frees. */
    *ARRAY_ADD(history->files, history->file_count) = bytes->data;
    *bytes = (struct text){0};
    for (struct span line; good && rest.len > 0;)
        good = span_take(&rest, '\n', &line) &&
               (file == STATE_PROMISES ? read_promise_line(history, &policies, line, false)
                                       : read_sighting_line(history, &policies, line));
    good = good && (file != STATE_PROMISES || history->since != INT64_MAX);
    if (!good) {
        history->promise_count = promises;
        history->sighting_count = sightings;
        history->since = since;
    }
    free(policies.items);
    return good;
}

bool history_read(struct history *history, const char *folder, struct position at,
                  const struct progress_callback *progress, struct diag *diag)
{
    bool good = true;
    for (enum state_file file = STATE_PROMISES; file <= STATE_SIGHTINGS; file++) {
        struct text bytes = {0};
        int error = state_file_read(folder, file, progress, &bytes) ? 0 : errno;
        bool is_bad = error == 0 ? !history_take(history, &bytes, file) : error != ENOENT;
        if (is_bad)
            state_warn(folder, file, error, at, diag);
        history->is_unread = history->is_unread || (is_bad && error != 0);
        good = good && !is_bad;
        text_free(&bytes);
    }
    return good;
}

/* The instant that was printed last: most are equal. */
struct stamp {
    int64_t instant;
    struct calendar_text text;
};

static struct span instant_text(struct stamp *stamp, int64_t instant)
{
    if (stamp->text.text[0] == '\0' || stamp->instant != instant)
        *stamp = (struct stamp){instant, calendar_iso_time(instant)};
    return (struct span){stamp->text.text, CALENDAR_ISO_SIZE - 1};
}

struct number {
    char text[sizeof("4294967295")];
};

static struct span number_text(struct number *number, size_t value)
{
    int len = snprintf(number->text, sizeof(number->text), "%" PRIu32, (uint32_t)value);
    return (struct span){number->text, (size_t)len};
}

static void print_line(struct text *out, const struct span *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text_append(out, words[i]);
        text_append(out, (struct span){i + 1 == count ? "\n" : " ", 1});
    }
}

/* The lines of policies, each once. */
struct printed {
    struct text lines;
    size_t *begins; /* owned */
    size_t count;
    struct table table;
};

static struct span printed_key(const void *items, size_t index)
{
    const struct printed *printed = items;
    size_t begin = printed->begins[index];
    const char *line = printed->lines.data + begin;
    const char *end = memchr(line, '\n', printed->lines.len - begin);
    return (struct span){line, (size_t)(end - line) + 1};
}

/* The number of the policy, whose line is added when it is not there. */
static size_t number_policy(struct printed *printed, const struct promise *promise)
{
    const size_t begin = printed->lines.len;
    struct number max_age = {0};
    const struct span words[] = {span_of("policy"), span_of(policy_mode_text(promise->mode)),
                                 number_text(&max_age, promise->max_age), promise->id, promise->mx};
    print_line(&printed->lines, words, 5);
    array_room(&printed->begins, printed->count, sizeof(*printed->begins));
    printed->begins[printed->count] = begin;
    const struct span key = span_skip(heap_text(&printed->lines), begin);
    size_t number = table_find(&printed->table, key, printed_key, printed);
    if (number != TABLE_NONE) {
        printed->lines.len = begin;
        return number;
    }
    table_add(&printed->table, key, printed->count);
    return printed->count++;
}

/* The policies of what was served, or of what was seen, and their lines. */
static void print_promises(const struct history *history, bool is_seen, struct text *out)
{
    struct printed printed = {0};
    struct text lines = {0};
    struct stamp from = {0}, until = {0};
    struct number number = {0};
    for (size_t i = 0; i < history->promise_count; i++) {
        const struct promise *promise = &history->promises[i];
        bool is_open = promise->until == PROMISE_OPEN;
        if (promise->is_seen != is_seen)
            continue;
        struct span words[5] = {span_of(is_open ? "served" : "held"), span_of(promise->domain),
                                number_text(&number, number_policy(&printed, promise)),
                                instant_text(&from, promise->from)};
        if (!is_open)
            words[4] = instant_text(&until, promise->until);
        print_line(&lines, words, is_open ? 4 : 5);
    }
    text_append(out, heap_text(&printed.lines));
    text_append(out, heap_text(&lines));
    table_free(&printed.table);
    free(printed.begins);
    text_free(&printed.lines);
    text_free(&lines);
}

void history_print(const struct history *history, enum state_file file, struct text *out)
{
    struct stamp first = {0}, last = {0};
    struct number ttl = {0};
    text_append(out, span_of(state_forms[file].header));
    if (file == STATE_PROMISES)
        text_printf(out, "since %s\n",
                    calendar_iso_time(history->since == INT64_MAX ? 0 : history->since).text);
    print_promises(history, file == STATE_SIGHTINGS, out);
    for (size_t i = 0; file == STATE_SIGHTINGS && i < history->sighting_count; i++) {
        const struct sighting *sighting = &history->sightings[i];
        const struct span words[] = {span_of("seen"),
                                     span_of(sighting->domain),
                                     sighting->id.len == 0 ? span_of("-") : sighting->id,
                                     instant_text(&first, sighting->first),
                                     instant_text(&last, sighting->last),
                                     number_text(&ttl, sighting->ttl)};
        print_line(out, words, 6);
    }
    state_file_complete(out);
}
