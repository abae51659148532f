/*
 * Whether this is a build with the address sanitizer (make SAN=1), whose runtime
 * wants a little more of the kernel than the program does, and finds leaks by
 * tracing the process. Every process may ask.
 */
#ifndef BASE_SANITIZER_H
#define BASE_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
