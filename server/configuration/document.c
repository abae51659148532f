#include "configuration/document.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <yaml.h>

#include "base/heap.h"
#include "base/limits.h"
#include "base/table.h"

/* A collection whose end has not been read yet. */
struct frame {
    struct node *node;
    size_t capacity;
    uint64_t weight_before;
    const struct node *key; /* of a mapping: the key whose value comes next, or NULL */
    struct table keys;
};

struct anchor {
    const char *name; /* in the arena */
    const struct node *node;
};

struct builder {
    struct arena *arena; /* borrowed */
    struct span bytes;   /* borrowed; of the file, for hints */
    struct diag *diag;   /* borrowed */
    const char *file;    /* borrowed */
    enum diag_level level;
    struct frame frames[LIMIT_YAML_DEPTH];
    size_t depth;
    struct anchor anchors[LIMIT_YAML_ANCHORS];
    size_t anchor_count;
    struct table anchor_table;
    const struct document_budget *budget;     /* borrowed; or NULL */
    const struct progress_callback *progress; /* borrowed; or NULL */
    int64_t begun_ms;                         /* of the processor's time */
    uint64_t weight;                          /* nodes so far, with those that aliases stand for */
    size_t event_count;
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

/* An address such as [::]:443 begins a list in YAML unless it is quoted. */
static bool has_bare_address(struct span line)
{
    for (size_t i = 0; i < line.len; i++) {
        size_t end = i + 1, colons = 0;
        if (line.data[i] != '[' || (i > 0 && (line.data[i - 1] == '"' || line.data[i - 1] == '\'')))
            continue;
        for (; end < line.len && line.data[end] != '\0' &&
               strchr("0123456789abcdefABCDEF:.", line.data[end]) != NULL;
             end++)
            colons += line.data[end] == ':' ? 1 : 0;
        if (colons > 0 && end < line.len && line.data[end] == ']')
            return true;
    }
    return false;
}

/* What is likely meant, from the line where the fault is; libyaml breaks lines elsewhere too, which is no matter
 * for a hint. False when nothing is known. */
static bool hint_at_line(const struct builder *builder, const yaml_mark_t *mark)
{
    struct span rest = builder->bytes;
    for (size_t line = 0; line < mark->line; line++)
        (void)span_take_line(&rest);
    if (!has_bare_address(span_take_line(&rest)))
        return false;
    diag_hint(builder->diag, "put an address in brackets into quotes: \"[::]:443\"");
    return true;
}

TABLE_KEY(pair_key, struct node_pair, item->key->text);

/* One more place in the collection; the arena keeps the outgrown array. */
static void *grow(struct builder *builder, struct frame *frame, void *items, size_t size)
{
    if (frame->node->count < frame->capacity)
        return items;
    size_t capacity = frame->capacity == 0 ? 4 : frame->capacity * 2;
    void *larger = arena_take(builder->arena, capacity * size);
    if (frame->node->count > 0)
        memcpy(larger, items, frame->node->count * size);
    frame->capacity = capacity;
    return larger;
}

static void add_item(struct builder *builder, struct frame *frame, const struct node *item)
{
    struct node *sequence = frame->node;
    const struct node **items = grow(builder, frame, sequence->items, sizeof(*items));
    sequence->items = items;
    items[sequence->count++] = item;
}

static void add_pair(struct builder *builder, struct frame *frame, const struct node *value)
{
    struct node *mapping = frame->node;
    struct node_pair *pairs = grow(builder, frame, mapping->pairs, sizeof(*pairs));
    mapping->pairs = pairs;
    struct node_pair pair = {.key = frame->key, .value = value};
    size_t first = table_find(&frame->keys, pair.key->text, pair_key, pairs);
    if (first != TABLE_NONE)
        pair.first = pairs[first].key;
    else
        table_add(&frame->keys, pair.key->text, mapping->count);
    pairs[mapping->count++] = pair;
    frame->key = NULL;
}

/* Puts a finished or just opened node where it belongs. */
static bool place(struct builder *builder, const struct node *node, const yaml_mark_t *mark)
{
    if (builder->depth == 0) {
        builder->root = node;
        return true;
    }
    struct frame *frame = &builder->frames[builder->depth - 1];
    if (frame->node->kind == NODE_SEQUENCE) {
        add_item(builder, frame, node);
    } else if (frame->key != NULL) {
        add_pair(builder, frame, node);
    } else if (node->kind == NODE_SCALAR) {
        frame->key = node;
    } else {
        (void)refuse(builder, mark, "a key must be plain text, not a list or a mapping", NULL);
        (void)hint_at_line(builder, mark); /* it may be something else */
        return false;
    }
    return true;
}

/* One more node, or as many as an alias stands for. */
static bool weigh(struct builder *builder, uint64_t weight, const yaml_mark_t *mark)
{
    builder->weight += weight;
    if (builder->budget == NULL || builder->weight <= builder->budget->nodes)
        return true;
    diag_add(builder->diag, builder->level, position_of(builder, mark),
             "the file has more than %zu values, with those that aliases stand for",
             builder->budget->nodes);
    diag_reason(builder->diag, "an included file must not delay the others");
    diag_hint(builder->diag, "split the file, or move a part to the main file");
    return false;
}

TABLE_KEY(anchor_key, struct anchor, span_of(item->name));

/* The last anchor of the name counts. */
static bool remember_anchor(struct builder *builder, const yaml_char_t *name,
                            const struct node *node, const yaml_mark_t *mark)
{
    if (name == NULL)
        return true;
    struct span key = span_of((const char *)name);
    size_t known = table_find(&builder->anchor_table, key, anchor_key, builder->anchors);
    if (known != TABLE_NONE) {
        builder->anchors[known].node = node;
        return true;
    }
    if (builder->anchor_count == LIMIT_YAML_ANCHORS)
        return refuse(builder, mark, "too many anchors",
                      "name policies under \"policies:\" instead");
    table_add(&builder->anchor_table, key, builder->anchor_count);
    builder->anchors[builder->anchor_count++] =
        (struct anchor){arena_copy(builder->arena, key), node};
    return true;
}

static struct node *new_node(struct builder *builder, enum node_kind kind, const yaml_mark_t *mark)
{
    struct node *node = arena_take(builder->arena, sizeof(*node));
    node->kind = kind;
    node->weight = 1;
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
    if (!weigh(builder, 1, mark))
        return false;
    struct node *node = new_node(builder, NODE_SCALAR, mark);
    node->text = (struct span){arena_copy(builder->arena, text), text.len};
    node->null =
        event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        (text.len == 0 || span_equal(text, span_of("~")) || span_equal_fold(text, span_of("null")));
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
    uint64_t weight_before = builder->weight;
    if (!weigh(builder, 1, mark))
        return false;
    struct node *node = new_node(builder, kind, mark);
    if (!remember_anchor(builder, anchor, node, mark) || !place(builder, node, mark))
        return false;
    builder->frames[builder->depth++] =
        (struct frame){.node = node, .weight_before = weight_before};
    return true;
}

static void on_end(struct builder *builder)
{
    assert(builder->depth > 0);
    struct frame *frame = &builder->frames[--builder->depth];
    uint64_t weight = builder->weight - frame->weight_before;
    frame->node->weight = weight > UINT32_MAX ? UINT32_MAX : (uint32_t)weight;
    table_free(&frame->keys);
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
    struct span name = span_of((const char *)event->data.alias.anchor);
    const yaml_mark_t *mark = &event->start_mark;
    size_t most = builder->budget == NULL ? LIMIT_YAML_ALIASES : builder->budget->aliases;
    if (++builder->alias_count > most)
        return refuse(builder, mark, "too many aliases",
                      "name policies under \"policies:\" instead");
    size_t index = table_find(&builder->anchor_table, name, anchor_key, builder->anchors);
    if (index == TABLE_NONE)
        return refuse(builder, mark, "an alias to an anchor that is not defined before it", NULL);
    const struct node *node = builder->anchors[index].node;
    if (is_open(builder, node))
        return refuse(builder, mark, "an alias inside the value of its own anchor", NULL);
    return weigh(builder, node->weight, mark) && place(builder, node, mark);
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
    static const struct {
        const char *problem, *hint;
    } rows[] = {
        {"could not find expected ':'", "put a colon after the name: \"example.com:\""},
        {"mapping values are not allowed",
         "put a value that has a colon into quotes, and begin each key in a line of its own"},
        {"did not find expected key", "begin the keys that belong together in the same column"},
        {"cannot start any token",
         "indent with spaces, not tabs, and put values that begin with one "
         "of @ ` % into quotes"},
        {"", "put a value that begins with a star into quotes: \"*.example.com\""},
    };
    struct diag *diag = builder->diag;
    const char *context = parser->context != NULL ? parser->context : "";
    bool star = strstr(context, "scanning an alias") != NULL;
    bool no_colon = strstr(problem, rows[0].problem) != NULL;
    const yaml_mark_t *mark = star || no_colon ? &parser->context_mark : &parser->problem_mark;
    diag_add(diag, builder->level, position_of(builder, mark), "not valid YAML: %s", problem);
    if (hint_at_line(builder, mark))
        return;
    size_t row = 0;
    while (strstr(problem, rows[row].problem) == NULL)
        row++;
    if (rows[row].problem[0] != '\0' || star)
        diag_hint(diag, "%s", rows[row].hint);
    if (!no_colon && context[0] != '\0' && parser->context_mark.line != parser->problem_mark.line)
        diag_related(diag, position_of(builder, &parser->context_mark), "%s that begins here",
                     context);
}

static void report_syntax(const struct builder *builder, const yaml_parser_t *parser,
                          struct span bytes)
{
    struct diag *diag = builder->diag;
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    if (parser->error == YAML_MEMORY_ERROR)
        heap_end();
    if (parser->error != YAML_READER_ERROR) {
        report_problem(builder, parser, problem);
        return;
    }
    diag_add(diag, builder->level, position_of_offset(builder->file, bytes, parser->problem_offset),
             "not valid YAML: %s", problem);
    diag_hint(diag, "save the file as UTF-8 without control characters");
}

static int64_t cpu_ms(void)
{
    struct timespec time = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time); /* Linux has it */
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Now and then: says that the work goes on, and refuses a file that takes too long. */
static bool is_in_time(struct builder *builder, const yaml_mark_t *mark)
{
    if (++builder->event_count % LIMIT_YAML_EVENTS != 0)
        return true;
    progress_make(builder->progress, PROGRESS_GOES_ON);
    if (builder->budget == NULL || cpu_ms() - builder->begun_ms <= builder->budget->cpu_ms)
        return true;
    return refuse(builder, mark, "the file takes too long to read",
                  "split the file, or move a part to the main file");
}

/* Whether a line begins there; libyaml breaks lines at the characters of YAML 1.1, too. */
static bool begins_line(struct span bytes, size_t i)
{
    static const char *const breaks[] = {"\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    for (size_t k = 0; k < sizeof(breaks) / sizeof(breaks[0]); k++) {
        size_t len = strlen(breaks[k]);
        if (i >= len && memcmp(bytes.data + i - len, breaks[k], len) == 0)
            return true;
    }
    return i == 0;
}

/* Lines that begin with "%" are directives before a document, and nothing that we know within. */
static bool has_few_directives(struct builder *builder, struct span bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        const char *found = memchr(bytes.data + i, '%', bytes.len - i);
        if (found == NULL)
            break;
        i = (size_t)(found - bytes.data);
        count += begins_line(bytes, i) ? 1 : 0;
        if (count <= LIMIT_YAML_DIRECTIVES)
            continue;
        diag_add(builder->diag, builder->level, position_of_offset(builder->file, bytes, i),
                 "too many lines that begin with \"%%\"");
        diag_hint(builder->diag, "delete them: YAML directives are not needed here");
        return false;
    }
    return true;
}

/* YAML 1.2 section 5.2: a byte order mark is no part of the text. False for an encoding that is not
 * UTF-8, told by where its zeros are. */
static bool skip_byte_order_mark(struct builder *builder, struct span *bytes)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *encoding;
    } marks[] = {
        {"\0\0\xfe\xff", 4, "UTF-32"},
        {"\xff\xfe\0\0", 4, "UTF-32"},
        {"\xfe\xff", 2, "UTF-16"},
        {"\xff\xfe", 2, "UTF-16"},
    };
    const char *encoding = NULL;
    for (size_t i = 0; encoding == NULL && i < sizeof(marks) / sizeof(marks[0]); i++)
        if (bytes->len >= marks[i].len && memcmp(bytes->data, marks[i].bytes, marks[i].len) == 0)
            encoding = marks[i].encoding;
    if (encoding == NULL && bytes->len >= 2 && (bytes->data[0] == '\0') != (bytes->data[1] == '\0'))
        encoding = "UTF-16";
    if (encoding != NULL) {
        diag_add(builder->diag, builder->level, (struct position){builder->file, 1, 1},
                 "the file is %s, not UTF-8", encoding);
        diag_hint(builder->diag, "save it as UTF-8, or convert it: iconv -f %s -t UTF-8", encoding);
        return false;
    }
    if (bytes->len >= 3 && memcmp(bytes->data, "\xef\xbb\xbf", 3) == 0)
        *bytes = span_skip(*bytes, 3);
    return true;
}

static bool run(struct builder *builder, yaml_parser_t *parser, struct span bytes)
{
    if (bytes.data == NULL)
        bytes = span_of(""); /* libyaml asserts that there is a pointer, also to nothing */
    if (!skip_byte_order_mark(builder, &bytes) || !has_few_directives(builder, bytes))
        return false;
    builder->begun_ms = cpu_ms();
    builder->bytes = bytes;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)bytes.data, bytes.len);
    while (!builder->ended) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            report_syntax(builder, parser, bytes);
            return false;
        }
        bool good = is_in_time(builder, &event.start_mark) && on_event(builder, &event);
        yaml_event_delete(&event);
        if (!good)
            return false;
    }
    return true;
}

const struct document_budget document_included = {
    .nodes = LIMIT_INCLUDE_NODES,
    .aliases = LIMIT_INCLUDE_ALIASES,
    .cpu_ms = LIMIT_INCLUDE_CPU_MS,
};

const struct node *document_parse(struct arena *arena, struct span bytes, const char *file,
                                  enum diag_level level, struct diag *diag,
                                  const struct document_budget *budget,
                                  const struct progress_callback *progress)
{
    const struct node *root = NULL;
    struct builder *builder = heap_take(1, sizeof(*builder));
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0)
        heap_end();
    builder->arena = arena;
    builder->diag = diag;
    builder->file = file;
    builder->level = level;
    builder->budget = budget;
    builder->progress = progress;
    if (run(builder, &parser, bytes)) {
        root = builder->root;
        if (root == NULL) {
            struct node *empty = new_node(builder, NODE_SCALAR, &(yaml_mark_t){0});
            empty->null = true;
            root = empty;
        }
    }
    while (builder->depth > 0)
        on_end(builder);
    table_free(&builder->anchor_table);
    yaml_parser_delete(&parser);
    free(builder);
    return root;
}

const struct node *document_member(const struct node *node, const char *key)
{
    for (size_t i = 0; node->kind == NODE_MAPPING && i < node->count; i++)
        if (span_equal(node->pairs[i].key->text, span_of(key)))
            return node->pairs[i].value;
    return NULL;
}

const char *document_library_version(void)
{
    return yaml_get_version_string();
}
