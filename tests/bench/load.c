/*
 * The load generator of the benchmark: fetches (fetch.h) in some ways. No part of the program.
 *
 *   load --address IP:PORT --hosts FILE --body FILE [--tls 1.2|1.3] [--group X25519|P-256]
 *        [--threads N] MODE
 *
 *   --count N        fetches N times, as fast as the threads can
 *   --rate N         fetches N times a second until standard input ends
 *   --wait SECONDS   says that it begins, fetches until the first success, says when that was
 *   --hold N         opens N connections with a fetch each, keeps them alive, says so, and when
 *                    standard input ends says how many are still open
 *   --greet N        the same without the fetch: connections after the handshake, before the GET
 *
 *   load --calibrate N   does a fixed piece of work N times and says how much CPU time it took
 *
 * The hosts, one a line, take turns. It prints JSON, a line for each thing to tell. Times are of
 * CLOCK_MONOTONIC.
 */
#include "fetch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MOST = 64,
    /* Between two attempts of --wait: small beside the shortest start that is measured. */
    WAIT_PAUSE_NS = 200000,
    /* Room for latencies: hours at a hundred a second, and any count that is asked for. */
    LATENCIES_MOST = 1 << 20,
    NS_A_SECOND = 1000000000,
};

enum mode { MODE_NONE, MODE_COUNT, MODE_RATE, MODE_WAIT, MODE_HOLD, MODE_GREET, MODE_CALIBRATE };

/* What is asked for; written once, before the threads start. */
struct order {
    struct fetch_plan plan;
    char *body;       /* owned */
    char *hosts_text; /* owned: where hosts point into */
    char **hosts;     /* owned */
    size_t hosts_len;
    enum mode mode;
    double amount;
    int threads;
};

/* What the threads share. */
struct run {
    const struct order *order;
    atomic_size_t next;
    atomic_size_t done;
    atomic_size_t failures;
    atomic_bool stop;
    int64_t begin;
    uint32_t *latencies; /* in microseconds, one for each success */
    pthread_mutex_t mutex;
    char first_error[200]; /* under the mutex */
};

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, errno != 0 ? strerrordesc_np(errno) : "no");
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_A_SECOND + now.tv_nsec;
}

static void sleep_until(int64_t when)
{
    struct timespec end = {when / NS_A_SECOND, when % NS_A_SECOND};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR) {
    }
}

static void note(struct run *run, const char *wrong, const char *host, int64_t begin)
{
    if (wrong == NULL) {
        size_t place = atomic_fetch_add(&run->done, 1);

        if (place < LATENCIES_MOST) {
            run->latencies[place] = (uint32_t)((now_ns() - begin) / 1000);
        }
        return;
    }
    atomic_fetch_add(&run->failures, 1);
    pthread_mutex_lock(&run->mutex);
    if (run->first_error[0] == '\0') {
        (void)snprintf(run->first_error, sizeof(run->first_error), "%s (%s)", wrong, host);
    }
    pthread_mutex_unlock(&run->mutex);
}

static void *work(void *argument)
{
    struct run *run = argument;
    const struct order *order = run->order;

    while (!atomic_load(&run->stop)) {
        size_t number = atomic_fetch_add(&run->next, 1);
        char *host = order->hosts[number % order->hosts_len];
        int64_t begin;

        if (order->mode == MODE_COUNT && (double)number >= order->amount) {
            break;
        }
        if (order->mode == MODE_RATE) {
            sleep_until(run->begin + (int64_t)((double)number * NS_A_SECOND / order->amount));
        }
        begin = now_ns();
        note(run, fetch_whole(&order->plan, host), host, begin);
    }
    return NULL;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static void print_run(struct run *run, double seconds)
{
    size_t done = atomic_load(&run->done), count = done < LATENCIES_MOST ? done : LATENCIES_MOST;

    qsort(run->latencies, count, sizeof(*run->latencies), compare);
    printf("{\"fetches\": %zu, \"failures\": %zu, \"first_error\": \"%s\", \"seconds\": %.6f", done,
           atomic_load(&run->failures), run->first_error, seconds);
    if (count > 0) {
        printf(", \"latency_us\": {\"median\": %u, \"p99\": %u, \"most\": %u}",
               run->latencies[count / 2], run->latencies[count * 99 / 100],
               run->latencies[count - 1]);
    }
    printf("}\n");
}

/* Returns when whoever started this has closed its end of the pipe. */
static void wait_for_end_of_input(void)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

static int run_threads(const struct order *order)
{
    struct run run = {.order = order, .mutex = PTHREAD_MUTEX_INITIALIZER, .begin = now_ns()};
    pthread_t threads[THREADS_MOST] = {0};

    run.latencies = calloc(LATENCIES_MOST, sizeof(*run.latencies));
    if (run.latencies == NULL) {
        die("memory");
    }
    for (int i = 0; i < order->threads; i++) {
        errno = pthread_create(&threads[i], NULL, work, &run);
        if (errno != 0) {
            die("thread");
        }
    }
    if (order->mode == MODE_RATE) {
        wait_for_end_of_input();
        atomic_store(&run.stop, true);
    }
    for (int i = 0; i < order->threads; i++) {
        pthread_join(threads[i], NULL);
    }
    print_run(&run, (double)(now_ns() - run.begin) / NS_A_SECOND);
    free(run.latencies);
    return atomic_load(&run.failures) > 0;
}

static int run_wait(const struct order *order)
{
    int64_t end = now_ns() + (int64_t)(order->amount * NS_A_SECOND);
    const char *wrong = "no time was given";

    printf("{\"waiting\": true}\n");
    (void)fflush(stdout);
    while (now_ns() < end) {
        wrong = fetch_whole(&order->plan, order->hosts[0]);
        if (wrong == NULL) {
            printf("{\"at\": %.6f}\n", (double)now_ns() / NS_A_SECOND);
            return 0;
        }
        sleep_until(now_ns() + WAIT_PAUSE_NS);
    }
    printf("{\"first_error\": \"not within %.0f s: %s\"}\n", order->amount, wrong);
    return 1;
}

/* How many of the connections the server has not closed. */
static size_t still_open(const struct fetch_connection *connections, size_t count)
{
    size_t open = 0;

    for (size_t i = 0; i < count; i++) {
        struct pollfd poll_fd = {.fd = connections[i].fd, .events = POLLRDHUP};

        open += poll(&poll_fd, 1, 0) == 0;
    }
    return open;
}

static int run_hold(const struct order *order)
{
    size_t count = (size_t)order->amount, held = 0;
    struct fetch_connection *connections = calloc(count, sizeof(*connections));
    const char *wrong = NULL;

    if (connections == NULL) {
        die("memory");
    }
    while (held < count) {
        struct fetch_connection *connection = &connections[held];
        char *host = order->hosts[held % order->hosts_len];

        wrong = fetch_open(&order->plan, host, connection);
        if (wrong == NULL && order->mode == MODE_HOLD) {
            wrong = fetch_exchange(&order->plan, host, connection, true);
        }
        if (wrong != NULL) {
            fetch_close(connection);
            break;
        }
        held++;
    }
    printf("{\"held\": %zu, \"first_error\": \"%s\"}\n", held, wrong != NULL ? wrong : "");
    (void)fflush(stdout);
    wait_for_end_of_input();
    printf("{\"open\": %zu}\n", still_open(connections, held));
    for (size_t i = 0; i < held; i++) {
        fetch_close(&connections[i]);
    }
    free(connections);
    return held < count;
}

/* The whole file, with a zero behind it; owned. */
static char *read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rbe");
    char *data = NULL;
    size_t size = 0;
    ssize_t len;

    if (file == NULL) {
        die(path);
    }
    /* No file of ours holds a zero, so that this reads to the end. */
    len = getdelim(&data, &size, '\0', file);
    if (len <= 0) {
        die(path);
    }
    (void)fclose(file);
    *ret_len = (size_t)len;
    return data;
}

static void read_hosts(struct order *order, const char *path)
{
    size_t len, lines = 1;
    char *rest = order->hosts_text = read_file(path, &len);

    for (size_t i = 0; i < len; i++) {
        lines += rest[i] == '\n';
    }
    order->hosts = calloc(lines, sizeof(*order->hosts));
    if (order->hosts == NULL) {
        die("memory");
    }
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            order->hosts[order->hosts_len++] = line;
        }
    }
}

static struct sockaddr_in parse_address(char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');

    errno = EINVAL;
    if (colon == NULL) {
        die("--address");
    }
    *colon = '\0';
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1 || address.sin_port == 0) {
        die("--address");
    }
    return address;
}

static const struct option OPTIONS[] = {
    {"address", required_argument, NULL, 'a'},
    {"hosts", required_argument, NULL, 'h'},
    {"body", required_argument, NULL, 'b'},
    {"tls", required_argument, NULL, 't'},
    {"group", required_argument, NULL, 'g'},
    {"calibrate", required_argument, NULL, MODE_CALIBRATE},
    {"threads", required_argument, NULL, 'n'},
    {"count", required_argument, NULL, MODE_COUNT},
    {"rate", required_argument, NULL, MODE_RATE},
    {"wait", required_argument, NULL, MODE_WAIT},
    {"hold", required_argument, NULL, MODE_HOLD},
    {"greet", required_argument, NULL, MODE_GREET},
    {NULL, 0, NULL, 0},
};

static void read_options(struct order *order, int argc, char **argv)
{
    const char *hosts = NULL, *body = NULL;
    int version = TLS1_3_VERSION, option;

    order->plan.group = NID_X25519;

    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'a':
            order->plan.address = parse_address(optarg);
            break;
        case 'h':
            hosts = optarg;
            break;
        case 'b':
            body = optarg;
            break;
        case 't':
            version = strcmp(optarg, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
            break;
        case 'g':
            order->plan.group = strcmp(optarg, "P-256") == 0 ? NID_X9_62_prime256v1 : NID_X25519;
            break;
        case 'n':
            order->threads = (int)strtol(optarg, NULL, 10);
            break;
        case '?':
            exit(2);
        default:
            order->mode = (enum mode)option;
            order->amount = strtod(optarg, NULL);
            break;
        }
    }
    errno = EINVAL;
    if (order->mode == MODE_CALIBRATE) {
        return;
    }
    if (order->mode == MODE_NONE || order->amount <= 0 || order->threads < 1 ||
        order->threads > THREADS_MOST || order->plan.address.sin_port == 0 || hosts == NULL ||
        body == NULL) {
        die("the options (see the head of load.c)");
    }
    read_hosts(order, hosts);
    if (order->hosts_len == 0) {
        die(hosts);
    }
    order->plan.body = order->body = read_file(body, &order->plan.body_len);
    order->plan.tls = fetch_new_context(version, order->plan.group);
    if (order->plan.tls == NULL) {
        exit(2);
    }
}

/* Arithmetic on words and passes over 64 KB, as what is measured does; the figure says how fast the
 * machine is at this moment. */
static int run_calibrate(const struct order *order)
{
    static uint64_t memory[8192];
    uint64_t word = 88172645463325252U;
    struct timespec used;

    for (long left = (long)order->amount; left > 0; left--) {
        for (size_t i = 0; i < 200000; i++) {
            word ^= word << 13;
            word ^= word >> 7;
            word = (word ^ word << 17) * 0x9e3779b97f4a7c15U;
            memory[word >> 51] += word;
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    /* The sum keeps a compiler from leaving the work out. */
    (void)printf("{\"cpu_us\": %lld, \"sum\": %u}\n",
                 (long long)used.tv_sec * 1000000 + used.tv_nsec / 1000, (unsigned)memory[7]);
    return 0;
}

static int run(const struct order *order)
{
    switch (order->mode) {
    case MODE_CALIBRATE:
        return run_calibrate(order);
    case MODE_WAIT:
        return run_wait(order);
    case MODE_HOLD:
    case MODE_GREET:
        return run_hold(order);
    case MODE_NONE:
    case MODE_COUNT:
    case MODE_RATE:
        break;
    }
    return run_threads(order);
}

int main(int argc, char **argv)
{
    struct order order = {.threads = 1};
    int status;

    (void)signal(SIGPIPE, SIG_IGN);
    read_options(&order, argc, argv);
    status = run(&order);
    SSL_CTX_free(order.plan.tls);
    free(order.body);
    free(order.hosts);
    free(order.hosts_text);
    return status;
}
