#include "serve/board.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/limits.h"

/* The generation that serves and the one that drains. */
enum { SLOTS = 2 * LIMIT_WORKERS };

/* A lock in memory that a worker can be killed in would hold up all others. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters of 64 bits without a lock");

struct slot {
    _Atomic uint64_t counters[BOARD_COUNTERS];
    _Atomic uint64_t connections;
    struct visits visits;
};

/* The kernel makes a page of it when somebody writes to it first. */
struct shared {
    _Atomic int64_t figures[BOARD_FIGURES];
    _Atomic uint64_t used; /* slots that were ever taken: the first ones */
    struct slot slots[SLOTS];
};

struct board {
    struct shared *shared; /* owned */
    struct slot *own;      /* a worker's; NULL in the supervisor */
    bool taken[SLOTS];     /* the supervisor's own knowledge */
};

struct board *board_new(void)
{
    struct board *board = calloc(1, sizeof(*board));
    if (board == NULL)
        return NULL;
    void *shared = mmap(NULL, sizeof(*board->shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        free(board);
        return NULL;
    }
    board->shared = shared;
    return board;
}

void board_free(struct board *board)
{
    if (board == NULL)
        return;
    (void)munmap(board->shared, sizeof(*board->shared)); /* it cannot fail for a whole mapping */
    free(board);
}

size_t board_take(struct board *board)
{
    size_t slot = 0;
    while (slot < SLOTS && board->taken[slot])
        slot++;
    assert(slot < SLOTS);
    board->taken[slot] = true;
    if (slot >= atomic_load_explicit(&board->shared->used, memory_order_relaxed))
        atomic_store_explicit(&board->shared->used, slot + 1, memory_order_relaxed);
    return slot;
}

void board_leave(struct board *board, size_t slot)
{
    assert(slot < SLOTS && board->taken[slot]);
    board->taken[slot] = false;
    atomic_store_explicit(&board->shared->slots[slot].connections, 0, memory_order_relaxed);
}

void board_set(struct board *board, enum board_figure figure, int64_t value)
{
    atomic_store_explicit(&board->shared->figures[figure], value, memory_order_relaxed);
}

void board_add(struct board *board, enum board_figure figure)
{
    (void)atomic_fetch_add_explicit(&board->shared->figures[figure], 1, memory_order_relaxed);
}

void board_sit(struct board *board, size_t slot)
{
    assert(slot < SLOTS && board->own == NULL);
    board->own = &board->shared->slots[slot];
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

/* Whoever is taken over may write any number there. */
static size_t used_slots(const struct board *board)
{
    uint64_t used = atomic_load_explicit(&board->shared->used, memory_order_relaxed);
    return used < SLOTS ? (size_t)used : SLOTS;
}

uint64_t board_sum(const struct board *board, enum board_counter counter)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < used_slots(board); i++)
        sum +=
            atomic_load_explicit(&board->shared->slots[i].counters[counter], memory_order_relaxed);
    return sum;
}

uint64_t board_connections(const struct board *board)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < used_slots(board); i++)
        sum += atomic_load_explicit(&board->shared->slots[i].connections, memory_order_relaxed);
    return sum;
}

const struct visits *board_visits(const struct board *board, size_t slot)
{
    return slot < used_slots(board) ? &board->shared->slots[slot].visits : NULL;
}

int64_t board_figure(const struct board *board, enum board_figure figure)
{
    return atomic_load_explicit(&board->shared->figures[figure], memory_order_relaxed);
}
