#include "load/challenger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/heap.h"
#include "base/log.h"
#include "certificates/certificate.h"
#include "certificates/key.h"
#include "certificates/pem.h"

/* A certificate or a key of a folder, until they are matched. */
struct piece {
    struct span host; /* of a certificate */
    struct span der;
    struct span info; /* SubjectPublicKeyInfo */
    const char *file;
    struct piece *next;
};

/* Of all folders. */
struct reading {
    struct arena *arena; /* owned; what the challenges borrow from */
    struct challenge items[LIMIT_CHALLENGES];
    size_t count;
    struct text trouble; /* the first file that was left out and why, or nothing */
    size_t left_out;     /* how many were */
    int lack;            /* an errno: why what is there was not seen as a whole; or 0 */
    const char *folder;  /* that is read now, and what was found in it */
    struct piece *certificates;
    struct piece *keys;
};

/* Whether the machine lacks something for the moment, which is remembered: what is there was not seen,
 * and that is not the same as that it is not there. */
static bool is_lack(struct reading *reading, int error)
{
    if (error == ENOMEM)
        heap_end();
    bool is = error == EMFILE || error == ENFILE || error == ENOBUFS || error == EIO;
    if (is)
        reading->lack = error;
    return is;
}

static void leave_out(struct reading *reading, const char *name, const char *why)
{
    if (reading->left_out++ > 0)
        return;
    text_printf(&reading->trouble, "%s/", reading->folder);
    text_escape(&reading->trouble, span_of(name), 100);
    text_printf(&reading->trouble, " %s", why);
}

static struct span keep(struct reading *reading, struct span bytes)
{
    return (struct span){arena_copy(reading->arena, bytes), bytes.len};
}

static struct piece *add_piece(struct reading *reading, struct piece **list, const char *name,
                               struct span der, struct span info)
{
    struct piece *piece = arena_take(reading->arena, sizeof(*piece));
    *piece = (struct piece){.der = keep(reading, der),
                            .info = keep(reading, info),
                            .file = keep(reading, span_of(name)).data,
                            .next = *list};
    *list = piece;
    return piece;
}

static void take_certificate(struct reading *reading, const char *name, struct span der)
{
    struct certificate *facts = certificate_new(der);
    if (facts->der.len == 0)
        leave_out(reading, name, "cannot be read");
    else if (!facts->flags.is_challenge)
        leave_out(reading, name, "is not one for tls-alpn-01 (RFC 8737)");
    else if (facts->name_count != 1)
        leave_out(reading, name, "does not name exactly one host");
    else
        add_piece(reading, &reading->certificates, name, der, facts->info)->host =
            keep(reading, facts->names[0]);
    certificate_free(facts);
}

/* It is good for this challenge only, so that nobody needs to wipe it afterwards. */
static void take_key(struct reading *reading, const char *name, struct span der)
{
    struct public_key kind;
    struct private_key *key = private_key_new(der, &kind);
    if (key != NULL)
        (void)add_piece(reading, &reading->keys, name, key->der, key->info); /* it is complete */
    else
        leave_out(reading, name, "holds a key that this server does not take");
    private_key_free(key);
}

/* What is being written at this moment will be read again. */
static void take_blocks(struct reading *reading, const char *name, struct span bytes)
{
    unsigned char der[LIMIT_CHALLENGE_FILE];
    struct pem_block block;
    for (struct pem_reader reader = pem_begin(bytes); pem_next(&reader, &block);) {
        if (block.fault != PEM_SOUND || block.encrypted)
            continue;
        struct span label = block.label, secret = span_of("PRIVATE KEY");
        pem_decode(&block, der);
        struct span decoded = {(const char *)der, block.der_len};
        if (span_equal(label, span_of("CERTIFICATE")))
            take_certificate(reading, name, decoded);
        else if (label.len >= secret.len &&
                 span_equal(span_skip(label, label.len - secret.len), secret))
            take_key(reading, name, decoded);
    }
    private_key_wipe(der, sizeof(der));
}

static void add(struct reading *reading, const char *file, struct challenge challenge)
{
    if (reading->count == LIMIT_CHALLENGES)
        leave_out(reading, file, "is one challenge too many");
    else if (challenge.name.len + challenge.answer.len + challenge.key.len > LIMIT_CHALLENGE)
        leave_out(reading, file, "is too large for a challenge");
    else
        reading->items[reading->count++] = challenge;
}

/* A certificate whose key is not there yet is nobody's fault. */
static void match(struct reading *reading)
{
    for (const struct piece *one = reading->certificates; one != NULL; one = one->next)
        for (const struct piece *key = reading->keys; key != NULL; key = key->next)
            if (one->info.len > 0 && span_equal(one->info, key->info)) {
                add(reading, one->file,
                    (struct challenge){CHALLENGE_ALPN, one->host, one->der, key->der});
                break;
            }
}

/* RFC 8555 section 8.3 lets the authority ignore white space behind it; so nobody needs to see it. */
static void take_authorization(struct reading *reading, const char *name, struct span bytes)
{
    struct span token = span_of(name);
    while (bytes.len > 0 && memchr(" \t\r\n", bytes.data[bytes.len - 1], 4) != NULL)
        bytes.len--;
    if (bytes.len == 0)
        return; /* being written */
    if (bytes.len <= token.len || bytes.data[token.len] != '.' ||
        !span_equal((struct span){bytes.data, token.len}, token) ||
        !span_is_word(span_skip(bytes, token.len + 1), "-_")) {
        leave_out(reading, name, "does not hold the key authorization of its token");
        return;
    }
    add(reading, name,
        (struct challenge){
            .kind = CHALLENGE_HTTP, .name = keep(reading, token), .answer = keep(reading, bytes)});
}

/* Reads a small regular file; returns how many bytes, or why not in ret_why (NULL: it is gone, or
 * could not be looked at). */
static size_t read_file(struct reading *reading, int folder, const char *name, char *buffer,
                        const char **ret_why)
{
    struct stat status;
    size_t len = 0;
    ssize_t count = 0;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    *ret_why = NULL;
    if (fd < 0) {
        if (!is_lack(reading, errno) && errno != ENOENT)
            *ret_why = errno == ELOOP ? "is a link, which is not followed" : strerror(errno);
        return 0;
    }
    if (fstat(fd, &status) != 0) {
        reading->lack = errno;
    } else if (!S_ISREG(status.st_mode)) {
        *ret_why = "is not a file";
    } else {
        while (len <= LIMIT_CHALLENGE_FILE &&
               (count = read(fd, buffer + len, LIMIT_CHALLENGE_FILE + 1 - len)) > 0)
            len += (size_t)count;
        if (count < 0 && !is_lack(reading, errno))
            *ret_why = strerror(errno);
        else if (len > LIMIT_CHALLENGE_FILE)
            *ret_why = "is too large for a challenge";
    }
    (void)close(fd); /* it was only read */
    return len;
}

static void take_file(struct reading *reading, enum challenge_kind kind, int folder,
                      const char *name)
{
    char bytes[LIMIT_CHALLENGE_FILE + 1];
    const char *why = NULL;
    if (kind == CHALLENGE_HTTP && !span_is_word(span_of(name), "-_")) {
        leave_out(reading, name, "has a name that no authority asks for");
        return;
    }
    size_t len = read_file(reading, folder, name, bytes, &why);
    if (why != NULL)
        leave_out(reading, name, why);
    else if (kind == CHALLENGE_ALPN)
        take_blocks(reading, name, (struct span){bytes, len});
    else
        take_authorization(reading, name, (struct span){bytes, len});
    private_key_wipe(bytes, sizeof(bytes));
}

/* A folder that is not there holds none. */
static void read_folder(struct reading *reading, enum challenge_kind kind, const char *folder)
{
    DIR *stream = opendir(folder);
    if (stream == NULL) {
        if (!is_lack(reading, errno) && errno != ENOENT && reading->left_out++ == 0)
            text_printf(&reading->trouble, "%s: %s", folder, strerror(errno));
        return;
    }
    int left = LIMIT_CHALLENGE_FILES;
    reading->folder = folder;
    reading->certificates = reading->keys = NULL;
    errno = 0; /* readdir tells its end from an error by it alone */
    for (const struct dirent *entry; left > 0 && (entry = readdir(stream)) != NULL; left--) {
        if (entry->d_name[0] != '.') /* itself, what is above, and what editors leave behind */
            take_file(reading, kind, dirfd(stream), entry->d_name);
        errno = 0;
    }
    (void)is_lack(reading, errno); /* remembered */
    (void)heap_text(&reading->trouble);
    (void)closedir(stream); /* it was only read */
    match(reading);
}

/* A file that is complete, came or went; a folder that was made, and one that is another now. */
static const uint32_t NEWS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |
                             IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
static void watch_folder(const struct challenger *challenger, const char *folder)
{
    if (challenger->inotify >= 0)
        /* A second time is no harm, and where it fails the next look comes by itself. */
        (void)inotify_add_watch(challenger->inotify, folder, NEWS);
}

/* Watches every folder that is there, those above the last one too: it may be made only when it is
 * needed. To be called before they are read, so that nothing comes in between. */
static void watch_all(struct challenger *challenger, const char *below_webroot)
{
    const struct acme *acme = challenger->acme;
    if (challenger->inotify < 0)
        challenger->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (acme->alpn != NULL)
        watch_folder(challenger, acme->alpn);
    if (acme->webroot == NULL)
        return;
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof(folder), "%s/.well-known", acme->webroot);
    watch_folder(challenger, acme->webroot);
    if (len > 0 && (size_t)len < sizeof(folder))
        watch_folder(challenger, folder);
    watch_folder(challenger, below_webroot);
}

/* Whether there is news; what it is does not matter, since who looks sees all, and watches the folders that are
 * there then. A folder that was moved away stays watched, which only makes looks for nothing; to begin anew
 * would take longer than an authority waits. */
static bool take_news(const struct challenger *challenger)
{
    char events[4096];
    bool any = false;
    while (challenger->inotify >= 0 && read(challenger->inotify, events, sizeof(events)) > 0)
        any = true;
    return any;
}

/* What is left out is told once, and again when it is something else; what lacks, once until it is over. */
static void report(struct challenger *challenger, const struct reading *reading)
{
    const struct text *trouble = &reading->trouble;
    uint64_t hash = trouble->len == 0 ? 0 : span_hash((struct span){trouble->data, trouble->len});
    if (reading->lack == 0) {
        if (hash != 0 && hash != challenger->told)
            log_line(LOG_LEVEL_WARNING, "challenges: %s%s", trouble->data,
                     reading->left_out > 1 ? "; it is not the only one" : "");
        challenger->told = hash;
    } else if (!challenger->lacks) {
        log_line(LOG_LEVEL_ERROR,
                 "challenges cannot be read: %s; what is shown to authorities stays as it is",
                 strerror(reading->lack));
    }
    challenger->lacks = reading->lack != 0;
}

/* When something lacks, what is shown stays as it is until the next look: that is nearer to what is there. */
static void publish(struct challenger *challenger, const char *below_webroot)
{
    struct reading *reading = heap_take(1, sizeof(*reading));
    reading->arena = arena_new();
    if (challenger->acme->alpn != NULL)
        read_folder(reading, CHALLENGE_ALPN, challenger->acme->alpn);
    if (challenger->acme->webroot != NULL)
        read_folder(reading, CHALLENGE_HTTP, below_webroot);
    /* Some are shown by this challenger or one before it. */
    bool are_shown = challenges_pending(challenger->challenges, CHALLENGE_ALPN) ||
                     challenges_pending(challenger->challenges, CHALLENGE_HTTP);
    if (reading->lack == 0 && (reading->count > 0 || are_shown))
        (void)challenges_publish(challenger->challenges, reading->items, reading->count);
    report(challenger, reading);
    text_free(&reading->trouble);
    arena_free(reading->arena);
    free(reading);
}

void challenger_look(struct challenger *challenger, int64_t now)
{
    if (challenger->challenges == NULL)
        return;
    /* Soon, unless such looks already take too much of our time. */
    if (take_news(challenger) && challenger->rested < challenger->next)
        challenger->next = challenger->rested;
    if (now < challenger->next)
        return;
    const struct acme *acme = challenger->acme;
    int64_t begin = clock_monotonic_ms();
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof(folder), "%s/.well-known/acme-challenge",
                       acme->webroot == NULL ? "" : acme->webroot);
    if (len < 0 || (size_t)len >= sizeof(folder))
        folder[0] = '\0'; /* too long for a path: nothing is there */
    watch_all(challenger, folder);
    publish(challenger, folder);
    int64_t rest = (clock_monotonic_ms() - begin) * LIMIT_CHALLENGE_SHARE;
    challenger->rested = now + rest;
    challenger->next = now + (rest > LIMIT_CHALLENGE_LOOK_MS ? rest : LIMIT_CHALLENGE_LOOK_MS);
    if (acme->alpn == NULL && acme->webroot == NULL)
        challenger->next = INT64_MAX; /* what was shown before is taken back; that is all */
}
