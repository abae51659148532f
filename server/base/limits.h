/*
 * Every limit of the program: a name, a value and the reason for it.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    /* RFC 1035 section 2.3.4, as text without the final dot. */
    LIMIT_LABEL = 63,
    LIMIT_NAME = 253,

    /* RFC 8461 section 3.2 bounds max_age above; Google asks for at least a day. Seconds. */
    LIMIT_MAX_AGE_LEAST = 86400,
    LIMIT_MAX_AGE_MOST = 31557600,
    /* Below this an enforced policy is warned of: NCSC, aykevl and mimecast find it too short. */
    LIMIT_MAX_AGE_ADVISED = 604800,

    /* What senders hold. Between the answer about the TXT record, the fetch and the sender's time stamp
     * (RFC 8461 section 3.3 ends a fetch after 60 s); and for clocks that differ and name servers that
     * are late with a change. Seconds. */
    LIMIT_FETCH_TIME = 60,
    LIMIT_PROMISE_MARGIN = 3600,
    /* What was served is remembered so long after the last day of its max_age: a clock that is a year
     * ahead forgets nothing, and there is a month for a record that was changed late. Seconds. */
    LIMIT_PROMISE_KEPT = 400 * 86400,
    /* After a load has begun, what was served before is served for so long at most: the promises are saved,
     * workers start, and the former ones drain. Seconds. */
    LIMIT_SWITCH = 60,
    /* A policy proves itself in a month: until then its mistakes should not be held for longer than four
     * weeks, and after it nothing is left to test. Seconds. */
    LIMIT_TRIAL = 30 * 86400,
    LIMIT_MAX_AGE_TRIAL = 28 * 86400,
    /* Senders see an id that long after it was changed, and renew what they hold under it. Seconds. */
    LIMIT_TTL_ADVISED = 86400,

    /* Of the zone with everybody's TXT records: two labels and "_mta-sts" fit in front of it. */
    LIMIT_DELEGATE = 110,

    /* chasquid reads no further than this; aykevl warns above the second. Bytes. */
    LIMIT_BODY = 10240,
    LIMIT_BODY_ADVISED = 4096,

    /* Most senders read no further than 64 KB (RFC 8461 section 3.3 advises it). Bytes. */
    LIMIT_BODY_MOST = 65536,
    /* What is told of a foreign policy: who has read a hundred faults mends the file first. */
    LIMIT_FINDINGS = 100,

    /* Addresses for reports (RFC 8460) in one record; people write one or two. Bytes. */
    LIMIT_TLS_RPT = 1024,

    /* RFC 8461 section 3.1: an id is 1 to 32 letters and digits. */
    LIMIT_ID = 32,
    /* The Exim script compares ids as numbers, which hold 18 digits. */
    LIMIT_ID_DIGITS = 18,

    /* The schema is four levels deep; the rest is room for a helpful message. */
    LIMIT_YAML_DEPTH = 16,
    /* A hoster may write an alias a domain; more is not a configuration. */
    LIMIT_YAML_ALIASES = 200000,
    /* People write a handful. */
    LIMIT_YAML_ANCHORS = 1000,
    /* 100,000 domains with inline policies are about 20 MB. Bytes. */
    LIMIT_YAML_FILE = 256 * 1024 * 1024,
    /* Long enough for any value we know; a longer one is a mistake. Bytes. */
    LIMIT_YAML_SCALAR = 4096,

    /* An included file, which may be a customer's. 10,000 domains with inline policies are 2 MB and
     * 100,000 values; a larger one can be several files. The reading of one takes some 50 MB and
     * half a second at most, whatever is in it; the time is for what was not thought of. */
    LIMIT_INCLUDE_FILE = 4 * 1024 * 1024,
    LIMIT_INCLUDE_NODES = 150000,
    LIMIT_INCLUDE_ALIASES = 20000,
    LIMIT_INCLUDE_CPU_MS = 1500,
    /* What its policies and addresses for reports come to when each domain has its own: a few bytes can
     * stand for many. What a file of the largest size writes out itself is less. Bytes. */
    LIMIT_INCLUDE_POLICIES = 2 * LIMIT_INCLUDE_FILE,
    /* Errors, and warnings, and notes: who has read so many mends these first. */
    LIMIT_INCLUDE_DIAGNOSTICS = 100,
    /* libyaml compares each directive with all before it; a file needs none, or one. */
    LIMIT_YAML_DIRECTIVES = 10,
    /* Events between two looks at the clock, which are some milliseconds. */
    LIMIT_YAML_EVENTS = 4096,

    /* "Did you mean ...?" compares a missing name with every name that is there: microseconds each.
     * Who has read so many of a file, or of all, mends these first. */
    LIMIT_SUGGESTIONS_A_FILE = 10,
    LIMIT_SUGGESTIONS = 100,
    LIMIT_SUGGESTION_WORDS = 1000,

    /* A web server's file with ten thousand virtual hosts of 1 KB; and all that is searched. Bytes. */
    LIMIT_IMPORT_FILE = 16 * 1024 * 1024,
    LIMIT_IMPORT_BYTES = 256 * 1024 * 1024,
    /* Names that stand for others: who has read so many names the domains. */
    LIMIT_IMPORT_REPORTS = 1000,
    /* For one address of a server that is imported from, and for all addresses of a host: an operator
     * waits. Milliseconds. */
    LIMIT_IMPORT_FETCH_MS = 10000,
    LIMIT_IMPORT_HOST_MS = 30000,

    /* Files without anything for us that are named, and faults of one file: who has read so many mends
     * what they have in common first. */
    LIMIT_CERTIFICATE_UNREAD = 100,
    LIMIT_CERTIFICATE_FAULTS = 20,
    /* Of each path that is configured: a certificate store of a hoster with 100,000 domains, one file
     * each for key and chain, twice. */
    LIMIT_CERTIFICATE_FILES = 400000,
    /* A combined PEM file is 10 KB; a file above this is not one. Bytes. */
    LIMIT_CERTIFICATE_FILE = 1024 * 1024,
    /* A site in memory (site/image.h): 100,000 domains and certificates are about 130 MB. Distances in
     * it have four bytes with a sign. */
    LIMIT_IMAGE = 0x7fffffff,

    /* Deepest known layout: Caddy's storage with four folders. */
    LIMIT_CERTIFICATE_DEPTH = 8,
    /* Leaf and intermediates; public authorities need at most four. */
    LIMIT_CHAIN = 6,
    /* Signatures verified to find one issuer among authorities of the same name: of those in the same
     * file, in the same folder, and elsewhere, each; and in a whole load. One takes a
     * millisecond, one in vain two. Beyond, an authority in the same file or folder is believed. */
    LIMIT_CHAIN_CHECKS = 64,
    LIMIT_CHAIN_CHECKS_A_LOAD = 500,
    /* Chains that a load verifies by the system's authorities, where several certificates are for one
     * host; one takes two milliseconds. */
    LIMIT_TRUST_CHECKS = 500,
    /* A chain must fit the TLS library's outgoing record buffer of 16 KB. Bytes of DER. */
    LIMIT_CHAIN_BYTES = 14000,
    /* CA/Browser Forum, Baseline Requirements 6.1.5. Bits. */
    LIMIT_RSA_BITS = 2048,
    /* A signature with RSA 4096 takes 10 ms of CPU, one with 8192 takes 90: 210 handshakes a second
     * then keep all others out. Bits. */
    LIMIT_RSA_BITS_MOST = 4096,
    /* Keys whose precomputed numbers a worker keeps, 5 KB each, 9 KB with RSA 4096: a signature then takes
     * three fifths of the time. Who has more RSA keys than this has few handshakes with each. */
    LIMIT_RSA_CONTEXTS = 32,
    /* Chains that a worker keeps parsed, 3 KB each: reading one is a hundredth of a handshake. */
    LIMIT_PARSED_CHAINS = 32,
    /* Before its end a certificate is warned of at the most: clients of ACME renew when a third of the
     * lifetime is left. Seconds. */
    LIMIT_CERTIFICATE_WARNING = 21 * 86400,

    /* Challenges of ACME clients that wait at the same time: a few orders of a hundred names, and
     * the bytes of all. A certificate with RSA 2048, as dehydrated makes it, and its key are 2 KB. */
    LIMIT_CHALLENGES = 512,
    LIMIT_CHALLENGES_BYTES = 1024 * 1024,
    /* One, with RSA 4096; its file in PEM is a third larger and may hold text. Bytes. */
    LIMIT_CHALLENGE = 6 * 1024,
    LIMIT_CHALLENGE_FILE = 16 * 1024,
    /* What is looked at in a folder of challenges. */
    LIMIT_CHALLENGE_FILES = 4096,

    /* A request line and headers of a policy fetch are below 300 bytes. */
    LIMIT_REQUEST_HEAD = 4096,
    LIMIT_REQUEST_HEADERS = 64,
    /* Of the PROXY protocol, with extensions; HAProxy with all of them stays below 1 KB. Bytes. */
    LIMIT_PROXY_HEADER = 2048,
    /* A response head is about 200 bytes, with a redirect 300 and the path more. */
    LIMIT_RESPONSE_HEAD = 1024,
    /* Of a request that is redirected: nobody types a longer one. Bytes. */
    LIMIT_REDIRECT_PATH = 256,
    /* Nobody needs more than one; a monitor may take a few. */
    LIMIT_REQUESTS_A_CONNECTION = 100,

    /* RFC 8446 section 5.1: what one record may hold, which is enough for three post-quantum key
     * shares. With the headers of its records, if it comes in many small ones. Bytes. */
    LIMIT_CLIENT_HELLO = 16 * 1024,
    LIMIT_CLIENT_HELLO_RECORDS = 20 * 1024,

    /* The slowest known sender waits 60 s, the fastest 2 s; a fetch takes one. Milliseconds. */
    LIMIT_UNFINISHED_MS = 10000,
    /* A proxy sends its header with the first packet; a retransmission takes a second. Milliseconds. */
    LIMIT_INTRODUCTION_MS = 3000,
    LIMIT_IDLE_MS = 5000,
    /* After our last byte: time for it to arrive before the socket is closed. Milliseconds. */
    LIMIT_LINGER_MS = 2000,
    /* A retiring worker has this long for what it began. Milliseconds. */
    LIMIT_DRAIN_MS = 12000,

    /* Connections a worker holds before the least loss gives way; 8 KB each after a handshake. */
    LIMIT_CONNECTIONS = 8192,
    /* What one may take in the middle of a handshake, with the kernel's buffers: of the memory that a
     * worker may have, half is shared out like this. The other half is there for a second generation
     * during a reload. With few connections it still serves. Bytes. */
    LIMIT_CONNECTION_MEMORY = 48 * 1024,
    LIMIT_CONNECTIONS_LEAST = 64,
    /* Of them from one network (IPv4 /32, IPv6 /64), and never more than half of those that the
     * descriptors allow: the other half is there for the others. Then one of its own gives way.
     * High, because behind a proxy all clients are one network; a sender needs one. */
    LIMIT_CONNECTIONS_A_NETWORK = 4096,
    /* Of these without a finished handshake, which are dearer; below the same half. An honest one
     * takes a second at most, and a worker cannot do 2,000 a second. */
    LIMIT_HANDSHAKES_A_NETWORK = 2048,
    /* When a worker is full, the network that holds most pays, if it holds more than a few. */
    LIMIT_CONNECTIONS_FEW = 8,
    /* What a network may compute in a round of the event loop while others have something to do too:
     * some handshakes. What it computed beyond that it owes in later rounds, up to the second value:
     * one signature with the largest key that is served. What all may compute before newcomers and
     * deadlines are looked at again. Microseconds. */
    LIMIT_NETWORK_SLICE_US = 4000,
    LIMIT_NETWORK_DEBT_US = 100000,
    LIMIT_ROUND_US = 32000,
    /* Half of what a network has used is forgotten in this time: a flood is remembered for some
     * seconds, which is as long as a fetch of others takes beside it. Milliseconds. */
    LIMIT_USAGE_HALF_MS = 500,

    /* A shortage shows with every client and is told so often. Milliseconds. */
    LIMIT_COMPLAINT_MS = 60000,

    /* What the kernel keeps of a connection's bytes, which it doubles for its own needs. Else it
     * takes megabytes for a client who asks for much and reads nothing, and keeps them after the
     * end. A handshake's flight and a response fit; so does a client's record. */
    LIMIT_SOCKET_SEND = 32 * 1024,
    LIMIT_SOCKET_RECEIVE = 16 * 1024,
    LIMIT_LISTENERS = 64,
    LIMIT_WORKERS = 256,

    /* /etc/passwd: a hundred thousand users of 100 bytes. Bytes. */
    LIMIT_USERS_FILE = 16 * 1024 * 1024,
    /* Workers that die one after the other, with less than a minute between two, are replaced at once
     * as long as they are few; then after a pause that doubles: what kills them may be a shortage that
     * each new one makes worse. A short one when no other serves. Milliseconds. */
    LIMIT_CRASHES_FEW = 5,
    LIMIT_PAUSE_MS = 250,
    LIMIT_PAUSE_MOST_MS = 10000,
    LIMIT_PAUSE_ALONE_MS = 1000,
    /* When so many have died and none was ready for a minute, nothing works: the service manager sees
     * it by the end of the server. */
    LIMIT_CRASHES = 12,
    LIMIT_CRASHES_MS = 60000,
    /* Between two looks at the files, soon enough for a renewal; and until a change has come to
     * rest. Milliseconds. */
    LIMIT_WATCH_MS = 2000,
    LIMIT_WATCH_REST_MS = 500,
    /* How long a change is waited for that does not come to rest: a file that is touched again and again
     * must not hold up the changes of others. Milliseconds. */
    LIMIT_WATCH_UNREST_MS = 5000,
    /* Where the kernel cannot tell of new challenges, the next look at them. What it tells of is looked
     * at at once, but at most one part in so many of the watcher's time. Milliseconds. */
    LIMIT_CHALLENGE_LOOK_MS = 2000,
    LIMIT_CHALLENGE_SHARE = 4,
    /* The watcher shows that it lives: so often, and when it did not for so long, it is ended and started
     * again. A look at many files on a slow disk takes its time. Milliseconds. */
    LIMIT_WATCHER_BEAT_MS = 60000,
    LIMIT_WATCHER_SILENCE_MS = 300000,
    /* What the supervisor takes from it between two beats; one that sends more is ended. There is at most one
     * for each look, each half a second. */
    LIMIT_WATCHER_MESSAGES = 250,
    /* A child that was killed is waited for so long at most, by the next watcher and by the end of the
     * supervisor: a disk that hangs may keep it. Milliseconds. */
    LIMIT_KILLED_MS = 2000,
    /* After a day certificates are judged anew: one may have become valid, another is about to
     * expire. Milliseconds. */
    LIMIT_WATCH_DAY_MS = 86400000,
    /* A look may take at most one part in so many of the watcher's time; while a change comes to
     * rest it may take more. */
    LIMIT_WATCH_SHARE = 100,
    LIMIT_WATCH_REST_SHARE = 10,
    /* Of a file in the state folder, which is read and written whole: 100,000 domains with a policy each are
     * 20 MB, and a few times that with what senders may still hold of a year of changes. Bytes. */
    LIMIT_STATE_FILE = 256 * 1024 * 1024,
    /* Of the status file: 100,000 domains with the longest names are 30 MB. What it tells of a load's
     * faults; "check" tells them all. Bytes. */
    LIMIT_STATUS_FILE = 64 * 1024 * 1024,
    LIMIT_STATUS_FAULTS = 16 * 1024,
    /* The command reload waits so long, unless told otherwise: an earlier generation finishes what it
     * began, 100,000 domains are loaded, workers start; and systemd gives up after 90. Seconds. */
    LIMIT_RELOAD_TIMEOUT = 60,
    /* The command that publishes DNS records is run again with smaller parts where it fails: for a few
     * zones of thousands that do not take them, and much less often when nothing is taken. */
    LIMIT_COMMIT_FAILURES = 256,
    LIMIT_COMMIT_FAILURES_AT_FIRST = 16,
    /* Of a line of the log, what names domains: then it fits with all that follows. Bytes. */
    LIMIT_LOG_NAMES = 1500,
    /* Between two looks at the memory of the processes: as often as monitors ask. Milliseconds. */
    LIMIT_GAUGES_MS = 10000,
    /* A loader that has said nothing for so long is ended: a disk that hangs, or a mistake of ours. The
     * slowest single step, a chain that is verified, takes milliseconds. Milliseconds. */
    LIMIT_LOAD_SILENCE_MS = 30000,
    /* Where loaders die again and again the next try has a pause that grows to this; so late at most it is
     * noticed that the files are others now. Milliseconds. */
    LIMIT_LOAD_PAUSE_MOST_MS = 60000,
    /* So often it says that it goes on. Milliseconds. */
    LIMIT_LOAD_PROGRESS_MS = 100,
    /* One that goes on for so long is ended all the same: the largest loads take seconds, and minutes where
     * each file comes over a network. By then it may have said that it goes on so often, and a little more.
     * Milliseconds. */
    LIMIT_LOAD_MS = 900000,
    LIMIT_LOAD_WORDS = LIMIT_LOAD_MS / LIMIT_LOAD_PROGRESS_MS + 1000,
    /* What is read at once of it, so that others are not kept waiting by one that never stops. */
    LIMIT_LOAD_WORDS_AT_ONCE = 32,
    /* Of the settings that it writes, with the lines of the status file, and the changes. Bytes. */
    LIMIT_SETTINGS_IMAGE = 2 * LIMIT_STATUS_FILE,
    /* Of the memory that is left, one part in so many is for others: clients come meanwhile. */
    LIMIT_LOAD_MARGIN = 8,
    /* For the last valid policies to be read from the disk, and to be on it, before "ready" is said without
     * them: a disk that is spun down needs a second or two, and a service manager waits longer. Milliseconds. */
    LIMIT_SAVE_MS = 2000,
    /* A saver that is killed is started again so often: the kernel may have had no memory for a moment. */
    LIMIT_SAVER_DEATHS = 3,
    /* From fork to ready: opening the TLS library takes milliseconds. Milliseconds. */
    LIMIT_READY_MS = 30000,

    /* The probe. Who asks about a thousand domains waits for seconds, not for hours; and yet none waits
     * long enough for the others that its own server would look slow. */
    LIMIT_PROBES = 32,
    /* Most senders give up after 10 s or later; seconds. The most impatient, postfix-tlspol, after 2 s. */
    LIMIT_PROBE_TIMEOUT = 10,
    LIMIT_PROBE_TIMEOUT_MOST = 3600,
    LIMIT_PROBE_BUDGET_MS = 2000,
    /* The time-out holds for the DNS and for each address; a domain may take so many of them in all,
     * which is enough when one of its addresses is silent. Its process has so much more to end by
     * itself. Milliseconds. */
    LIMIT_PROBE_TIMEOUTS = 3,
    LIMIT_PROBE_GRACE_MS = 2000,
    /* Results that are there are shown after this time, while others are still waited for: longer
     * than all good servers take. Milliseconds. */
    LIMIT_PROBE_SHOW_MS = 5000,
    /* Nobody gives a small host more; each is asked in turn. */
    LIMIT_PROBE_ADDRESSES = 8,
    /* Hosts that take the mail of a domain; the largest hosters name a dozen. */
    LIMIT_PROBE_MX = 32,
    /* A reply of an MX: the lines have 512 bytes at most (RFC 5321 section 4.5.3.1.5), and there are a
     * few dozen after EHLO. Bytes. */
    LIMIT_SMTP_REPLY = 8 * 1024,
    /* TXT records that are read of a name; more than one is a fault already. Aliases on the way to
     * it: unbound follows eleven. Between two name servers, a third of the time at most. */
    LIMIT_DNS_RECORDS = 1000,
    LIMIT_DNS_ALIASES = 11,
    LIMIT_DNS_RETRY_MS = 2000,
    /* Labels and pointers of a name in an answer: 127 labels fit 255 bytes, each behind a pointer. The C
     * library follows thousands, and an answer of 64 KB with nothing else would take seconds. */
    LIMIT_DNS_STEPS = 255,
    /* Of a server's certificates. Public authorities need at most four. */
    LIMIT_PROBE_CHAIN = 10,
    /* Of a server's own certificate: one with a hundred names is 8 KB. Bytes of DER. */
    LIMIT_VISIT_LEAF = 16 * 1024,
    /* Tries, 10 ms apart, to lock the state folder: who has it writes one file. */
    LIMIT_RECORD_TRIES = 200,
    /* Of a domain: who has read so many mends first what he has read. */
    LIMIT_PROBE_FINDINGS = 48,
    /* Web servers bound their own heads to 8 KB. Bytes. */
    LIMIT_ANSWER_HEAD = 16 * 1024,

    /* The health check asks for so many domains until one has a certificate; a refusal takes less
     * than a millisecond. */
    LIMIT_HEALTH_NAMES = 64,
    /* For one listener, and for all of them, of which each has its part: the image's check is ended
     * after 10 s. Milliseconds. */
    LIMIT_HEALTH_MS = 5000,
    LIMIT_HEALTH_ALL_MS = 8000,
    /* From this size on memory is mapped by itself: few pieces are so large, and a page more or less
     * does not count for them. Bytes. */
    LIMIT_SMALL_MEMORY = 32 * 1024,

    /* Senders that a worker remembers, half a megabyte of them, and what of a program's name. A domain
     * has a few dozen; the answer about one must fit LIMIT_BODY_MOST. */
    LIMIT_FETCH_RECORDS = 1024,
    LIMIT_FETCH_RECORD_AGENT = 80,
    LIMIT_SENDERS = 128,

    /* POSIX's PIPE_BUF: a log line of at most this length is never torn. */
    LIMIT_LOG_LINE = 4096,
    /* What of a client's words is shown in it; if each byte has six there, it still fits. Honest ones
     * are shorter. Bytes. */
    LIMIT_LOG_REQUEST = 300,
    LIMIT_LOG_REFERER = 60,
    LIMIT_LOG_AGENT = 200,
    /* Failed handshakes of a worker that have a line within a second; of the others only their number
     * is told. Enough for what senders do, and a flood does not fill a disk. */
    LIMIT_LOG_HANDSHAKES = 10,
};

#endif
