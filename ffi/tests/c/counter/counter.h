/* What the library has allocated, in a program that is linked with counter.c. */
#ifndef COUNTER_H
#define COUNTER_H

#include <stdint.h>

/* Bytes of all live blocks and anonymous mappings that were not made by the tests themselves. */
int64_t counted_bytes(void);

#endif
