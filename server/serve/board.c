#include "serve/board.h"

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

/* The head and the slots, each in whole pages, so that a worker can keep its own slot and give up
 * every other. */
struct board {
    struct shared_memory memory;
    size_t stride;     /* from a slot to the next */
    struct slot *own;  /* a worker's; NULL in the supervisor */
    bool taken[SLOTS]; /* the supervisor's own knowledge */
};

static size_t head_size(void)
{
    return shared_memory_round(sizeof(struct head));
}

static const struct head *head_of(const struct board *board)
{
    return board->memory.readable;
}

static const struct slot *slot_of(const struct board *board, size_t slot)
{
    const char *begin = board->memory.readable;
    return (const void *)(begin + head_size() + slot * board->stride);
}

static struct slot *own_slot(const struct board *board, size_t slot)
{
    char *begin = board->memory.writable;
    return (void *)(begin + head_size() + slot * board->stride);
}

struct board *board_new(void)
{
    struct board *board = calloc(1, sizeof(*board));
    if (board == NULL)
        return NULL;
    board->stride = shared_memory_round(sizeof(struct slot));
    if (shared_memory_new(head_size() + SLOTS * board->stride, &board->memory))
        return board;
    free(board);
    return NULL;
}

void board_free(struct board *board)
{
    if (board == NULL)
        return;
    shared_memory_free(&board->memory);
    free(board);
}

size_t board_take(struct board *board)
{
    size_t slot = 0;
    while (slot < SLOTS && board->taken[slot])
        slot++;
    assert(slot < SLOTS);
    struct head *head = board->memory.writable;
    board->taken[slot] = true;
    if (slot >= atomic_load_explicit(&head->used, memory_order_relaxed))
        atomic_store_explicit(&head->used, slot + 1, memory_order_relaxed);
    return slot;
}

void board_leave(struct board *board, size_t slot)
{
    assert(slot < SLOTS && board->taken[slot]);
    board->taken[slot] = false;
    atomic_store_explicit(&own_slot(board, slot)->connections, 0, memory_order_relaxed);
}

void board_set(struct board *board, enum board_figure figure, int64_t value)
{
    struct head *head = board->memory.writable;
    atomic_store_explicit(&head->figures[figure], value, memory_order_relaxed);
}

void board_add(struct board *board, enum board_figure figure)
{
    struct head *head = board->memory.writable;
    (void)atomic_fetch_add_explicit(&head->figures[figure], 1, memory_order_relaxed);
}

bool board_sit(struct board *board, size_t slot)
{
    assert(slot < SLOTS && board->own == NULL);
    if (!shared_memory_give_up(&board->memory, head_size() + slot * board->stride, board->stride))
        return false;
    board->own = own_slot(board, slot);
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
    return (size_t)atomic_load_explicit(&head_of(board)->used, memory_order_relaxed);
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
