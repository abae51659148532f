#include "supervise/settings_image.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/limits.h"

/* Another layout has another number. */
static const char MAGIC[] = "mta-sts-httpd settings 5\n";

/* One function for each kind of value both writes and reads it, so that the two cannot differ. */
struct codec {
    struct text *out; /* borrowed; NULL: it reads */
    struct span in;   /* what is still to be read */
    char *room;       /* borrowed; what is left of the room for what is read */
    size_t room_left;
    bool failed;
};

static void fail(struct codec *codec)
{
    codec->failed = true;
    codec->in.len = 0;
}

/* Room for what is read, zeroed; NULL when there is none, or when it writes. */
static void *take(struct codec *codec, size_t count, size_t size)
{
    const size_t align = sizeof(max_align_t);
    size_t rounded = (count * size + align - 1) / align * align; /* both are bounded by INT32_MAX */
    if (codec->out != NULL || count == 0)
        return NULL;
    if (rounded > codec->room_left) {
        fail(codec);
        return NULL;
    }
    char *piece = codec->room;
    codec->room += rounded;
    codec->room_left -= rounded;
    return piece;
}

static void exchange_bytes(struct codec *codec, void *bytes, size_t size)
{
    if (codec->out != NULL) {
        text_append(codec->out, (struct span){bytes, size});
    } else if (codec->in.len < size) {
        memset(bytes, 0, size);
        fail(codec);
    } else {
        memcpy(bytes, codec->in.data, size);
        codec->in = span_skip(codec->in, size);
    }
}

/* A number from least to most; what is read and is not is the least. */
static int64_t exchange_number(struct codec *codec, int64_t value, int64_t least, int64_t most)
{
    exchange_bytes(codec, &value, sizeof(value));
    if (value >= least && value <= most)
        return value;
    fail(codec);
    return least;
}

static void exchange_flag(struct codec *codec, bool *flag)
{
    *flag = exchange_number(codec, *flag ? 1 : 0, 0, 1) == 1;
}

/* How many elements follow, each of which has at least so many bytes. */
static size_t exchange_count(struct codec *codec, size_t count, size_t least, size_t most)
{
    count = (size_t)exchange_number(codec, (int64_t)count, 0, (int64_t)most);
    if (codec->out == NULL && count > codec->in.len / least) {
        fail(codec);
        return 0;
    }
    return count;
}

static void exchange_span(struct codec *codec, struct span *span)
{
    span->len = exchange_count(codec, span->len, 1, INT32_MAX);
    if (codec->out != NULL) {
        text_append(codec->out, *span);
        return;
    }
    span->data = codec->in.data;
    codec->in = span_skip(codec->in, span->len);
}

/* Any bytes, copied. */
static void exchange_copy(struct codec *codec, struct span *bytes)
{
    exchange_span(codec, bytes);
    char *copy = take(codec, bytes->len, 1);
    if (codec->out != NULL)
        return;
    if (copy != NULL)
        memcpy(copy, bytes->data, bytes->len);
    *bytes = (struct span){copy, copy == NULL ? 0 : bytes->len};
}

/* A C string, or NULL. */
static void exchange_text(struct codec *codec, const char **text)
{
    struct span span = {*text, *text == NULL ? 0 : strlen(*text) + 1};
    exchange_copy(codec, &span);
    if (codec->out != NULL)
        return;
    *text = span.data;
    if (span.len > 0 && memchr(span.data, '\0', span.len) != span.data + span.len - 1) {
        *text = NULL;
        fail(codec);
    }
}

/* The text is canonical, so it makes the same address again. */
static void exchange_address(struct codec *codec, struct address *address)
{
    struct span text = span_of(address->text);
    exchange_span(codec, &text);
    if (codec->out == NULL &&
        (!address_parse(text, address) || !span_equal(text, span_of(address->text))))
        fail(codec);
}

static void exchange_proxies(struct codec *codec, struct endpoint *endpoint)
{
    const struct prefix *given = endpoint->proxies;
    size_t count = exchange_count(codec, endpoint->proxy_count, sizeof(given->bytes), INT32_MAX);
    struct prefix *room = take(codec, count, sizeof(*room));
    for (size_t i = 0; i < count && !codec->failed; i++) {
        struct prefix prefix = {0};
        if (codec->out != NULL)
            prefix = given[i];
        exchange_bytes(codec, prefix.bytes, sizeof(prefix.bytes));
        prefix.length = (unsigned)exchange_number(codec, prefix.length, 0, 128);
        if (room != NULL)
            room[i] = prefix;
    }
    endpoint->proxies = codec->out == NULL ? room : given;
    endpoint->proxy_count = count;
}

static void exchange_endpoint(struct codec *codec, struct endpoint *endpoint)
{
    endpoint->service =
        (enum endpoint_service)exchange_number(codec, endpoint->service, 0, ENDPOINT_CHALLENGES);
    exchange_address(codec, &endpoint->address);
    exchange_flag(codec, &endpoint->freebind);
    exchange_flag(codec, &endpoint->v6_only);
    exchange_flag(codec, &endpoint->is_default);
    exchange_flag(codec, &endpoint->plain);
    exchange_flag(codec, &endpoint->redirect);
    exchange_proxies(codec, endpoint);
}

static void exchange_settings(struct codec *codec, struct settings *settings)
{
    settings->listener_count = exchange_count(codec, settings->listener_count, 8, LIMIT_LISTENERS);
    struct endpoint *listeners =
        take(codec, settings->listener_count, sizeof(*settings->listeners));
    if (codec->out == NULL)
        settings->listeners = listeners;
    for (size_t i = 0;
         settings->listeners != NULL && i < settings->listener_count && !codec->failed; i++)
        exchange_endpoint(codec, &settings->listeners[i]);
    exchange_flag(codec, &settings->log.json);
    exchange_flag(codec, &settings->log.anonymize);
    settings->log.access =
        (enum log_access)exchange_number(codec, settings->log.access, 0, LOG_ACCESS_ERRORS);
    settings->workers = (unsigned)exchange_number(codec, settings->workers, 0, LIMIT_WORKERS);
    exchange_text(codec, &settings->state);
    exchange_flag(codec, &settings->state_hangs);
    exchange_flag(codec, &settings->strict);
    exchange_flag(codec, &settings->seal_required);
    settings->certificate_warning =
        exchange_number(codec, settings->certificate_warning, VERDICT_WARNING_DEFAULT, INT64_MAX);
    exchange_text(codec, &settings->acme.alpn);
    exchange_text(codec, &settings->acme.webroot);
}

static void exchange_paths(struct codec *codec, struct watch_path **list)
{
    size_t count = 0;
    for (const struct watch_path *path = *list; path != NULL; path = path->next)
        count++;
    count = exchange_count(codec, count, 8, INT32_MAX);
    struct watch_path *path = *list;
    for (size_t i = 0; i < count && !codec->failed; i++) {
        struct watch_path *room = take(codec, 1, sizeof(*path));
        if (codec->out == NULL)
            *list = path = room;
        if (path == NULL)
            return;
        exchange_text(codec, &path->path);
        path->line = (uint32_t)exchange_number(codec, path->line, 0, UINT32_MAX);
        path->column = (uint32_t)exchange_number(codec, path->column, 0, UINT32_MAX);
        if (path->path == NULL)
            fail(codec);
        list = &path->next;
        path = path->next;
    }
}

static void exchange_watch(struct codec *codec, struct watch *watch)
{
    exchange_text(codec, &watch->file);
    if (watch->file == NULL)
        fail(codec);
    for (size_t part = 0; part < WATCH_PARTS; part++) {
        exchange_paths(codec, &watch->paths[part]);
        exchange_flag(codec, &watch->is_wanted[part]);
        exchange_bytes(codec, &watch->read.parts[part], sizeof(watch->read.parts[part]));
    }
}

/* Printable bytes, and the ends of lines if there may be any: they come into the log and files. */
static void exchange_words(struct codec *codec, struct span *words, bool are_lines)
{
    exchange_span(codec, words);
    for (size_t i = 0; codec->out == NULL && i < words->len; i++)
        if ((words->data[i] < ' ' || words->data[i] > '~') &&
            !(are_lines && words->data[i] == '\n')) {
            *words = (struct span){0};
            fail(codec);
        }
}

static void exchange(struct codec *codec, struct settings_image *image)
{
    char magic[sizeof(MAGIC)];
    memcpy(magic, MAGIC, sizeof(MAGIC));
    exchange_bytes(codec, magic, sizeof(magic));
    if (memcmp(magic, MAGIC, sizeof(MAGIC)) != 0)
        fail(codec);
    exchange_words(codec, &image->domain_lines, true);
    exchange_words(codec, &image->change_lines, true);
    exchange_words(codec, &image->change_clause, false);
    if (codec->out == NULL) {
        /* Each part has at least an eighth of the bytes here that it takes there. */
        codec->room_left = 8 * (codec->in.len + 1);
        image->room = codec->room = calloc(1, codec->room_left);
        if (codec->room == NULL)
            fail(codec);
    }
    exchange_settings(codec, &image->settings);
    exchange_watch(codec, &image->watch);
    image->uid = (uid_t)exchange_number(codec, image->uid, 1, (int64_t)UINT32_MAX - 1);
    image->gid = (gid_t)exchange_number(codec, image->gid, 1, (int64_t)UINT32_MAX - 1);
    for (size_t i = 0; i < STATS_LOADED; i++) {
        bool counts = i < STATS_NOT_AFTER; /* and is no instant */
        image->gauges[i] = exchange_number(codec, image->gauges[i], counts ? 0 : INT64_MIN,
                                           counts ? INT32_MAX : INT64_MAX);
    }
    exchange_copy(codec, &image->told);
}

void settings_image_print(const struct settings_image *image, struct text *out)
{
    struct codec codec = {.out = out};
    struct settings_image copy = *image; /* whose parts are only read when they are written */
    exchange(&codec, &copy);
    out->failed = out->failed || codec.failed;
}

struct settings_image *settings_image_parse(struct span bytes)
{
    struct codec codec = {.in = bytes};
    struct settings_image *image = calloc(1, sizeof(*image));
    if (image == NULL)
        return NULL;
    errno = EINVAL; /* unless memory is short */
    exchange(&codec, image);
    if (!codec.failed && codec.in.len == 0)
        return image;
    int reason = errno;
    settings_image_free(image);
    errno = reason;
    return NULL;
}

struct settings_image *settings_image_open(int fd)
{
    struct memory_map map = {0};
    if (!memory_file_map(fd, LIMIT_SETTINGS_IMAGE, &map))
        return NULL;
    struct settings_image *image = settings_image_parse((struct span){map.data, map.size});
    if (image == NULL) {
        memory_map_free(&map);
        return NULL;
    }
    /* No child needs it, and each would keep it until it ends. */
    (void)madvise((void *)(uintptr_t)map.data, map.size, MADV_DONTFORK);
    image->map = map;
    return image;
}

void settings_image_free(struct settings_image *image)
{
    if (image == NULL)
        return;
    memory_map_free(&image->map);
    free(image->room);
    free(image);
}

int64_t settings_image_domains(const struct settings_image *image)
{
    int64_t count = 0;
    for (size_t state = STATS_DOMAINS_REFUSED; state <= STATS_DOMAINS_SERVED; state++)
        count += image->gauges[state];
    return count;
}
