/*
 * The policy hosts in a configuration of nginx: which servers are named
 * mta-sts.*, and what they answer with. It follows server_name, location, root,
 * alias, try_files, return and include; what it does not follow is reported.
 * Runs in the command import.
 */
#ifndef COMMAND_IMPORT_NGINX_H
#define COMMAND_IMPORT_NGINX_H

#include "command/import_hosts.h"

/* Adds the hosts that the file names, and those it includes. */
void import_nginx(struct import_hosts *hosts, const char *path);

/* Adds the hosts that the directives of nginx name; root has those of the file as its children. */
void import_nginx_tree(struct import_hosts *hosts, const struct directive *root);

#endif
