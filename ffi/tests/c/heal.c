/* A damaged map output is reported, removed or replaced, and read again. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>

#include "rows.h"

struct some {
  bywash_context *context;
  bywash_shuffle *shuffle;
  bywash_task *task;
  char *spills, *out;
};

/* Changes a bit of the one file whose name has `part` in it. */
static void damage(const char *out, const char *part, long at) {
  DIR *dir = opendir(out);
  CHECK(dir != NULL);
  int changed = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strstr(entry->d_name, part) == NULL) continue;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", out, entry->d_name);
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL && fseek(file, at, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(fseek(file, at, SEEK_SET) == 0 && fputc(byte ^ 0x40, file) != EOF && fclose(file) == 0);
    changed++;
  }
  closedir(dir);
  CHECK(changed == 1);
}

/* Runs the map as a new attempt; whose output stands then. */
static uint64_t run_map(struct some some, uint64_t attempt) {
  bywash_writer *writer;
  bywash_output *output;
  struct ArrowArray array;
  uint64_t winner;
  uint32_t *ids = make_ids(0, 1000, 4);
  OK(bywash_writer_new(some.shuffle, some.task, some.out, 1, attempt, &writer, &error));
  make_rows(&array, 0, 1000);
  OK(bywash_writer_push(writer, &array, ids, 1000, &error));
  OK(bywash_writer_finish(writer, &output, &error));
  OK(bywash_output_attempt(output, &winner, &error));
  bywash_output_free(output);
  bywash_writer_free(writer);
  free(ids);
  return winner;
}

static void check_readable(struct some some) {
  bywash_output *output;
  struct ArrowArrayStream stream;
  int64_t rows = 0;
  OK(bywash_output_open(some.task, some.out, 1, &output, &error));
  for (uint32_t partition = 0; partition < 4; partition++) {
    OK(bywash_output_read(output, some.task, partition, &stream, &error));
    rows += drain(&stream).rows;
  }
  CHECK(rows == 1000);
  bywash_output_free(output);
}

void test_heal(void) {
  struct some some = {.spills = scratch("heal-spills"), .out = scratch("heal")};
  some.context = make_context(some.spills, NULL, NULL, NULL);
  some.shuffle = make_shuffle(4, false, "none");
  some.task = make_task(some.context, some.shuffle);
  bywash_output *output, *other;
  struct ArrowArrayStream stream, before;
  struct ArrowArray array;
  bywash_error *reason;
  uint64_t attempt;

  CHECK(run_map(some, 0) == 0);
  CHECK(run_map(some, 1) == 0);
  damage(some.out, ".data", 100);

  /* Readers find it; a new attempt does not. */
  OK(bywash_output_open(some.task, some.out, 1, &output, &error));
  OK(bywash_output_attempt(output, &attempt, &error));
  CHECK(attempt == 0);
  OK(bywash_output_read(output, some.task, 0, &stream, &error));
  CHECK(stream.get_next(&stream, &array) == EIO);
  OK(bywash_stream_error(&stream, &reason, &error));
  CHECK(bywash_error_action(reason) == BYWASH_ACTION_REPORT_FETCH_FAILURE);
  bywash_error_free(reason);
  stream.release(&stream);
  CHECK(run_map(some, 1) == 0);

  /* Removed, once and again; whoever has it open reads on. */
  OK(bywash_output_read(output, some.task, 3, &before, &error));
  uint64_t another = 7;
  OK(bywash_output_remove(some.context, some.out, 1, &another, &error));
  OK(bywash_output_open(some.task, some.out, 1, &other, &error));
  bywash_output_free(other);
  for (int i = 0; i < 2; i++) OK(bywash_output_remove(some.context, some.out, 1, &attempt, &error));
  FAILS(BYWASH_NOT_FOUND, BYWASH_ACTION_REPORT_FETCH_FAILURE, "",
        bywash_output_open(some.task, some.out, 1, &other, &error));
  CHECK(drain(&before).rows > 0);
  bywash_output_free(output);
  CHECK(run_map(some, 2) == 2);
  check_readable(some);
  /* Who reports it late does not remove the new one. */
  OK(bywash_output_remove(some.context, some.out, 1, &attempt, &error));
  check_readable(some);

  /* What a new attempt can find, it replaces. */
  damage(some.out, ".index", 140);
  FAILS(BYWASH_CORRUPT, BYWASH_ACTION_REPORT_FETCH_FAILURE, "checksum",
        bywash_output_open(some.task, some.out, 1, &other, &error));
  CHECK(run_map(some, 3) == 3);
  check_readable(some);
  damage(some.out, "schema-", 30);
  FAILS(BYWASH_CORRUPT, BYWASH_ACTION_REPORT_FETCH_FAILURE, "schema file is damaged",
        bywash_output_open(some.task, some.out, 1, &other, &error));
  CHECK(run_map(some, 4) == 3);
  check_readable(some);

  OK(bywash_output_remove(some.context, some.out, 99, NULL, &error));
  OK(bywash_output_remove(some.context, some.out, 1, NULL, &error));
  OK(bywash_output_remove(some.context, "/there/is/no/such/dir", 1, NULL, &error));
  FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, "handle is NULL",
        bywash_output_remove(NULL, some.out, 1, NULL, &error));
  FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, "string is NULL",
        bywash_output_remove(some.context, NULL, 1, NULL, &error));
  FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, "handle is NULL",
        bywash_output_attempt(NULL, &attempt, &error));
  CHECK(attempt == 0);
  bywash_task_free(some.task);
  bywash_shuffle_free(some.shuffle);
  bywash_context_free(some.context);
  free(some.spills);
  free(some.out);
}
