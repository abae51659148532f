#include "policy/record.h"

#include <assert.h>
#include <stdio.h>

#include <mbedtls/sha256.h>

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

bool record_is_id(struct span id, bool *ret_is_number)
{
    *ret_is_number = id.len <= LIMIT_ID_DIGITS;
    for (size_t i = 0; i < id.len; i++) {
        if (!ascii_is_digit(id.data[i]) && !ascii_is_alpha(id.data[i]))
            return false;
        *ret_is_number = *ret_is_number && ascii_is_digit(id.data[i]);
    }
    return id.len > 0 && id.len <= LIMIT_ID;
}

static enum record_form read_field(struct span field, struct record *record)
{
    struct span name, id = field;
    if (!span_take(&id, '=', &name) || name.len == 0)
        return RECORD_FIELD;
    if (!span_equal(name, span_of("id")))
        return RECORD_SOUND; /* an extension, which senders skip */
    if (record->id.data != NULL)
        return RECORD_ID_TWICE;
    if (!record_is_id(id, &record->is_number))
        return RECORD_ID_FORM;
    record->id = id;
    return RECORD_SOUND;
}

/* The graver of two, the first of equals; spaces alone are the least. */
static void note(struct record *record, enum record_form form)
{
    bool is_free = record->form == RECORD_SOUND || record->form == RECORD_SPACE_BEFORE ||
                   record->form == RECORD_SPACE_BEHIND;
    bool is_space_only = form == RECORD_SPACE_BEFORE || form == RECORD_SPACE_BEHIND;
    if (form != RECORD_SOUND && (record->form == RECORD_SOUND || (is_free && !is_space_only)))
        record->form = form;
}

void record_read(struct span value, struct record *ret_record)
{
    struct span field;
    *ret_record = (struct record){.form = RECORD_SOUND};
    bool more = span_take(&value, ';', &field);
    if (!span_begins_fold(span_trim(field), span_of("v=STS"))) {
        ret_record->form = RECORD_OTHER;
        return;
    }
    if (!span_equal(span_trim(field), span_of("v=STSv1")) || is_space(field.data[0]) || !more)
        note(ret_record, RECORD_VERSION);
    while (more) {
        if (field.len > 0 && is_space(field.data[field.len - 1]))
            note(ret_record, RECORD_SPACE_BEFORE);
        more = span_take(&value, ';', &field);
        if (more || span_trim(field).len > 0)
            note(ret_record, read_field(span_trim(field), ret_record));
        else if (field.len > 0)
            note(ret_record, RECORD_SPACE_BEHIND);
        if (!more && span_trim(field).len > 0 && is_space(field.data[field.len - 1]))
            note(ret_record, RECORD_SPACE_BEHIND);
    }
    if (ret_record->id.data == NULL)
        note(ret_record, RECORD_NO_ID);
}

/* Whoever names a file chooses what is hashed: 96 bits of SHA-256 let nobody find a name whose label is that of
 * another policy. */
enum { LABEL_WORDS = 32, LABEL_HASH = 12 };

static void append_hash(struct span text, char *end, size_t room)
{
    unsigned char hash[32];
    int error = mbedtls_sha256((const unsigned char *)text.data, text.len, hash, 0);
    assert(error == 0); /* it is pure arithmetic */
    int len = snprintf(end, room, "_");
    for (int i = 0; i < LABEL_HASH; i++)
        len += snprintf(end + len, room - (size_t)len, "%02x", hash[i]);
}

/* Writes the text as it is where it is a short label in lower case. Else the words in it, and behind "_",
 * which no such label has, a hash of all of it. */
static void write_label(struct span text, bool is_plain, char ret_label[static LIMIT_LABEL + 1])
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = ascii_lower(text.data[i]);
        bool is_word = ascii_is_alpha(byte) || ascii_is_digit(byte);
        is_plain = is_plain && (is_word || byte == '-') && byte == text.data[i];
        if (len < LABEL_WORDS && (is_word || (len > 0 && ret_label[len - 1] != '-')))
            ret_label[len++] = is_word ? byte : '-';
    }
    while (len > 0 && ret_label[len - 1] == '-')
        len--;
    ret_label[len] = '\0';
    if (!is_plain || !span_equal(span_of(ret_label), text))
        append_hash(text, ret_label + len, LIMIT_LABEL + 1 - len);
}

void record_label(struct span name, const char *file, char ret_label[static RECORD_LABEL_SIZE])
{
    char words[LIMIT_LABEL + 1], place[LIMIT_LABEL + 1] = "";
    write_label(name, true, words);
    if (file != NULL)
        write_label(span_of(file), false, place);
    (void)snprintf(ret_label, RECORD_LABEL_SIZE, "%s%s%s", words, file == NULL ? "" : ".", place);
}

void record_shared_name(const char *label, const char *zone, char ret_name[static RECORD_NAME_SIZE])
{
    (void)snprintf(ret_name, RECORD_NAME_SIZE, "%s._mta-sts.%s", label, zone);
}

const char *record_form_text(enum record_form form)
{
    static const char *const texts[] = {
        [RECORD_SOUND] = "is sound",
        [RECORD_OTHER] = "is not one of MTA-STS",
        [RECORD_VERSION] = "does not begin with v=STSv1;",
        [RECORD_FIELD] = "has a part that is not NAME=VALUE",
        [RECORD_NO_ID] = "has no id",
        [RECORD_ID_TWICE] = "has two ids",
        [RECORD_ID_FORM] = "has an id that is not 1 to 32 letters and digits",
        [RECORD_SPACE_BEFORE] = "has space before a semicolon",
        [RECORD_SPACE_BEHIND] = "has space at its end",
    };
    return texts[form];
}
