/*
 * The faults of struct fault_rule (probe/report), each as a row without the FAULT_, STAGE_ and DIAG_ of its
 * names. Include it where FAULT says what to make of a row. The sentences that several rows share are named
 * in report.c.
 */
FAULT(DNS_FAILED, "dns-failed", DNS, ERROR, "failed", NO_FURTHER,
      "see whether the name servers of the domain answer")
FAULT(
    DNS_SERVFAIL, "dns-failed", DNS, ERROR, "SERVFAIL", NO_FURTHER,
    "see whether the DNSSEC signatures of the domain are valid, and whether its name servers answer")
FAULT(
    DNS_REFUSED, "dns-failed", DNS, ERROR, "REFUSED",
    "no sender gets further than this, unless it is only this machine that is refused",
    "see whether the name servers of the domain serve it, and whether this machine may ask the name "
    "server in /etc/resolv.conf")
FAULT(DNS_CUT, "dns-cut", DNS, ERROR, "cut",
      "nothing is known about it: the name server of this machine does not give the answer",
      "see whether the name server in /etc/resolv.conf answers over TCP (port 53)")
FAULT(DNS_SILENT, "dns-silent", DNS, ERROR, "no answer",
      "senders wait for the answer, and many time out first",
      "see whether the name servers of the domain answer questions of every type")
FAULT(
    DNS_MUTE, "dns-silent", DNS, ERROR, "no answer",
    "nothing is known about this domain: either its name servers are silent, or that of this machine",
    "probe another domain to see which")
FAULT(DNS_HERE, "dns-here", DNS, ERROR, "not asked", "nothing is known about this domain",
      "correct /etc/resolv.conf, or start the name server that it names")
FAULT(DNS_FAMILY, "dns-family", DNS, WARNING, "family",
      "some senders treat the host as one without an address",
      "see whether the name servers of the domain answer questions of both types")
FAULT(DNS_SLOW, "dns-slow", DNS, WARNING, "slow", "postfix-tlspol gives up after 2 s",
      "see why the name servers of the domain answer late")
FAULT(NO_ADDRESS, "no-address", DNS, ERROR, "no address", NOT_REACHED,
      "publish an A, AAAA or CNAME record for it")
FAULT(RECORD_MISSING, "record-missing", DNS, ERROR, "no record", NOT_FOUND, PUBLISH)
FAULT(
    RECORD_SEVERAL, "record-several", DNS, ERROR, "records",
    "with more than one, senders must take the domain for one without a policy (RFC 8461 section 3.1)",
    "leave only the right one")
FAULT(RECORD_OTHERS, "record-others", DNS, WARNING, "other TXT",
      "other TXT records at the name disturb KumoMTA and checkdmarc",
      "leave only the one of MTA-STS")
FAULT(RECORD_FORM, "record-form", DNS, ERROR, "record", NOT_FOUND, PUBLISH)
FAULT(RECORD_QUOTED, "record-quoted", DNS, ERROR, "quoted", NOT_FOUND,
      "leave out the quotation marks: they belong to the form of zone files, not to the value")
FAULT(RECORD_SPACE_BEFORE, "record-space-before", DNS, ERROR, "record",
      "halon, chasquid, aykevl and mailpiece do not understand it", PUBLISH)
FAULT(RECORD_SPACE_BEHIND, "record-space-behind", DNS, ERROR, "record",
      "KumoMTA does not understand it", PUBLISH)
FAULT(RECORD_ID, "record-id-number", DNS, WARNING, "id",
      "the Exim script compares ids as numbers and may miss a change", PUBLISH)
FAULT(RECORD_DIFFERS, "record-id", DNS, ERROR, "old id",
      "senders that have an older policy keep it until the id changes", PUBLISH)
FAULT(RECORD_ALIAS, "record-alias", DNS, WARNING, "alias",
      "senders do not see the record that tells of the domain's policy", PUBLISH)
FAULT(MX_NULL, "mx-null", DNS, NOTE, NULL,
      "the domain takes no mail (RFC 7505), so a policy is of no use to it", NULL)
FAULT(MX_NULL_AMONG, "mx-null-among", DNS, WARNING, "null mx",
      "it must stand alone (RFC 7505 section 3), and some senders deliver no mail",
      "remove it, or the others")
FAULT(MX_MORE, "mx-more", DNS, WARNING, "mx", "the policy is not compared with the others",
      "see whether the policy names them all")
FAULT(MX_UNKNOWN, "mx-unknown", DNS, WARNING, "mx",
      "senders deliver no mail meanwhile, and the policy is not compared with the MX",
      "see whether the name servers of the domain answer questions of every type")
FAULT(
    MX_ALIAS, "mx-alias", DNS, WARNING, "mx alias",
    "an MX must be no alias (RFC 2181 section 10.3): Postfix compares the name in the MX record with "
    "the policy, Exim that which it leads to, and both the former with the certificate",
    "write the other name into the MX record, and list both in mx before")
FAULT(MX_HELD, "mx-held", DNS, WARNING, "held mx", "these senders use the other hosts only",
      "\"mta-sts-httpd list --held\" tells from when on it may stand alone")
FAULT(MX_HELD_ALL, "mx-held-all", DNS, ERROR, "held mx",
      "these senders deliver no mail to the domain",
      "bring back the MX record of a host that the policy names")
FAULT(REFUSED, "refused", CONNECT, ERROR, "refused", NOT_REACHED,
      "see whether the server runs and listens on this address")
FAULT(UNREACHABLE, "unreachable", CONNECT, ERROR, "unreachable", NOT_REACHED,
      "correct the address record, the route or the firewall")
FAULT(NO_ROUTE, "no-route", CONNECT, NOTE, "no route",
      "this machine has no address of that family, so nothing is known about it", NULL)
FAULT(CONNECT_TIMEOUT, "connect-timeout", CONNECT, ERROR, "timeout", NOT_REACHED,
      "see whether a firewall drops what comes to the port")
FAULT(NOT_ASKED, "not-asked", CONNECT, WARNING, "not asked", "nothing is known about this address",
      "give it more time with --timeout")
FAULT(SMTP_SILENT, "smtp-silent", CONNECT, WARNING, "silent", MX_UNKNOWN, MX_ELSEWHERE)
FAULT(SMTP_REFUSED, "smtp-refused", CONNECT, WARNING, "refused", MX_UNKNOWN, MX_ELSEWHERE)
FAULT(SMTP_MALFORMED, "smtp-malformed", TLS, ERROR, "not SMTP", NOT_REACHED,
      "see what listens on this port")
FAULT(STARTTLS_MISSING, "starttls-missing", TLS, ERROR, "no STARTTLS", NOT_REACHED,
      "switch on TLS for mail that comes in, and see that no firewall removes STARTTLS")
FAULT(STARTTLS_REFUSED, "starttls-refused", TLS, ERROR, "refused", NOT_REACHED,
      "see the server's log")
FAULT(SMTP_AHEAD, "smtp-ahead", TLS, ERROR, "ahead", NOT_REACHED,
      "see whether somebody in between adds to what the server sends")
FAULT(TLS_TIMEOUT, "tls-timeout", TLS, ERROR, "timeout", NOT_REACHED, NULL)
FAULT(TLS_OLD, "tls-old", TLS, ERROR, "old TLS",
      "RFC 8461 section 3.3 and every sender ask for TLS 1.2 or newer", SUITES)
FAULT(TLS_13_ONLY, "tls-1.3-only", TLS, WARNING, "1.3 only",
      "mimecast supports nothing newer than TLS 1.2", SUITES)
FAULT(TLS_12_TIMEOUT, "tls-1.2-timeout", TLS, WARNING, "1.2 hangs",
      "mimecast supports nothing newer than TLS 1.2", SUITES)
FAULT(TLS_NAME, "tls-name", TLS, ERROR, "no name", NOT_REACHED,
      "configure the domain there, and see that its certificate is found")
FAULT(TLS_SUITES, "tls-suites", TLS, ERROR, "no suite", NOT_REACHED, SUITES)
FAULT(TLS_ALERT, "tls-alert", TLS, ERROR, "alert", NOT_REACHED, "see the server's log")
FAULT(TLS_CLOSED, "tls-closed", TLS, ERROR, "closed", NOT_REACHED,
      "see the server's log; it may not know the name")
FAULT(TLS_BROKEN, "tls-broken", TLS, ERROR, "broken", NOT_REACHED, "see the server's log")
FAULT(PLAIN_HTTP, "plain-http", TLS, ERROR, "plain HTTP", NOT_REACHED,
      "switch on TLS for this port")
FAULT(NOT_TLS, "not-tls", TLS, ERROR, "not TLS", NOT_REACHED, "see what listens on this port")
FAULT(CERTIFICATE_UNREADABLE, "certificate-unreadable", CERTIFICATE, ERROR, "unreadable",
      NOT_VERIFIED, RENEW)
FAULT(CERTIFICATE_EXPIRED, "certificate-expired", CERTIFICATE, ERROR, "expired", NOT_VERIFIED,
      RENEW)
FAULT(CERTIFICATE_NOT_YET, "certificate-not-yet-valid", CERTIFICATE, ERROR, "not yet valid",
      NOT_VERIFIED, "see whether the clocks are right; else wait")
FAULT(CERTIFICATE_ENDS_SOON, "certificate-ends-soon", CERTIFICATE, WARNING, "ends soon",
      "after that no sender accepts the server", RENEW)
FAULT(CERTIFICATE_NAME, "certificate-name", CERTIFICATE, ERROR, "other name", NOT_VERIFIED,
      "have a certificate issued for this very name")
FAULT(CERTIFICATE_SELF_SIGNED, "certificate-self-signed", CERTIFICATE, ERROR, "self-signed",
      NOT_VERIFIED, "have one issued by a public authority, such as Let's Encrypt")
FAULT(CERTIFICATE_INCOMPLETE, "certificate-incomplete", CERTIFICATE, ERROR, "incomplete",
      "browsers may fetch what is missing, senders do not and refuse the policy",
      "serve the whole chain: fullchain.pem instead of cert.pem (nginx: "
      "ssl_certificate, Apache: SSLCertificateFile)")
FAULT(CERTIFICATE_UNKNOWN_ROOT, "certificate-unknown-root", CERTIFICATE, ERROR, "unknown root",
      NOT_VERIFIED, "have one issued by a public authority; --ca FILE names others to this program")
FAULT(CERTIFICATE_CHAIN_EXPIRED, "certificate-chain-expired", CERTIFICATE, ERROR, "chain expired",
      NOT_VERIFIED, RENEW)
FAULT(CERTIFICATE_KEY, "certificate-key", CERTIFICATE, ERROR, "key",
      "senders verify P-256, P-384 and RSA of 2048 bits or more", RENEW)
FAULT(CERTIFICATE_WEAK, "certificate-weak", CERTIFICATE, ERROR, "weak", NOT_VERIFIED, RENEW)
FAULT(CERTIFICATE_USAGE, "certificate-usage", CERTIFICATE, ERROR, "usage", NOT_VERIFIED,
      "have one issued for TLS servers")
FAULT(CERTIFICATE_LARGE, "certificate-large", CERTIFICATE, ERROR, "large",
      "most senders read that much, but this program does not: nothing that follows is known",
      "send the certificate and those between it and the authority, and nothing else")
FAULT(CERTIFICATE_COSTLY, "certificate-key-costly", CERTIFICATE, ERROR, "costly key",
      "OpenSSL and Go refuse such keys, because checking a signature takes too long", RENEW)
FAULT(CERTIFICATE_CONSTRAINED, "certificate-constrained", CERTIFICATE, ERROR, "constrained",
      NOT_VERIFIED, "have one issued by an authority that may issue for the domain")
FAULT(CERTIFICATE_NOT_JUDGED, "certificate-not-judged", CERTIFICATE, NOTE, NULL,
      "senders that do not know a critical extension refuse the chain (RFC 5280 section 4.2)", NULL)
FAULT(CERTIFICATE_STAPLE, "certificate-must-staple", CERTIFICATE, WARNING, "staple",
      "senders with GnuTLS refuse it when the server sends none, which is not checked here",
      "have one issued without must-staple")
FAULT(CERTIFICATE_TAIL_EXPIRED, "certificate-cross-expired", CERTIFICATE, NOTE, NULL,
      "senders with OpenSSL before 1.1.0 or GnuTLS before 3.6.14 refuse the chain",
      "leave it out of the chain")
FAULT(HTTP_TIMEOUT, "http-timeout", HTTP, ERROR, "timeout", NOT_REACHED, FASTER)
FAULT(HTTP_CLOSED, "http-closed", HTTP, ERROR, "closed", NOT_REACHED, "see the server's log")
FAULT(HTTP_MALFORMED, "http-malformed", HTTP, ERROR, "malformed",
      "strict senders refuse what they cannot read in one way only",
      "see what is in front of the server")
FAULT(REDIRECT, "redirect", HTTP, ERROR, "redirect",
      "senders must not follow it (RFC 8461 section 3.3); some testers do and look green",
      "answer with the policy itself")
FAULT(STATUS, "status", HTTP, ERROR, NULL,
      "every sender but Stalwart and danmarg, which never look, refuses it",
      "answer with the policy")
FAULT(STATUS_2XX, "status-2xx", HTTP, ERROR, NULL,
      "every sender but mailauth, Stalwart and danmarg refuses it", "answer with status 200")
FAULT(TYPE_MISSING, "content-type-missing", HTTP, ERROR, "no type",
      "KumoMTA and checkdmarc refuse it, and RFC 8461 section 3.3 advises all senders to",
      "send Content-Type: text/plain")
FAULT(TYPE, "content-type", HTTP, ERROR, "type",
      "KumoMTA and checkdmarc refuse it, and RFC 8461 section 3.3 advises all senders to",
      "send Content-Type: text/plain")
FAULT(TYPE_CASE, "content-type-case", HTTP, ERROR, "type",
      "KumoMTA and checkdmarc compare it in lower case", "send Content-Type: text/plain")
FAULT(COMPRESSED, "content-encoding", HTTP, ERROR, "encoded",
      "no sender asks for an encoding, so senders read the bytes as they are",
      "switch off compression")
FAULT(SLOW, "slow", HTTP, WARNING, "slow", "postfix-tlspol gives up after 2 s", FASTER)
FAULT(SLOW_4, "slow", HTTP, ERROR, "slow",
      "postfix-tlspol gives up after 2 s, postfix-mta-sts-resolver after 4 s", FASTER)
FAULT(SLOW_5, "slow", HTTP, ERROR, "slow",
      "postfix-tlspol gives up after 2 s, postfix-mta-sts-resolver after 4 s, halon after 5 s",
      FASTER)
FAULT(LARGE, "large-most", POLICY, ERROR, "large", "most senders read no further",
      "leave out what is no policy")
FAULT(POLICY_DIFFERS, "policy-differs", POLICY, ERROR, "differs",
      "senders enforce what is served, not what is configured",
      "reload the server, or see which server answers there")
FAULT(MX_REFUSED, "mx-refused", POLICY, ERROR, "mx",
      "senders that enforce the policy refuse this host", "list it in mx, or remove its MX record")
FAULT(MX_UNCOVERED, "mx-uncovered", POLICY, WARNING, "mx",
      "senders would refuse this host if the policy were enforced",
      "list it in mx, or remove its MX record")
FAULT(MX_NONE, "mx-none", POLICY, WARNING, "mx",
      "senders that enforce the policy refuse it; if the domain has no mail, it does no harm",
      "publish the MX records of the domain, or list it in mx")
FAULT(MX_UNUSED, "mx-unused", POLICY, NOTE, NULL,
      "an mx that is not used yet, or not any more, does no harm", NULL)
FAULT(UNFINISHED, "unfinished", HTTP, ERROR, "unfinished",
      "the report on this domain is incomplete", "give it more time with --timeout")
FAULT(INTERNAL, "internal", DNS, ERROR, "not asked", "nothing is known about this domain",
      "try again")
