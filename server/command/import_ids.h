/*
 * Keeps the ids that are published today, so that senders who hold a policy need
 * not fetch it again: from the DNS, or from lines of a zone file. An id is kept
 * only where the policy still means the same. Runs in the command import.
 */
#ifndef COMMAND_IMPORT_IDS_H
#define COMMAND_IMPORT_IDS_H

#include "command/import_hosts.h"

/* Sets the id of every host that has a policy; what is not kept is reported. path is a file with
 * lines of a zone, or NULL: the DNS is asked. */
void import_keep_ids(struct import_hosts *hosts, const char *path);

#endif
