/*
 * A fuzz target is one file, fuzz_NAME.c, which defines the function below: it
 * gives the bytes to a parser and asserts what must hold for every input. Built
 * with clang it is driven by libFuzzer ("make fuzz"); built with any compiler
 * it replays the files of corpus/NAME ("make test"). A target keeps nothing
 * from one input to the next and asks neither clock nor chance, so that an
 * input does the same thing each time.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0, always; a finding ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
