#include "load/document.h"

#include <assert.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/limits.h"
#include "base/table.h"

/* A collection whose end has not been read yet. */
struct frame {
    struct node *node;
    size_t capacity;
    const struct node *key; /* of a mapping: the key whose value comes next, or NULL */
    struct table keys;
};

struct anchor {
    const char *name; /* in the arena */
    const struct node *node;
};

struct builder {
    struct arena *arena; /* borrowed */
    struct diag *diag;   /* borrowed */
    const char *file;    /* borrowed */
    enum diag_level level;
    struct frame frames[LIMIT_YAML_DEPTH];
    size_t depth;
    struct anchor anchors[LIMIT_YAML_ANCHORS];
    size_t anchor_count;
    size_t alias_count;
    size_t document_count;
    const struct node *root;
    bool ended;
};

/* The only place where libyaml's marks, which count from 0, become positions. */
static struct position position_of(const struct builder *builder, const yaml_mark_t *mark)
{
    return (struct position){builder->file, (uint32_t)mark->line + 1, (uint32_t)mark->column + 1};
}

static bool refuse(struct builder *builder, const yaml_mark_t *mark, const char *message,
                   const char *hint)
{
    diag_add(builder->diag, builder->level, position_of(builder, mark), "%s", message);
    if (hint != NULL)
        diag_hint(builder->diag, "%s", hint);
    return false;
}

static bool out_of_memory(struct builder *builder)
{
    diag_shortage(builder->diag);
    return false;
}

static struct span pair_key(const void *items, size_t index)
{
    const struct node_pair *pairs = items;
    return pairs[index].key->text;
}

/* One more place in the collection; the arena keeps the outgrown array. */
static void *grow(struct builder *builder, struct frame *frame, void *items, size_t size)
{
    if (frame->node->count < frame->capacity)
        return items;
    size_t capacity = frame->capacity == 0 ? 4 : frame->capacity * 2;
    void *larger = arena_take(builder->arena, capacity * size);
    if (larger == NULL)
        return NULL;
    if (frame->node->count > 0)
        memcpy(larger, items, frame->node->count * size);
    frame->capacity = capacity;
    return larger;
}

static bool add_item(struct builder *builder, struct frame *frame, const struct node *item)
{
    struct node *sequence = frame->node;
    const struct node **items = grow(builder, frame, sequence->items, sizeof(*items));
    if (items == NULL)
        return out_of_memory(builder);
    sequence->items = items;
    items[sequence->count++] = item;
    return true;
}

static bool add_pair(struct builder *builder, struct frame *frame, const struct node *value)
{
    struct node *mapping = frame->node;
    struct node_pair *pairs = grow(builder, frame, mapping->pairs, sizeof(*pairs));
    if (pairs == NULL)
        return out_of_memory(builder);
    mapping->pairs = pairs;
    struct node_pair pair = {.key = frame->key, .value = value};
    size_t first = table_find(&frame->keys, pair.key->text, pair_key, pairs);
    if (first != TABLE_NONE)
        pair.first = pairs[first].key;
    else if (!table_add(&frame->keys, pair.key->text, mapping->count))
        return out_of_memory(builder);
    pairs[mapping->count++] = pair;
    frame->key = NULL;
    return true;
}

/* Puts a finished or just opened node where it belongs. */
static bool place(struct builder *builder, const struct node *node, const yaml_mark_t *mark)
{
    if (builder->depth == 0) {
        builder->root = node;
        return true;
    }
    struct frame *frame = &builder->frames[builder->depth - 1];
    if (frame->node->kind == NODE_SEQUENCE)
        return add_item(builder, frame, node);
    if (frame->key != NULL)
        return add_pair(builder, frame, node);
    if (node->kind != NODE_SCALAR)
        return refuse(builder, mark, "a key must be plain text, not a list or a mapping", NULL);
    frame->key = node;
    return true;
}

static bool remember_anchor(struct builder *builder, const yaml_char_t *name,
                            const struct node *node, const yaml_mark_t *mark)
{
    if (name == NULL)
        return true;
    if (builder->anchor_count == LIMIT_YAML_ANCHORS)
        return refuse(builder, mark, "too many anchors",
                      "name policies under \"policies:\" instead");
    char *copy = arena_copy(builder->arena, span_of((const char *)name));
    if (copy == NULL)
        return out_of_memory(builder);
    builder->anchors[builder->anchor_count++] = (struct anchor){copy, node};
    return true;
}

static struct node *new_node(struct builder *builder, enum node_kind kind, const yaml_mark_t *mark)
{
    struct node *node = arena_take(builder->arena, sizeof(*node));
    if (node == NULL) {
        (void)out_of_memory(builder); /* reported there; NULL tells our caller */
        return NULL;
    }
    node->kind = kind;
    node->at = position_of(builder, mark);
    node->text = span_of("");
    return node;
}

/* Core tags (!!str and the like) say nothing new; any other would be lost silently. */
static bool tag_is_known(const yaml_char_t *tag)
{
    return tag == NULL || strcmp((const char *)tag, "!") == 0 ||
           strncmp((const char *)tag, "tag:yaml.org,2002:", 18) == 0;
}

static bool is_null_text(struct span text)
{
    return text.len == 0 || span_equal(text, span_of("~")) ||
           span_equal_fold(text, span_of("null"));
}

static bool on_scalar(struct builder *builder, const yaml_event_t *event)
{
    struct span text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    const yaml_mark_t *mark = &event->start_mark;
    if (memchr(text.data, '\0', text.len) != NULL)
        return refuse(builder, mark, "a NUL byte in a value", NULL);
    if (text.len > LIMIT_YAML_SCALAR)
        return refuse(builder, mark, "a value of more than 4096 bytes", NULL);
    if (!tag_is_known(event->data.scalar.tag))
        return refuse(builder, mark, "an unknown tag", "leave the tag out");
    struct node *node = new_node(builder, NODE_SCALAR, mark);
    if (node == NULL)
        return false;
    const char *copy = arena_copy(builder->arena, text);
    if (copy == NULL)
        return out_of_memory(builder);
    node->text = (struct span){copy, text.len};
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->null = node->plain && is_null_text(node->text);
    return remember_anchor(builder, event->data.scalar.anchor, node, mark) &&
           place(builder, node, mark);
}

static bool on_start(struct builder *builder, const yaml_event_t *event, enum node_kind kind,
                     const yaml_char_t *anchor, const yaml_char_t *tag)
{
    const yaml_mark_t *mark = &event->start_mark;
    if (!tag_is_known(tag))
        return refuse(builder, mark, "an unknown tag", "leave the tag out");
    if (builder->depth == LIMIT_YAML_DEPTH)
        return refuse(builder, mark, "nested too deeply", NULL);
    struct node *node = new_node(builder, kind, mark);
    if (node == NULL || !remember_anchor(builder, anchor, node, mark) ||
        !place(builder, node, mark))
        return false;
    builder->frames[builder->depth++] = (struct frame){.node = node};
    return true;
}

static void on_end(struct builder *builder)
{
    assert(builder->depth > 0);
    table_free(&builder->frames[--builder->depth].keys);
}

static bool is_open(const struct builder *builder, const struct node *node)
{
    for (size_t i = 0; i < builder->depth; i++)
        if (builder->frames[i].node == node)
            return true;
    return false;
}

static bool on_alias(struct builder *builder, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    if (++builder->alias_count > LIMIT_YAML_ALIASES)
        return refuse(builder, &event->start_mark, "too many aliases",
                      "name policies under \"policies:\" instead");
    for (size_t i = builder->anchor_count; i > 0; i--) {
        const struct anchor *anchor = &builder->anchors[i - 1];
        if (strcmp(anchor->name, name) != 0)
            continue;
        if (is_open(builder, anchor->node))
            return refuse(builder, &event->start_mark, "an alias inside of what it stands for",
                          NULL);
        return place(builder, anchor->node, &event->start_mark);
    }
    return refuse(builder, &event->start_mark,
                  "an alias to an anchor that is not defined before it", NULL);
}

static bool on_event(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->document_count++ > 0)
            return refuse(builder, &event->start_mark, "a second YAML document",
                          "put it into a file of its own and name that under \"include:\"");
        return true;
    case YAML_SCALAR_EVENT:
        return on_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(builder, event, NODE_SEQUENCE, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(builder, event, NODE_MAPPING, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_end(builder);
        return true;
    case YAML_ALIAS_EVENT:
        return on_alias(builder, event);
    case YAML_STREAM_END_EVENT:
        builder->ended = true;
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return true;
}

/* libyaml tells only the offset of a byte that is not UTF-8. */
static struct position position_of_offset(const char *file, struct span bytes, size_t offset)
{
    struct position at = {file, 1, 1};
    for (size_t i = 0; i < offset && i < bytes.len; i++) {
        if (bytes.data[i] == '\n') {
            at.line++;
            at.column = 1;
        } else if (((unsigned char)bytes.data[i] & 0xc0) != 0x80) {
            at.column++;
        }
    }
    return at;
}

/* The mistakes that people make most get a hint. */
static void report_problem(const struct builder *builder, const yaml_parser_t *parser,
                           const char *problem)
{
    struct diag *diag = builder->diag;
    const char *context = parser->context != NULL ? parser->context : "";
    bool star = strstr(context, "scanning an alias") != NULL;
    const yaml_mark_t *mark = star ? &parser->context_mark : &parser->problem_mark;
    diag_add(diag, builder->level, position_of(builder, mark), "not valid YAML: %s", problem);
    if (strstr(problem, "cannot start any token") != NULL)
        diag_hint(diag, "indent with spaces, not tabs, and put values that begin with one of "
                        "@ ` %% into quotes");
    else if (star)
        diag_hint(diag, "put a value that begins with a star into quotes: \"*.example.com\"");
    else if (context[0] != '\0' && parser->context_mark.line != parser->problem_mark.line)
        diag_related(diag, position_of(builder, &parser->context_mark), "%s that begins here",
                     context);
}

static void report_syntax(const struct builder *builder, const yaml_parser_t *parser,
                          struct span bytes)
{
    struct diag *diag = builder->diag;
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    switch (parser->error) {
    case YAML_MEMORY_ERROR:
        diag_shortage(diag);
        return;
    case YAML_READER_ERROR:
        diag_add(diag, builder->level,
                 position_of_offset(builder->file, bytes, parser->problem_offset),
                 "not valid YAML: %s", problem);
        diag_hint(diag, "save the file as UTF-8 without control characters");
        return;
    case YAML_NO_ERROR:
    case YAML_SCANNER_ERROR:
    case YAML_PARSER_ERROR:
    case YAML_COMPOSER_ERROR:
    case YAML_WRITER_ERROR:
    case YAML_EMITTER_ERROR:
        break;
    }
    report_problem(builder, parser, problem);
}

static bool run(struct builder *builder, yaml_parser_t *parser, struct span bytes)
{
    if (bytes.data == NULL)
        bytes = span_of(""); /* libyaml asserts that there is a pointer, also to nothing */
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)bytes.data, bytes.len);
    while (!builder->ended) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            report_syntax(builder, parser, bytes);
            return false;
        }
        bool good = on_event(builder, &event);
        yaml_event_delete(&event);
        if (!good)
            return false;
    }
    return true;
}

const struct node *document_parse(struct arena *arena, struct span bytes, const char *file,
                                  enum diag_level level, struct diag *diag)
{
    const struct node *root = NULL;
    struct builder *builder = calloc(1, sizeof(*builder));
    yaml_parser_t parser;
    if (builder == NULL || yaml_parser_initialize(&parser) == 0) {
        diag_shortage(diag);
        free(builder);
        return NULL;
    }
    builder->arena = arena;
    builder->diag = diag;
    builder->file = file;
    builder->level = level;
    if (run(builder, &parser, bytes)) {
        root = builder->root;
        if (root == NULL) {
            struct node *empty = new_node(builder, NODE_SCALAR, &(yaml_mark_t){0});
            if (empty != NULL)
                empty->null = empty->plain = true;
            root = empty;
        }
    }
    while (builder->depth > 0)
        on_end(builder);
    yaml_parser_delete(&parser);
    free(builder);
    return root;
}
