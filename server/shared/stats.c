#include "shared/stats.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/shared_memory.h"

/* The generation that serves and the one that drains. */
enum { SLOTS = 2 * LIMIT_WORKERS };

/* A lock in memory that a worker can be killed in would hold up all others. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters of 64 bits without a lock");

struct slot {
    _Atomic uint64_t counters[BOARD_COUNTERS];
    _Atomic uint64_t connections;
    struct visits visits;
};

/* What the supervisor alone writes. */
struct head {
    _Atomic int64_t figures[BOARD_FIGURES];
    _Atomic uint64_t used; /* slots that were ever taken: the first ones */
};

/* The head and each slot are memory by themselves, so that a worker can keep its own and give up every
 * other, and that there are only as many slots as workers have needed. */
struct board {
    struct shared_memory head;
    struct shared_memory slots[SLOTS];
    size_t count;      /* slots that are there; in a worker: those that were when it was forked */
    struct slot *own;  /* a worker's; NULL in the supervisor */
    bool taken[SLOTS]; /* the supervisor's own knowledge */
};

static const struct head *head_of(const struct board *board)
{
    return board->head.readable;
}

static const struct slot *slot_of(const struct board *board, size_t slot)
{
    return board->slots[slot].readable;
}

struct board *board_new(void)
{
    struct board *board = calloc(1, sizeof(*board));
    if (board != NULL && shared_memory_new(sizeof(struct head), &board->head))
        return board;
    free(board);
    return NULL;
}

void board_free(struct board *board)
{
    if (board == NULL)
        return;
    for (size_t i = 0; i < board->count; i++)
        shared_memory_free(&board->slots[i]);
    shared_memory_free(&board->head);
    free(board);
}

bool board_take(struct board *board, size_t *ret_slot)
{
    size_t slot = 0;
    while (slot < board->count && board->taken[slot])
        slot++;
    assert(slot < SLOTS);
    if (slot == board->count) {
        if (!shared_memory_new(sizeof(struct slot), &board->slots[slot]))
            return false;
        board->count++;
    }
    struct head *head = board->head.writable;
    board->taken[slot] = true;
    if (slot >= atomic_load_explicit(&head->used, memory_order_relaxed))
        atomic_store_explicit(&head->used, slot + 1, memory_order_relaxed);
    *ret_slot = slot;
    return true;
}

void board_end_worker(struct board *board, size_t slot)
{
    assert(slot < board->count && board->taken[slot]);
    struct slot *ended = board->slots[slot].writable;
    atomic_store_explicit(&ended->connections, 0, memory_order_relaxed);
}

void board_leave(struct board *board, size_t slot)
{
    board_end_worker(board, slot);
    board->taken[slot] = false;
}

void board_set(struct board *board, enum board_figure figure, int64_t value)
{
    struct head *head = board->head.writable;
    atomic_store_explicit(&head->figures[figure], value, memory_order_relaxed);
}

void board_add(struct board *board, enum board_figure figure)
{
    struct head *head = board->head.writable;
    (void)atomic_fetch_add_explicit(&head->figures[figure], 1, memory_order_relaxed);
}

bool board_sit(struct board *board, size_t slot)
{
    assert(slot < board->count && board->own == NULL);
    if (!shared_memory_give_up(&board->head, 0, 0))
        return false;
    for (size_t i = 0; i < board->count; i++)
        if (i != slot && !shared_memory_give_up(&board->slots[i], 0, 0))
            return false;
    board->own = board->slots[slot].writable;
    return true;
}

void board_count(struct board *board, enum board_counter counter)
{
    if (board != NULL)
        (void)atomic_fetch_add_explicit(&board->own->counters[counter], 1, memory_order_relaxed);
}

void board_note(struct board *board, const struct visit *visit)
{
    if (board != NULL)
        visits_note(&board->own->visits, visit);
}

void board_hold(struct board *board, size_t connections)
{
    if (board != NULL)
        atomic_store_explicit(&board->own->connections, connections, memory_order_relaxed);
}

static size_t used_slots(const struct board *board)
{
    uint64_t used = atomic_load_explicit(&head_of(board)->used, memory_order_relaxed);
    return used < board->count ? (size_t)used : board->count;
}

uint64_t board_sum(const struct board *board, enum board_counter counter)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < used_slots(board); i++)
        sum += atomic_load_explicit(&slot_of(board, i)->counters[counter], memory_order_relaxed);
    return sum;
}

uint64_t board_connections(const struct board *board)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < used_slots(board); i++)
        sum += atomic_load_explicit(&slot_of(board, i)->connections, memory_order_relaxed);
    return sum;
}

const struct visits *board_visits(const struct board *board, size_t slot)
{
    return slot < used_slots(board) ? &slot_of(board, slot)->visits : NULL;
}

int64_t board_figure(const struct board *board, enum board_figure figure)
{
    return atomic_load_explicit(&head_of(board)->figures[figure], memory_order_relaxed);
}
