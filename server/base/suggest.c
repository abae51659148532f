#include "base/suggest.h"

enum { WORD_MOST = 32 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, delete, replace or swap with a neighbour (optimal string alignment). */
static size_t distance(struct span left, struct span right)
{
    size_t rows[3][WORD_MOST + 1] = {{0}};
    for (size_t k = 0; k <= right.len; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= left.len; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t k = 1; k <= right.len; k++) {
            char a = ascii_lower(left.data[i - 1]), b = ascii_lower(right.data[k - 1]);
            row[k] = least(least(above[k], row[k - 1]) + 1, above[k - 1] + (a == b ? 0 : 1));
            if (i > 1 && k > 1 && a == ascii_lower(right.data[k - 2]) &&
                b == ascii_lower(left.data[i - 2]))
                row[k] = least(row[k], above2[k - 2] + 1);
        }
    }
    return rows[left.len % 3][right.len];
}

size_t suggest_nearest(struct span word, const char *const *candidates, size_t count)
{
    size_t best = count, best_distance = word.len / 3 + 1;
    if (word.len == 0 || word.len > WORD_MOST)
        return count;
    for (size_t i = 0; i < count; i++) {
        struct span candidate = span_of(candidates[i]);
        if (candidate.len > WORD_MOST)
            continue;
        size_t found = distance(word, candidate);
        if (found < best_distance || (found == best_distance && best == count)) {
            best = i;
            best_distance = found;
        }
    }
    return best;
}
