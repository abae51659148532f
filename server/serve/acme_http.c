#include "serve/acme_http.h"

#include "base/limits.h"

static const char folder[] = "/.well-known/acme-challenge/";
static const char policy_path[] = "/.well-known/mta-sts.txt";

/* A path with a query leads to the same file, so it is no way around the rule either. */
static bool is_policy_path(struct span path)
{
    const char *query = path.len == 0 ? NULL : memchr(path.data, '?', path.len);
    if (query != NULL)
        path.len = (size_t)(query - path.data);
    return span_equal(path, span_of(policy_path));
}

/* The host is written as we know it, not as the client did. */
static enum http_status lead(const struct acme_http *validation, const struct http_request *request,
                             struct text *ret_location)
{
    const struct site_domain *domain =
        request->has_host ? site_find_host(validation->site, request->host) : NULL;
    struct span path = request->path;

    if (domain == NULL || is_policy_path(path) || path.len > LIMIT_REDIRECT_PATH)
        return HTTP_NOT_FOUND;
    text_printf(ret_location, "https://mta-sts.%s", site_name(domain));
    text_append(ret_location, path.len == 0 || path.data[0] != '/' ? span_of("/") : span_of(""));
    text_append(ret_location, path);
    return HTTP_PERMANENT_REDIRECT;
}

enum http_status acme_http_answer(const struct acme_http *validation,
                                  const struct http_request *request, struct text *ret_body,
                                  struct text *ret_location)
{
    struct challenge_answer answer;

    if (!request->has_path || (request->method != HTTP_GET && request->method != HTTP_HEAD))
        return HTTP_NOT_FOUND;
    if (!span_begins_fold(request->path, span_of(folder)))
        return validation->redirect ? lead(validation, request, ret_location) : HTTP_NOT_FOUND;
    if (memcmp(request->path.data, folder, sizeof(folder) - 1) != 0 ||
        !challenges_find(validation->challenges, CHALLENGE_HTTP,
                         span_skip(request->path, sizeof(folder) - 1), &answer))
        return HTTP_NOT_FOUND;
    text_append(ret_body, (struct span){(const char *)answer.bytes, answer.answer_len});
    return HTTP_OK;
}
