/* Checks, and the tests of this program. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bywash.h"

#define CHECK(what)                                                          \
  do {                                                                       \
    if (!(what)) {                                                           \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);     \
      abort();                                                               \
    }                                                                        \
  } while (0)

/* A call that must work; its last argument is `&error`. */
#define OK(call)                                                             \
  do {                                                                       \
    bywash_error *error = NULL;                                              \
    int32_t status = (call);                                                 \
    if (status != BYWASH_OK || error != NULL) {                              \
      fprintf(stderr, "%s:%d: %s: status %d: %s\n", __FILE__, __LINE__,      \
              #call, (int)status, bywash_error_message(error));              \
      abort();                                                               \
    }                                                                        \
  } while (0)

/* A call that must fail with `code`, do `then` and say `text`; its last argument is `&error`. */
#define FAILS(code, then, text, call)                                        \
  do {                                                                       \
    bywash_error *error = NULL;                                              \
    int32_t status = (call);                                                 \
    check_failure(__FILE__, __LINE__, #call, status, error, code, then, text); \
  } while (0)

void check_failure(const char *file, int line, const char *call, int32_t status, bywash_error *error,
                   int32_t code, int32_t action, const char *text);

/* An empty directory for the test that runs; freed by the caller. */
char *scratch(const char *name);
/* Entries of a directory, itself and sub-directories' included; 0 if it is not there. */
size_t files_below(const char *dir);
/* A number from the environment, or `otherwise`. */
uint64_t setting(const char *name, uint64_t otherwise);
/* The next pseudo-random number. */
uint64_t next_random(uint64_t *state);

/* A context with the spill directory `dir`, an option or NULLs, and a host or NULL. */
bywash_context *make_context(const char *dir, const char *key, const char *value,
                             const bywash_host *host);
/* Columns `key` and `text`; by ids, or by the hash of `key`. */
bywash_shuffle *make_shuffle(uint32_t partitions, bool hash, const char *validate);
bywash_task *make_task(bywash_context *context, bywash_shuffle *shuffle);

void test_no_threads(void);
void test_round_trip_ids(void);
void test_round_trip_hash_stream(void);
void test_round_trip_slices(void);
void test_sink(void);
void test_sink_fails(void);
void test_stream_manners(void);
void test_null_everywhere(void);
void test_wrong_options(void);
void test_wrong_structs(void);
void test_wrong_arrays(void);
void test_wrong_ids(void);
void test_wrong_streams(void);
void test_wrong_reads(void);
void test_hostile_schemas(void);
void test_hostile_arrays(void);
void test_corruption(void);
void test_heal(void);
void test_states(void);
void test_map_is_named(void);
void test_odd_offsets(void);
void test_nested_is_unsupported(void);
void test_stream_in_use(void);
void test_stream_released_inside(void);
void test_stream_handed_in(void);
void test_host_lends_too_much(void);
void test_freed_in_any_order(void);
void test_unfinished_leaves_nothing(void);
void test_cancel(void);
void test_in_use(void);
void test_lender(void);
void test_host_refuses(void);
void test_host_without_loans(void);
void test_writer_in_a_spill(void);
void test_host_pays_for_batches(void);
void test_fork(void);
void test_two_copies(void);

#endif
