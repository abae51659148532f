/*
 * The syntax of Apache: lines that may be continued, words, quotes, sections,
 * variables, included files. What stands in <IfModule>, <IfDefine> and
 * <IfVersion> is read as if the condition held, unless it is negated. Runs in
 * the command import.
 */
#ifndef COMMAND_IMPORT_APACHE_SYNTAX_H
#define COMMAND_IMPORT_APACHE_SYNTAX_H

#include "command/import_tree.h"

import_parse import_apache_parse;

#endif
