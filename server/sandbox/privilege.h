/*
 * Privileges, and how a process gives them up for good: what the supervisor does
 * to a part at its start and each worker in full when it is sealed. Each
 * function is one step, looks whether it came true, and is false with errno when
 * it did not. Runs in workers and in the supervisor.
 */
#ifndef SANDBOX_PRIVILEGE_H
#define SANDBOX_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What a program that is executed could have at most: nothing. Needs CAP_SETPCAP if there is
 * something to take away. */
bool privilege_empty_bounding_set(void);

/* Keeps those of the capabilities that are there (CAP_..., below 32), and no other. */
bool privilege_retain(const unsigned *capabilities, size_t count);

/* The kernel kills this process when its parent dies. False, too, when that is not the parent any more. */
bool privilege_follow(pid_t parent);

/* False when the process is not wholly the user and the group, or could become root again. */
bool privilege_is_final(uid_t uid, gid_t gid);

#endif
