/*
 * Certificates for unit tests: a folder of its own under the system's temporary
 * one, filled by shell lines that call openssl, and removed at the end. Keys
 * exist only while a test runs.
 */
#ifndef PKI_H
#define PKI_H

/* Makes the folder and changes to it. 0, or -1. */
int pki_begin(void);

/* Runs the lines with sh -e after the functions below; fails the test when one fails.
 *   key NAME                     NAME.key, P-256 in SEC 1 form
 *   issue NAME ISSUER DAYS LINE...  NAME.crt for NAME.key and the subject CN=NAME, signed by
 *                                ISSUER (itself when equal), with extension lines of openssl.cnf
 *   issue_as SUBJECT NAME ...    the same with another subject
 *   issue_from SUBJECT NAME ISSUER BEGIN END LINE...  the same, valid between these days from now
 *   leaf NAME ISSUER DAYS HOST...  a key and a certificate for the DNS names */
void pki_run(const char *lines);

/* Leaves the folder and removes it with all that is in it. */
int pki_end(void);

/* Begins and runs the lines, and ends; for cmocka's group set-up and tear-down. */
int pki_set_up(const char *lines);
int pki_tear_down(void **state);

#endif
