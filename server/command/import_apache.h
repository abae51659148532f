/*
 * The policy hosts in a configuration of Apache: which virtual hosts are named
 * mta-sts.*, and what they answer with. It follows ServerName, ServerAlias,
 * DocumentRoot, Alias, AliasMatch without references, Define and Include; what
 * it does not follow is reported. Runs in the command import.
 */
#ifndef COMMAND_IMPORT_APACHE_H
#define COMMAND_IMPORT_APACHE_H

#include "command/import_hosts.h"

/* Adds the hosts that the file names, and those it includes. */
void import_apache(struct import_hosts *hosts, const char *path);

/* Adds the hosts that the directives of Apache name; root has those of the file as its children. */
void import_apache_tree(struct import_hosts *hosts, const struct directive *root);

#endif
