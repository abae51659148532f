#include "load/acme.h"

#include "load/schema.h"

/* What is there of a pair that makes sense only together. */
static bool complain(struct diag *diag, struct position at, const char *problem, const char *hint)
{
    diag_add(diag, DIAG_FATAL, at, "%s", problem);
    diag_hint(diag, "%s", hint);
    return false;
}

static bool judge(const struct acme_nodes *nodes, struct position at, struct diag *diag)
{
    if (nodes->http != NULL && nodes->webroot == NULL)
        return complain(diag, nodes->http->at, "acme has http but no webroot",
                        "add \"webroot:\" with the folder that your ACME client writes to");
    if (nodes->http == NULL && nodes->webroot != NULL)
        return complain(diag, nodes->webroot->at, "acme has a webroot but nothing that serves it",
                        "add http: \"[::]:80\"; authorities ask on port 80");
    if (nodes->http == NULL && nodes->redirect != NULL)
        return complain(diag, nodes->redirect->at, "acme has redirect but no http",
                        "delete it: without http nobody can be redirected");
    if (nodes->http == NULL && nodes->alpn == NULL)
        return complain(diag, at, "acme has neither alpn nor http",
                        "write {alpn: DIR} for tls-alpn-01, or {http: \"[::]:80\", webroot: DIR} "
                        "for http-01");
    return true;
}

static bool copy(const struct node *node, struct arena *arena, const char **ret_text)
{
    if (node != NULL)
        *ret_text = arena_copy(arena, node->text);
    return node == NULL || *ret_text != NULL;
}

bool acme_read(const struct node *node, struct arena *arena, struct diag *diag,
               struct acme *ret_acme, const struct node **ret_http, bool *ret_redirect)
{
    struct acme_nodes nodes = {0};
    if (node == NULL)
        return true;
    bool good = schema_read(&schema_acme, node, &nodes, DIAG_FATAL, diag);
    good = good && judge(&nodes, node->at, diag);
    good = schema_boolean("redirect", nodes.redirect, ret_redirect, DIAG_FATAL, diag) && good;
    *ret_http = nodes.http;
    if (copy(nodes.alpn, arena, &ret_acme->alpn) && copy(nodes.webroot, arena, &ret_acme->webroot))
        return good;
    diag_shortage(diag);
    return false;
}
