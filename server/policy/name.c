#include "policy/name.h"

#include <stdint.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"

const struct name_fault_words name_faults[] = {
    [NAME_OK] = {"is a valid name", NULL},
    [NAME_EMPTY] = {"is empty", NULL},
    [NAME_ADDRESS] = {"is an IP address, not a host name",
                      "postfix-tlspol refuses the policy, and no certificate can match"},
    [NAME_TRAILING_DOT] = {"ends with a dot", "mox, danmarg, Mail::STS, aykevl and NCSC refuse it"},
    [NAME_BLANK] = {"has a non-breaking space, or another invisible character",
                    "3 to 6 of 14 senders refuse the policy"},
    [NAME_U_LABEL] =
        {"has letters beyond ASCII (a U-label)",
         "mox, danmarg, postfix-tlspol, Mail::STS, postfix-mta-sts-resolver and aykevl refuse it"},
    [NAME_UNDERSCORE] = {"has an underscore, which no host name has",
                         "3 to 6 of 14 senders refuse the policy"},
    [NAME_WILDCARD] =
        {"has a star in a place where it is not allowed",
         "RFC 8461 section 4.1 knows only one \"*.\" at the beginning; 3 to 6 of 14 senders refuse "
         "the policy"},
    [NAME_CHARACTER] = {"has a character that no host name has",
                        "3 to 6 of 14 senders refuse the policy"},
    [NAME_EMPTY_LABEL] = {"has an empty label (two dots, or one at the beginning)",
                          "3 to 6 of 14 senders refuse the policy"},
    [NAME_HYPHEN] = {"has a label that begins or ends with a hyphen",
                     "3 to 6 of 14 senders refuse the policy"},
    [NAME_LABEL_LONG] = {"has a label of more than 63 characters (RFC 1035 section 2.3.4)",
                         "3 to 6 of 14 senders refuse the policy"},
    [NAME_LONG] = {"is longer than 253 characters (RFC 1035 section 2.3.4)", NULL},
    [NAME_SINGLE_LABEL] = {"has only one label", "no sender finds such a host"},
    [NAME_NUMERIC_TLD] = {"ends with a label of digits only, as an IP address does", NULL},
};

/* IPv4, or IPv6 with or without the brackets of a URI. */
static bool is_address(struct span text)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (text.len >= 2 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        text = (struct span){text.data + 1, text.len - 2};
    return address_number(AF_INET, text, address) || address_number(AF_INET6, text, address);
}

size_t name_blank(struct span text, struct name_blank *ret_blank)
{
    if (text.len == 0 || (unsigned char)text.data[0] < 0x80)
        return 0;
    struct text_character next;
    text_character(text, &next);
    uint32_t point = next.point;
    ret_blank->point = point;
    ret_blank->is_space = point == 0x85 || point == 0xa0 || point == 0x1680 || point == 0x202f ||
                          point == 0x205f || point == 0x3000 || point == 0x2028 ||
                          point == 0x2029 || (point >= 0x2000 && point <= 0x200a);
    return ret_blank->is_space || (next.is_valid && !next.is_shown) ? next.len : 0;
}

static bool has_blank(struct span text)
{
    struct name_blank blank;
    while (text.len > 0 && name_blank(text, &blank) == 0)
        text = span_skip(text, 1);
    return text.len > 0;
}

/* The character set, told apart by what a person can do about it. */
static enum name_fault judge_characters(struct span text)
{
    enum name_fault fault = NAME_OK;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if ((unsigned char)byte > 127)
            return has_blank(span_skip(text, i)) ? NAME_BLANK : NAME_U_LABEL;
        if (ascii_is_alpha(byte) || ascii_is_digit(byte) || byte == '-' || byte == '.')
            continue;
        if (byte == '_')
            fault = NAME_UNDERSCORE;
        else if (byte == '*')
            fault = NAME_WILDCARD;
        else
            return NAME_CHARACTER;
    }
    return fault;
}

static bool all_digits(struct span label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_digit(label.data[i]))
            return false;
    return true;
}

static enum name_fault judge_labels(struct span text)
{
    size_t labels = 0;
    struct span label = {0};
    for (bool more = true; more; labels++) {
        more = span_take(&text, '.', &label);
        if (label.len == 0)
            return NAME_EMPTY_LABEL;
        if (label.len > LIMIT_LABEL)
            return NAME_LABEL_LONG;
        if (label.data[0] == '-' || label.data[label.len - 1] == '-')
            return NAME_HYPHEN;
    }
    if (labels < 2)
        return NAME_SINGLE_LABEL;
    return all_digits(label) ? NAME_NUMERIC_TLD : NAME_OK;
}

enum name_fault name_parse(struct span text, enum name_kind kind, struct name *ret_name)
{
    if (text.len == 0)
        return NAME_EMPTY;
    if (is_address(text))
        return NAME_ADDRESS;
    bool wildcard = kind == NAME_PATTERN && text.len >= 2 && memcmp(text.data, "*.", 2) == 0;
    struct span rest = wildcard ? span_skip(text, 2) : text;
    enum name_fault fault = judge_characters(rest);
    if (fault != NAME_OK)
        return fault;
    if (text.data[text.len - 1] == '.' && rest.len > 1)
        return NAME_TRAILING_DOT;
    if (text.len > LIMIT_NAME - (kind == NAME_DOMAIN ? strlen("mta-sts.") : 0))
        return NAME_LONG;
    fault = judge_labels(rest);
    if (fault != NAME_OK)
        return fault;
    for (size_t i = 0; i < text.len; i++)
        ret_name->text[i] = ascii_lower(text.data[i]);
    ret_name->text[text.len] = '\0';
    ret_name->len = text.len;
    return NAME_OK;
}

/* Letters that IDNA 2008 (RFC 5892) takes as they are: small letters and
 * scripts without case. For any other an A-label would be a guess. */
static bool maps_to_itself(uint32_t point)
{
    static const struct {
        uint32_t least, most;
    } ranges[] = {
        {0xdf, 0xf6},     {0xf8, 0xff},     {0x3ac, 0x3ce},   {0x430, 0x45f},
        {0x5d0, 0x5ea},   {0x620, 0x63f},   {0x641, 0x64a},   {0xe01, 0xe30},
        {0x3041, 0x3096}, {0x30a1, 0x30fa}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        if (point >= ranges[i].least && point <= ranges[i].most)
            return true;
    return false;
}

/* Decodes one label; false unless every letter beyond ASCII is sure. */
static bool decode_label(struct span label, uint32_t points[static LIMIT_LABEL], size_t *ret_count)
{
    size_t count = 0;
    for (; label.len > 0; count++) {
        struct text_character next;
        text_character(label, &next);
        bool is_ascii = next.point < 0x80;
        if (!next.is_valid || count == LIMIT_LABEL || (!is_ascii && !maps_to_itself(next.point)))
            return false;
        points[count] = is_ascii ? (unsigned char)ascii_lower((char)next.point) : next.point;
        label = span_skip(label, next.len);
    }
    *ret_count = count;
    return true;
}

/* RFC 3492 section 6.1 with the parameters of section 5. */
static uint32_t punycode_adapt(uint32_t delta, uint32_t count, bool first)
{
    delta = first ? delta / 700 : delta / 2;
    delta += delta / count;
    uint32_t k = 0;
    for (; delta > 455; k += 36)
        delta /= 35;
    return k + 36 * delta / (delta + 38);
}

/* What is longer than a name can be is one byte longer, which name_parse refuses. */
static void name_put(struct name *name, char byte)
{
    if (name->len <= LIMIT_NAME)
        name->text[name->len++] = byte;
}

static void punycode_number(struct name *out, uint32_t value, uint32_t bias)
{
    for (uint32_t k = 36;; k += 36) {
        uint32_t threshold = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        uint32_t digit =
            value < threshold ? value : threshold + (value - threshold) % (36 - threshold);
        name_put(out, (char)(digit < 26 ? 'a' + (int)digit : '0' + (int)digit - 26));
        if (value < threshold)
            return;
        value = (value - threshold) / (36 - threshold);
    }
}

/* RFC 3492 section 6.3, and ASCII alone as it is. At most LIMIT_LABEL points, so nothing overflows. */
static void punycode_encode(const uint32_t *points, size_t count, struct name *out)
{
    uint32_t handled = 0;
    for (size_t i = 0; i < count; i++)
        if (points[i] < 0x80) {
            name_put(out, (char)points[i]);
            handled++;
        }
    uint32_t basic = handled, next = 0x80, delta = 0, bias = 72;
    if (basic > 0 && basic < count)
        name_put(out, '-');
    while (handled < count) {
        uint32_t least = UINT32_MAX;
        for (size_t i = 0; i < count; i++)
            if (points[i] >= next && points[i] < least)
                least = points[i];
        delta += (least - next) * (handled + 1);
        next = least;
        for (size_t i = 0; i < count; i++) {
            delta += points[i] < next ? 1 : 0;
            if (points[i] != next)
                continue;
            punycode_number(out, delta, bias);
            bias = punycode_adapt(delta, handled + 1, handled == basic);
            delta = 0;
            handled++;
        }
        delta++;
        next++;
    }
}

static bool suggest_label(struct span label, struct name *out)
{
    uint32_t points[LIMIT_LABEL];
    size_t count = 0;
    if (label.len > 4 * LIMIT_LABEL || !decode_label(label, points, &count))
        return false;
    bool is_ascii = true;
    for (size_t i = 0; i < count; i++)
        is_ascii = is_ascii && points[i] < 0x80;
    for (const char *prefix = is_ascii ? "" : "xn--"; *prefix != '\0'; prefix++)
        name_put(out, *prefix);
    punycode_encode(points, count, out);
    return true;
}

bool name_suggest(struct span text, enum name_kind kind, struct name *ret_name)
{
    struct name built = {.len = 0};
    struct name_blank blank;
    for (size_t len; (len = name_blank(text, &blank)) > 0;)
        text = span_skip(text, len);
    for (size_t len = 1; len <= 4 && len < text.len; len++)
        if (name_blank(span_skip(text, text.len - len), &blank) == len) {
            text.len -= len;
            len = 0;
        }
    if (text.len > 0 && text.data[text.len - 1] == '.')
        text.len--;
    struct span part, port = text;
    if (span_take(&port, ':', &part) && all_digits(port))
        text = part;
    while (text.len > 0) {
        bool has_dot = span_take(&text, '.', &part);
        if (!suggest_label(part, &built))
            return false;
        if (has_dot)
            name_put(&built, '.');
    }
    struct span candidate = {built.text, built.len};
    return name_parse(candidate, kind, ret_name) == NAME_OK;
}

bool name_take(struct span *list, struct span *ret_word)
{
    size_t len = 0;
    while (list->len > 0 && memchr(",; \t", list->data[0], 4) != NULL)
        *list = span_skip(*list, 1);
    while (len < list->len && memchr(",; \t", list->data[len], 4) == NULL)
        len++;
    *ret_word = (struct span){list->data, len};
    *list = span_skip(*list, len);
    return len > 0;
}

bool name_matches(struct span pattern, struct span host)
{
    if (span_equal_fold(pattern, host))
        return true;
    struct span label, star;
    return span_take(&host, '.', &label) && label.len > 0 && span_take(&pattern, '.', &star) &&
           span_equal(star, span_of("*")) && span_equal_fold(pattern, host);
}
