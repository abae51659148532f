#include "load/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/calendar.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"
#include "load/state_file.h"
#include "policy/name.h"

const char HISTORY_PROMISES[] = "served-policies.txt";
const char HISTORY_SIGHTINGS[] = "seen-records.txt";
static const char HEADER_PROMISES[] =
    "# mta-sts-httpd: the policies that senders may hold, written by the program. Form 1.\n";
static const char HEADER_SIGHTINGS[] =
    "# mta-sts-httpd: the ids that were seen in the DNS, written by the program. Form 1.\n";

/* A promise or a sighting, and whose. */
struct item {
    const char *domain;
    struct promise promise;
    struct sighting sighting;
    bool is_seen; /* a promise that a look at a server has found, in the file of what was seen */
};

struct list {
    struct item *items; /* owned */
    size_t count, capacity;
};

struct history {
    struct arena *arena; /* owned; names and policies that come from no file */
    char **files;        /* owned, and what they point to; the rest of the texts */
    size_t file_count, file_capacity;
    struct list promises, sightings;
    int64_t since;
    bool is_unread;
    int64_t clock;        /* as it was settled by */
    struct promise *flat; /* owned; as settled: those of a domain follow each other */
    struct sighting *flat_sightings;
    struct history_domain *domains; /* owned */
    size_t domain_count;
};

struct history *history_new(void)
{
    struct history *history = heap_take(1, sizeof(*history));
    history->since = history->clock = INT64_MAX;
    history->arena = arena_new();
    return history;
}

static void free_settled(struct history *history)
{
    free(history->flat);
    free(history->flat_sightings);
    free(history->domains);
    history->flat = NULL;
    history->flat_sightings = NULL;
    history->domains = NULL;
    history->domain_count = 0;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    free_settled(history);
    for (size_t i = 0; i < history->file_count; i++)
        free(history->files[i]);
    free(history->files);
    free(history->promises.items);
    free(history->sightings.items);
    arena_free(history->arena);
    free(history);
}

static void add(struct list *list, const struct item *item)
{
    array_room(&list->items, list->count, &list->capacity, sizeof(*item));
    list->items[list->count++] = *item;
}

/* Reading. */

/* Takes the next word of the line, which is not empty. False when there is none, or nothing behind a
 * space. */
static bool take_word(struct span *rest, struct span *ret_word)
{
    const char *space = rest->len == 0 ? NULL : memchr(rest->data, ' ', rest->len);
    *ret_word = *rest;
    if (space != NULL)
        ret_word->len = (size_t)(space - rest->data);
    *rest = span_skip(*rest, ret_word->len + (space == NULL ? 0 : 1));
    return ret_word->len > 0 && (space == NULL || rest->len > 0);
}

static bool take_number(struct span *rest, uint32_t *ret_number)
{
    struct span word;
    uint32_t number = 0;
    if (!take_word(rest, &word))
        return false;
    for (size_t i = 0; i < word.len; i++)
        if (!ascii_is_digit(word.data[i]) || __builtin_mul_overflow(number, 10U, &number) ||
            __builtin_add_overflow(number, (uint32_t)(word.data[i] - '0'), &number))
            return false;
    *ret_number = number;
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

/* Lines of one domain follow each other, so its name is judged and kept once. */
static bool take_domain(struct history *history, struct span *rest, const char *before,
                        const char **ret_domain)
{
    struct span word;
    if (!take_word(rest, &word) || word.len + strlen("mta-sts.") > LIMIT_NAME)
        return false;
    *ret_domain = before;
    if (before != NULL && span_equal(span_of(before), word))
        return true;
    *ret_domain = is_name(word, NAME_HOST) ? arena_copy(history->arena, word) : NULL;
    return *ret_domain != NULL;
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
    size_t count, capacity;
};

/* "DOMAIN NUMBER FROM [UNTIL]" */
static bool read_promise(struct history *history, struct span line, bool is_open,
                         const struct policies *policies, struct item *ret_item)
{
    const struct list *list = &history->promises;
    const char *before = list->count == 0 ? NULL : list->items[list->count - 1].domain;
    uint32_t number = 0;
    int64_t from = 0, until = PROMISE_OPEN;
    if (!take_domain(history, &line, before, &ret_item->domain) || !take_number(&line, &number) ||
        number >= policies->count || !take_instant(&line, &from) ||
        (!is_open && !take_instant(&line, &until)) || line.len > 0 || from > until)
        return false;
    ret_item->promise = policies->items[number];
    ret_item->promise.from = from;
    ret_item->promise.until = until;
    return true;
}

static bool read_promise_line(struct history *history, struct policies *policies, struct span line,
                              bool is_seen)
{
    struct span word;
    struct item item = {.is_seen = is_seen};
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
        array_room(&policies->items, policies->count, &policies->capacity,
                   sizeof(*policies->items));
        policies->items[policies->count] = (struct promise){0};
        return read_policy(line, &policies->items[policies->count++]);
    }
    bool is_open = span_equal(word, span_of("served"));
    if ((!is_open && !span_equal(word, span_of("held"))) ||
        !read_promise(history, line, is_open, policies, &item))
        return false;
    add(&history->promises, &item);
    return true;
}

/* "seen DOMAIN ID FIRST LAST TTL", where "-" is no record, and policies as in the other file */
static bool read_sighting_line(struct history *history, struct policies *policies, struct span line)
{
    struct span word, whole = line;
    struct item item = {0};
    struct list *list = &history->sightings;
    struct sighting *sighting = &item.sighting;
    const char *before = list->count == 0 ? NULL : list->items[list->count - 1].domain;
    if (!take_word(&line, &word) || !span_equal(word, span_of("seen")))
        return read_promise_line(history, policies, whole, true);
    if (!take_domain(history, &line, before, &item.domain))
        return false;
    if (line.len >= 2 && memcmp(line.data, "- ", 2) == 0)
        line = span_skip(line, 2);
    else if (!take_id(&line, &sighting->id))
        return false;
    if (!take_instant(&line, &sighting->first) || !take_instant(&line, &sighting->last) ||
        !take_number(&line, &sighting->ttl) || line.len > 0 || sighting->ttl > INT32_MAX ||
        sighting->first > sighting->last)
        return false;
    add(list, &item);
    return true;
}

static bool read_lines(struct history *history, struct text *bytes, const char *header,
                       bool is_promises)
{
    struct span rest = {bytes->data, bytes->len};
    struct policies policies = {0};
    const size_t promises = history->promises.count, sightings = history->sightings.count;
    const int64_t since = history->since;
    bool good = state_file_is_whole(rest, header);
    rest = good ? span_skip(state_file_body(rest), strlen(header)) : (struct span){0};
    /* What is read borrows from the bytes, which the history frees. */
    array_room(&history->files, history->file_count, &history->file_capacity,
               sizeof(*history->files));
    history->files[history->file_count++] = bytes->data;
    *bytes = (struct text){0};
    while (good && rest.len > 0) {
        const char *end = memchr(rest.data, '\n', rest.len);
        good = end != NULL;
        if (!good)
            break;
        struct span line = {rest.data, (size_t)(end - rest.data)};
        rest = span_skip(rest, line.len + 1);
        good = is_promises ? read_promise_line(history, &policies, line, false)
                           : read_sighting_line(history, &policies, line);
    }
    if (good && is_promises && history->since == INT64_MAX)
        good = false;
    if (!good) {
        history->promises.count = promises;
        history->sightings.count = sightings;
        history->since = since;
    }
    free(policies.items);
    return good;
}

bool history_read_promises(struct history *history, struct text *bytes)
{
    return read_lines(history, bytes, HEADER_PROMISES, true);
}

bool history_read_sightings(struct history *history, struct text *bytes)
{
    return read_lines(history, bytes, HEADER_SIGHTINGS, false);
}

static bool take_file(struct history *history, const char *folder, const char *name, int error,
                      struct text *bytes, struct position at, struct diag *diag)
{
    bool is_promises = name == HISTORY_PROMISES;
    if (error == ENOENT)
        return true;
    if (error != 0) {
        history->is_unread = true;
        diag_add(diag, DIAG_WARNING, at, "%s/%s cannot be read: %s", folder, name,
                 state_file_error(error));
        return false;
    }
    if ((is_promises ? history_read_promises : history_read_sightings)(history, bytes))
        return true;
    diag_add(diag, DIAG_WARNING, at, "%s/%s is damaged or of another program, and is ignored",
             folder, name);
    diag_reason(diag, is_promises ? "it is not known which policies senders hold; they remember "
                                    "one for a year at most"
                                  : "it is not known which ids were in the DNS");
    return false;
}

static const char *const names[] = {HISTORY_PROMISES, HISTORY_SIGHTINGS};

void history_fetch(const char *folder, struct history_files *ret_files)
{
    for (size_t i = 0; i < 2; i++)
        ret_files->errors[i] = state_file_read(folder, names[i], &ret_files->bytes[i]) ? 0 : errno;
}

bool history_take(struct history *history, const char *folder, struct history_files *files,
                  struct position at, struct diag *diag)
{
    bool good = true;
    for (size_t i = 0; i < 2; i++) {
        good = take_file(history, folder, names[i], files->errors[i], &files->bytes[i], at, diag) &&
               good;
        text_free(&files->bytes[i]);
    }
    return good;
}

bool history_read(struct history *history, const char *folder, struct position at,
                  struct diag *diag)
{
    struct history_files files = {0};
    history_fetch(folder, &files);
    return history_take(history, folder, &files, at, diag);
}

/* Settling. */

static int compare_spans(struct span one, struct span other)
{
    size_t len = one.len < other.len ? one.len : other.len;
    int order = len == 0 || one.data == other.data ? 0 : memcmp(one.data, other.data, len);
    return order != 0 ? order : one.len < other.len ? -1 : one.len > other.len;
}

static int compare_numbers(int64_t one, int64_t other)
{
    return one < other ? -1 : one > other;
}

/* By domain and by what makes two promises the same one; of which there are two when another server has
 * it too. */
static int compare_promises(const void *left, const void *right)
{
    const struct item *one = left, *other = right;
    int order = one->domain == other->domain ? 0 : strcmp(one->domain, other->domain);
    if (order == 0)
        order = (int)one->is_seen - (int)other->is_seen;
    if (order == 0)
        order = compare_spans(one->promise.id, other->promise.id);
    if (order == 0)
        order = compare_numbers(one->promise.mode, other->promise.mode);
    if (order == 0)
        order = compare_numbers(one->promise.max_age, other->promise.max_age);
    return order == 0 ? compare_spans(one->promise.mx, other->promise.mx) : order;
}

static int compare_sightings(const void *left, const void *right)
{
    const struct item *one = left, *other = right;
    int order = one->domain == other->domain ? 0 : strcmp(one->domain, other->domain);
    if (order == 0)
        order = compare_numbers(one->sighting.first, other->sighting.first);
    if (order == 0)
        order = compare_numbers(one->sighting.last, other->sighting.last);
    return order == 0 ? compare_spans(one->sighting.id, other->sighting.id) : order;
}

typedef int compare(const void *left, const void *right);

/* What was written by us is in order already. */
static void sort(struct list *list, compare *order)
{
    for (size_t i = 1; i < list->count; i++)
        if (order(&list->items[i - 1], &list->items[i]) > 0) {
            qsort(list->items, list->count, sizeof(*list->items), order);
            return;
        }
}

/* The same again widens what is there. */
static void unite_promises(struct list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct item *item = &list->items[i];
        struct item *last = count == 0 ? NULL : &list->items[count - 1];
        if (last == NULL || compare_promises(last, item) != 0) {
            list->items[count++] = *item;
            continue;
        }
        if (item->promise.from < last->promise.from)
            last->promise.from = item->promise.from;
        if (item->promise.until > last->promise.until)
            last->promise.until = item->promise.until;
    }
    list->count = count;
}

static void unite_sightings(struct list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct item *item = &list->items[i];
        struct item *last = count == 0 ? NULL : &list->items[count - 1];
        if (last == NULL || compare_sightings(last, item) != 0)
            list->items[count++] = *item;
        else if (item->sighting.ttl > last->sighting.ttl)
            last->sighting.ttl = item->sighting.ttl;
    }
    list->count = count;
}

static void cut(int64_t *instant, int64_t now)
{
    if (*instant > now && *instant != PROMISE_OPEN)
        *instant = now;
}

static void later(int64_t *newest, int64_t instant)
{
    if (instant != PROMISE_OPEN && instant > *newest)
        *newest = instant;
}

/* Brings all instants in line with the clock. Returns the time to count with. */
static int64_t align(struct history *history, int64_t clock)
{
    int64_t newest = history->since == INT64_MAX ? INT64_MIN : history->since;
    for (size_t i = 0; i < history->promises.count; i++) {
        later(&newest, history->promises.items[i].promise.from);
        later(&newest, history->promises.items[i].promise.until);
    }
    for (size_t i = 0; i < history->sightings.count; i++)
        later(&newest, history->sightings.items[i].sighting.last);
    if (newest > clock + LIMIT_PROMISE_MARGIN)
        return newest;
    if (history->since != INT64_MAX)
        cut(&history->since, clock);
    for (size_t i = 0; i < history->promises.count; i++) {
        cut(&history->promises.items[i].promise.from, clock);
        cut(&history->promises.items[i].promise.until, clock);
    }
    for (size_t i = 0; i < history->sightings.count; i++) {
        cut(&history->sightings.items[i].sighting.first, clock);
        cut(&history->sightings.items[i].sighting.last, clock);
    }
    return clock;
}

/* The index behind the last item of the domain. */
static size_t end_of(const struct list *list, size_t begin, const char *domain)
{
    while (begin < list->count && strcmp(list->items[begin].domain, domain) == 0)
        begin++;
    return begin;
}

/* Lays out promises and sightings so that those of a domain follow each other. */
static void flatten(struct history *history)
{
    const struct list *promises = &history->promises, *sightings = &history->sightings;
    free_settled(history);
    history->flat = heap_take(promises->count, sizeof(*history->flat));
    history->flat_sightings = heap_take(sightings->count, sizeof(*history->flat_sightings));
    history->domains = heap_take(promises->count + sightings->count, sizeof(*history->domains));
    for (size_t i = 0; i < promises->count; i++)
        history->flat[i] = promises->items[i].promise;
    for (size_t i = 0; i < sightings->count; i++)
        history->flat_sightings[i] = sightings->items[i].sighting;
    for (size_t i = 0, k = 0; i < promises->count || k < sightings->count;) {
        const char *one = i < promises->count ? promises->items[i].domain : NULL;
        const char *other = k < sightings->count ? sightings->items[k].domain : NULL;
        const char *name = one == NULL || (other != NULL && strcmp(other, one) < 0) ? other : one;
        if (name == NULL)
            break; /* the loop's condition says so as well */
        size_t end = end_of(promises, i, name), sighting_end = end_of(sightings, k, name);
        history->domains[history->domain_count++] =
            (struct history_domain){name, i, end - i, k, sighting_end - k};
        i = end;
        k = sighting_end;
    }
}

int64_t history_settle(struct history *history, int64_t clock)
{
    sort(&history->promises, compare_promises);
    unite_promises(&history->promises);
    sort(&history->sightings, compare_sightings);
    unite_sightings(&history->sightings);
    history->clock = clock;
    int64_t now = align(history, clock);
    flatten(history);
    return now;
}

bool history_is_unread(const struct history *history)
{
    return history->is_unread;
}

int64_t history_since(const struct history *history)
{
    return history->since;
}

size_t history_count(const struct history *history)
{
    return history->domain_count;
}

const struct history_domain *history_at(const struct history *history, size_t index)
{
    return &history->domains[index];
}

const struct history_domain *history_find(const struct history *history, struct span domain)
{
    size_t low = 0, high = history->domain_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_spans(span_of(history->domains[middle].name), domain);
        if (order == 0)
            return &history->domains[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

struct promise_facts history_facts(const struct history *history,
                                   const struct history_domain *domain, int64_t now)
{
    struct promise_facts facts = {.now = now, .clock = now < history->clock ? now : history->clock};
    if (domain != NULL) {
        facts.promises = history->flat + domain->first;
        facts.count = domain->count;
        facts.sightings = history->flat_sightings + domain->first_sighting;
        facts.sighting_count = domain->sighting_count;
    }
    return facts;
}

/* Recording. */

/* Whether the promise is the policy: its id and its bytes. */
static bool is_of(const struct promise *promise, const struct policy *policy)
{
    return span_equal(promise->id, span_of(policy_id(policy))) &&
           promise_has_bytes(promise, policy);
}

/* Domains that use one policy mostly follow each other, so its texts are taken once. */
struct copied {
    const struct policy *policy;
    struct promise promise;
};

static void copy_policy(struct history *history, const struct policy *policy, struct copied *copied)
{
    struct text mx = {0};
    if (copied->policy == policy)
        return;
    for (size_t i = 0; i < policy_mx_count(policy); i++) {
        text_append(&mx, span_of(i == 0 ? "" : " "));
        text_append(&mx, policy_mx(policy, i));
    }
    const char *id = arena_copy(history->arena, span_of(policy_id(policy)));
    const char *text = arena_copy(history->arena, heap_text(&mx));
    *copied = (struct copied){
        policy, {policy_mode(policy), policy_max_age(policy), span_of(id), {text, mx.len}, 0, 0}};
    text_free(&mx);
}

static void add_served(struct history *history, const struct site_domain *domain, int64_t from,
                       struct copied *copied)
{
    struct item item = {.domain = arena_copy(history->arena, site_name_span(domain))};
    copy_policy(history, site_policy(domain), copied);
    item.promise = copied->promise;
    item.promise.from = from;
    item.promise.until = PROMISE_OPEN;
    add(&history->promises, &item);
}

void history_assume(struct history *history, const struct site *site, int64_t from)
{
    struct copied copied = {0};
    for (size_t i = 0; i < site_count(site); i++)
        if (site_policy(site_at(site, i)) != NULL)
            add_served(history, site_at(site, i), from, &copied);
    history->since = history->since == INT64_MAX ? from : history->since;
}

/* Of the promises of the domain, which is settled, the one of the policy; or NULL. */
static struct item *find_promise(struct history *history, const struct site_domain *domain)
{
    const struct history_domain *known = history_find(history, site_name_span(domain));
    for (size_t i = 0; known != NULL && i < known->count; i++) {
        struct item *item = &history->promises.items[known->first + i];
        if (!item->is_seen && is_of(&item->promise, site_policy(domain)))
            return item;
    }
    return NULL;
}

/* A clock that is a year ahead must not forget what is held: hence so long after the last possible day. */
static bool is_over(const struct promise *promise, int64_t now)
{
    return promise->until != PROMISE_OPEN &&
           now - LIMIT_PROMISE_KEPT - (int64_t)promise->max_age > promise->until;
}

static void drop_over(struct list *list, int64_t now)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        if (!is_over(&list->items[i].promise, now))
            list->items[count++] = list->items[i];
    list->count = count;
}

void history_serve(struct history *history, const struct site *const *sites, size_t count,
                   int64_t now)
{
    struct copied copied = {0};
    const size_t known = history->promises.count;
    for (size_t i = 0; i < known; i++)
        cut(&history->promises.items[i].promise.from, now);
    /* Those that are served are marked; then the rest is closed. */
    bool *is_served = heap_take(known, sizeof(*is_served));
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < site_count(sites[s]); i++) {
            const struct site_domain *domain = site_at(sites[s], i);
            struct item *item = site_policy(domain) == NULL ? NULL : find_promise(history, domain);
            if (item != NULL)
                is_served[item - history->promises.items] = true;
            else if (site_policy(domain) != NULL)
                add_served(history, domain, now, &copied);
        }
    for (size_t i = 0; i < known; i++) {
        struct promise *promise = &history->promises.items[i].promise;
        if (is_served[i])
            promise->until = PROMISE_OPEN;
        else if (promise->until == PROMISE_OPEN && !history->promises.items[i].is_seen)
            promise->until = now;
    }
    free(is_served);
    if (history->since == INT64_MAX)
        history->since = now;
    drop_over(&history->promises, now);
    (void)history_settle(history, now); /* by the same clock */
}

void history_see(struct history *history, const char *domain, struct span id, uint32_t ttl,
                 int64_t now)
{
    const struct history_domain *known = history_find(history, span_of(domain));
    struct item *last = NULL;
    for (size_t i = 0; known != NULL && i < known->sighting_count; i++) {
        struct item *item = &history->sightings.items[known->first_sighting + i];
        if (last == NULL || item->sighting.last > last->sighting.last)
            last = item;
    }
    if (last != NULL && span_equal(last->sighting.id, id)) {
        last->sighting.last = now > last->sighting.last ? now : last->sighting.last;
        last->sighting.ttl = ttl > last->sighting.ttl ? ttl : last->sighting.ttl;
        return;
    }
    struct item item = {.domain = arena_copy(history->arena, span_of(domain)),
                        .sighting = {.first = now, .last = now, .ttl = ttl}};
    item.sighting.id = (struct span){arena_copy(history->arena, id), id.len};
    add(&history->sightings, &item);
}

static bool has_bytes_of(const struct promise *one, const struct promise *other)
{
    return one->mode == other->mode && one->max_age == other->max_age &&
           span_equal(one->mx, other->mx);
}

static void add_seen(struct history *history, const char *domain, const struct promise *seen,
                     int64_t now)
{
    struct item item = {
        .domain = arena_copy(history->arena, span_of(domain)), .promise = *seen, .is_seen = true};
    item.promise.id.data = arena_copy(history->arena, seen->id);
    item.promise.mx.data = arena_copy(history->arena, seen->mx);
    item.promise.from = now;
    item.promise.until = PROMISE_OPEN;
    add(&history->promises, &item);
}

void history_see_policies(struct history *history, const char *domain, const struct promise *seen,
                          size_t count, bool is_whole, int64_t now)
{
    const struct history_domain *known = history_find(history, span_of(domain));
    const size_t first = known == NULL ? 0 : known->first,
                 end = known == NULL ? 0 : first + known->count;
    for (size_t i = first; i < end && is_whole; i++) {
        struct item *item = &history->promises.items[i];
        if (item->is_seen && item->promise.until == PROMISE_OPEN)
            item->promise.until = now;
    }
    for (size_t k = 0; k < count; k++) {
        struct item *old = NULL;
        bool is_ours = false;
        for (size_t i = first; i < end; i++) {
            struct item *item = &history->promises.items[i];
            if (!has_bytes_of(&item->promise, &seen[k]))
                continue;
            is_ours = is_ours || (!item->is_seen && item->promise.until == PROMISE_OPEN);
            if (item->is_seen && span_equal(item->promise.id, seen[k].id))
                old = item;
        }
        if (is_ours)
            continue;
        if (old != NULL)
            old->promise.until = PROMISE_OPEN;
        else
            add_seen(history, domain, &seen[k], now);
    }
}

/* Printing. */

/* The instant that was printed last: most are equal. */
struct stamp {
    int64_t instant;
    char text[CALENDAR_ISO_SIZE];
};

static void print_instant(struct stamp *stamp, int64_t instant, struct text *out)
{
    if (stamp->text[0] == '\0' || stamp->instant != instant) {
        calendar_iso_time(instant, stamp->text);
        stamp->instant = instant;
    }
    text_append(out, (struct span){stamp->text, CALENDAR_ISO_SIZE - 1});
}

static void print_number(uint64_t number, struct text *out)
{
    char digits[20];
    size_t begin = sizeof(digits);
    do {
        digits[--begin] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_append(out, (struct span){digits + begin, sizeof(digits) - begin});
}

static void print_word(struct text *out, struct span word)
{
    text_append(out, word);
    text_append(out, (struct span){" ", 1});
}

/* The lines of policies, each once. */
struct printed {
    struct text lines;
    size_t *begins; /* owned */
    size_t count, capacity;
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

static void print_policy(const struct promise *promise, struct text *out)
{
    print_word(out, (struct span){"policy", 6});
    print_word(out, span_of(policy_mode_text(promise->mode)));
    print_number(promise->max_age, out);
    print_word(out, (struct span){"", 0});
    print_word(out, promise->id);
    text_append(out, promise->mx);
    text_append(out, (struct span){"\n", 1});
}

/* The number of the policy, whose line is added when it is not there. */
static size_t number_policy(struct printed *printed, const struct promise *promise)
{
    const size_t begin = printed->lines.len;
    print_policy(promise, &printed->lines);
    array_room(&printed->begins, printed->count, &printed->capacity, sizeof(*printed->begins));
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
    for (size_t i = 0; i < history->promises.count; i++) {
        const struct item *item = &history->promises.items[i];
        if (item->is_seen != is_seen)
            continue;
        size_t number = number_policy(&printed, &item->promise);
        print_word(&lines, span_of(item->promise.until == PROMISE_OPEN ? "served" : "held"));
        print_word(&lines, span_of(item->domain));
        print_number(number, &lines);
        text_append(&lines, (struct span){" ", 1});
        print_instant(&from, item->promise.from, &lines);
        if (item->promise.until != PROMISE_OPEN) {
            text_append(&lines, (struct span){" ", 1});
            print_instant(&until, item->promise.until, &lines);
        }
        text_append(&lines, (struct span){"\n", 1});
    }
    text_append(out, heap_text(&printed.lines));
    text_append(out, heap_text(&lines));
    table_free(&printed.table);
    free(printed.begins);
    text_free(&printed.lines);
    text_free(&lines);
}

void history_print_promises(const struct history *history, struct text *out)
{
    struct stamp since = {0};
    text_append(out, span_of(HEADER_PROMISES));
    print_word(out, span_of("since"));
    print_instant(&since, history->since == INT64_MAX ? 0 : history->since, out);
    text_append(out, (struct span){"\n", 1});
    print_promises(history, false, out);
    state_file_complete(out);
}

void history_print_sightings(const struct history *history, struct text *out)
{
    struct stamp first = {0}, last = {0};
    text_append(out, span_of(HEADER_SIGHTINGS));
    print_promises(history, true, out);
    for (size_t i = 0; i < history->sightings.count; i++) {
        const struct item *item = &history->sightings.items[i];
        print_word(out, span_of("seen"));
        print_word(out, span_of(item->domain));
        print_word(out, item->sighting.id.len == 0 ? span_of("-") : item->sighting.id);
        print_instant(&first, item->sighting.first, out);
        text_append(out, (struct span){" ", 1});
        print_instant(&last, item->sighting.last, out);
        text_append(out, (struct span){" ", 1});
        print_number(item->sighting.ttl, out);
        text_append(out, (struct span){"\n", 1});
    }
    state_file_complete(out);
}
