/* Batches made by hand: `key` int64, `text` utf8, NULL in every seventh row. */
#ifndef ROWS_H
#define ROWS_H

#include "harness.h"

/* Schemas and arrays made here and not released yet. */
long rows_live(void);

void make_schema(struct ArrowSchema *out);
/* A schema with another format for the second column, or without it. */
void make_other_schema(struct ArrowSchema *out, const char *format);
/* Keys from `first`, `count` of them, one after the other. */
void make_rows(struct ArrowArray *out, int64_t first, int64_t count);
/* As `make_rows`, but the struct begins 3 rows in, and its columns 2 rows in. */
void make_sliced_rows(struct ArrowArray *out, int64_t first, int64_t count);
/* A stream of `batches` batches of `count` rows each; with `fail_at` the batch that fails, or -1. */
void make_stream(struct ArrowArrayStream *out, int64_t first, int64_t count, int64_t batches,
                 int64_t fail_at);
/* Partition ids: key modulo partitions; freed by the caller. */
uint32_t *make_ids(int64_t first, int64_t count, uint32_t partitions);

/* What a reader has seen. */
struct seen {
  int64_t rows;
  int64_t last_key;
  uint64_t key_sum;
  int64_t batches;
};

/* Checks each row of a batch against its key, and keys to rise. */
void check_rows(const struct ArrowArray *batch, struct seen *seen);
/* Checks the stream's schema, reads all, releases it. */
struct seen drain(struct ArrowArrayStream *stream);

#endif
