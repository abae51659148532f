/*
 * Queues in which connections and networks stand: first come, first out, and each may leave from where it
 * stands. A link is a part of what stands there, so nothing is allocated. Runs in the worker.
 */
#ifndef SERVE_QUEUE_H
#define SERVE_QUEUE_H

#include <stddef.h>

struct queue_link {
    struct queue_link *earlier; /* borrowed; neighbours in the queue */
    struct queue_link *later;
    void *owner; /* borrowed; what the link is a part of */
};

/* Begin with {0}. */
struct queue {
    struct queue_link *oldest; /* borrowed; NULL: the queue is empty */
    struct queue_link *newest;
    size_t count;
};

/* The link stands in no queue. */
static inline void queue_enter(struct queue *queue, struct queue_link *link)
{
    link->earlier = queue->newest;
    link->later = NULL;
    *(queue->newest == NULL ? &queue->oldest : &queue->newest->later) = link;
    queue->newest = link;
    queue->count++;
}

/* The link stands in this queue. */
static inline void queue_leave(struct queue *queue, struct queue_link *link)
{
    *(link->earlier == NULL ? &queue->oldest : &link->earlier->later) = link->later;
    *(link->later == NULL ? &queue->newest : &link->later->earlier) = link->earlier;
    queue->count--;
}

/* Whose link has stood in the queue for the longest time; NULL when it is empty. */
static inline void *queue_oldest(const struct queue *queue)
{
    return queue->oldest == NULL ? NULL : queue->oldest->owner;
}

#endif
