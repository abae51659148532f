"""The files of the state folder that tell what was served and seen, as the program writes them."""

import datetime

PROMISES = "# mta-sts-httpd: the policies that senders may hold, written by the program. Form 1.\n"
SIGHTINGS = "# mta-sts-httpd: the ids that were seen in the DNS, written by the program. Form 1.\n"


def stamp(text):
    """2026-11-10, or with a time of the day, as the program writes it."""
    instant = datetime.datetime.fromisoformat(text)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _complete(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{text}# complete {value:016x}\n"


def write_served(folder, since, *rows):
    """Each row is (domain, "MODE MAX_AGE ID MX...", from, until or None)."""
    policies = list(dict.fromkeys(row[1] for row in rows))
    lines = [f"since {stamp(since)}\n", *(f"policy {policy}\n" for policy in policies)]
    for domain, policy, begin, end in rows:
        word, behind = ("served", "") if end is None else ("held", " " + stamp(end))
        lines.append(f"{word} {domain} {policies.index(policy)} {stamp(begin)}{behind}\n")
    folder.mkdir(exist_ok=True)
    (folder / "served-policies.txt").write_text(_complete(PROMISES + "".join(lines)))


def write_seen(folder, *rows):
    """Each row is (domain, id or "-", first, last, ttl)."""
    lines = [f"seen {domain} {name} {stamp(first)} {stamp(last)} {ttl}\n" for domain, name, first, last, ttl in rows]
    folder.mkdir(exist_ok=True)
    (folder / "seen-records.txt").write_text(_complete(SIGHTINGS + "".join(lines)))
