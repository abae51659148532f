/*
 * The syntax of nginx: words, quotes, escapes, comments, blocks, included files.
 * It knows no directive but "include". Runs in the command import.
 */
#ifndef COMMAND_IMPORT_NGINX_SYNTAX_H
#define COMMAND_IMPORT_NGINX_SYNTAX_H

#include "command/import_tree.h"

import_parse import_nginx_parse;

#endif
