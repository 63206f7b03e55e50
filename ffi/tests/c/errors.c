/* Whatever is wrong is answered with a status and a message, and leaves its handle usable. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>

#include "rows.h"

#define INVALID(text, call) FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, text, call)

struct some {
  bywash_context *context;
  bywash_task *task;
  bywash_shuffle *shuffle;
  bywash_writer *writer;
  char *spills, *out;
};

static struct some begin(const char *name, const char *validate) {
  struct some some;
  char spills[64];
  snprintf(spills, sizeof spills, "%s-spills", name);
  some.spills = scratch(spills);
  some.out = scratch(name);
  some.context = make_context(some.spills, NULL, NULL, NULL);
  some.shuffle = make_shuffle(4, false, validate);
  some.task = make_task(some.context, some.shuffle);
  OK(bywash_writer_new(some.shuffle, some.task, some.out, 1, 0, &some.writer, &error));
  return some;
}

static void end(struct some some) {
  bywash_writer_free(some.writer);
  bywash_shuffle_free(some.shuffle);
  bywash_task_free(some.task);
  bywash_context_free(some.context);
  free(some.spills);
  free(some.out);
}

void test_null_everywhere(void) {
  bywash_error *kept = NULL;
  struct some some = begin("nulls", "none");
  bywash_options *options;
  bywash_context *context;
  bywash_task *task;
  bywash_shuffle *shuffle;
  bywash_writer *writer;
  bywash_output *output;
  struct ArrowArrayStream stream;
  struct ArrowArray array;
  struct ArrowSchema schema;
  bywash_partition partition = {.struct_size = sizeof partition};
  bywash_sink sink = {.struct_size = sizeof sink};
  uint64_t number;
  uint32_t count;
  char *json;
  void *garbage = &kept; /* What outputs hold before a call. */

  INVALID("result is NULL", bywash_options_new(NULL, &error));
  OK(bywash_options_new(&options, &error));
  INVALID("handle is NULL", bywash_options_set(NULL, "codec", "lz4", &error));
  INVALID("string is NULL: key", bywash_options_set(options, NULL, "lz4", &error));
  INVALID("string is NULL: value", bywash_options_set(options, "codec", NULL, &error));
  INVALID("result is NULL", bywash_context_new(options, NULL, NULL, &error));
  context = garbage;
  INVALID("handle is NULL", bywash_reclaim(NULL, 1, &number, &error));
  INVALID("result is NULL", bywash_reclaim(some.context, 1, NULL, &error));
  INVALID("handle is NULL", bywash_set_capacity(NULL, 1, &number, &error));
  OK(bywash_set_capacity(some.context, UINT64_MAX, NULL, &error));
  json = garbage;
  INVALID("handle is NULL", bywash_explain(NULL, &json, &error));
  CHECK(json == NULL);
  INVALID("result is NULL", bywash_explain(some.context, NULL, &error));
  task = garbage;
  INVALID("handle is NULL", bywash_task_new(NULL, 0, &task, &error));
  CHECK(task == NULL);
  INVALID("result is NULL", bywash_task_new(some.context, 0, NULL, &error));

  shuffle = garbage;
  INVALID("schema is NULL", bywash_shuffle_new(NULL, 4, NULL, 0, NULL, &shuffle, &error));
  CHECK(shuffle == NULL);
  make_schema(&schema);
  INVALID("array is NULL", bywash_shuffle_new(&schema, 4, NULL, 1, NULL, &shuffle, &error));
  CHECK(schema.release == NULL);
  INVALID("released", bywash_shuffle_new(&schema, 4, NULL, 0, NULL, &shuffle, &error));
  make_schema(&schema);
  INVALID("result is NULL", bywash_shuffle_new(&schema, 4, NULL, 0, NULL, NULL, &error));
  CHECK(schema.release == NULL);
  INVALID("handle is NULL", bywash_shuffle_minimum_budget(NULL, 1, &number, &error));
  INVALID("result is NULL", bywash_shuffle_minimum_budget(some.shuffle, 1, NULL, &error));

  writer = garbage;
  INVALID("handle is NULL", bywash_writer_new(NULL, some.task, some.out, 1, 1, &writer, &error));
  CHECK(writer == NULL);
  INVALID("handle is NULL", bywash_writer_new(some.shuffle, NULL, some.out, 1, 1, &writer, &error));
  INVALID("result is NULL", bywash_writer_new(some.shuffle, some.task, some.out, 1, 1, NULL, &error));
  INVALID("path is empty", bywash_writer_new(some.shuffle, some.task, "", 1, 1, &writer, &error));
  make_rows(&array, 0, 10);
  INVALID("handle is NULL", bywash_writer_push(NULL, &array, NULL, 0, &error));
  CHECK(array.release == NULL);
  INVALID("array is NULL", bywash_writer_push(some.writer, NULL, NULL, 0, &error));
  INVALID("released", bywash_writer_push(some.writer, &array, NULL, 0, &error));
  make_rows(&array, 0, 10);
  INVALID("array is NULL", bywash_writer_push(some.writer, &array, NULL, 10, &error));
  CHECK(array.release == NULL);
  make_stream(&stream, 0, 10, 1, -1);
  INVALID("handle is NULL", bywash_writer_push_stream(NULL, &stream, &error));
  CHECK(stream.release == NULL);
  INVALID("stream is NULL", bywash_writer_push_stream(some.writer, NULL, &error));
  INVALID("released", bywash_writer_push_stream(some.writer, &stream, &error));
  INVALID("handle is NULL", bywash_writer_cancel(NULL, &error));
  output = garbage;
  INVALID("handle is NULL", bywash_writer_finish(NULL, &output, &error));
  CHECK(output == NULL);
  INVALID("result is NULL", bywash_writer_finish(some.writer, NULL, &error));
  INVALID("sink is NULL", bywash_writer_finish_into(some.writer, NULL, &output, &error));
  INVALID("lacks write", bywash_writer_finish_into(some.writer, &sink, &output, &error));
  INVALID("handle is NULL", bywash_writer_statistics(NULL, &json, &error));
  INVALID("result is NULL", bywash_writer_statistics(some.writer, NULL, &error));

  INVALID("handle is NULL", bywash_output_open(NULL, some.out, 1, &output, &error));
  INVALID("string is NULL", bywash_output_open(some.task, NULL, 1, &output, &error));
  INVALID("result is NULL", bywash_output_open(some.task, some.out, 1, NULL, &error));
  OK(bywash_writer_finish(some.writer, &output, &error));
  INVALID("handle is NULL", bywash_output_partitions(NULL, &count, &error));
  INVALID("result is NULL", bywash_output_partitions(output, NULL, &error));
  INVALID("handle is NULL", bywash_output_partition(NULL, 0, &partition, &error));
  INVALID("partition is NULL", bywash_output_partition(output, 0, NULL, &error));
  memset(&stream, 0xff, sizeof stream);
  INVALID("handle is NULL", bywash_output_read(NULL, some.task, 0, &stream, &error));
  CHECK(stream.release == NULL);
  INVALID("result is NULL", bywash_output_read(output, some.task, 0, NULL, &error));
  INVALID("not a live stream", bywash_stream_error(NULL, &kept, &error));
  OK(bywash_output_read(output, some.task, 0, &stream, &error));
  INVALID("result is NULL", bywash_stream_error(&stream, NULL, &error));
  CHECK(stream.get_schema(&stream, NULL) == EINVAL && stream.get_next(&stream, NULL) == EINVAL);
  stream.release(&stream);

  /* Without a place for the error there is the status alone. */
  CHECK(bywash_options_new(NULL, NULL) == BYWASH_INVALID_ARGUMENT);
  CHECK(bywash_options_set(options, "no such", "thing", NULL) == BYWASH_INVALID_ARGUMENT);
  CHECK(bywash_error_code(NULL) == 0 && bywash_error_action(NULL) == 0);
  CHECK(strcmp(bywash_error_message(NULL), "") == 0);
  CHECK(bywash_error_figure(NULL, "map", &number) == BYWASH_INVALID_ARGUMENT);
  bywash_error_free(NULL);
  bywash_string_free(NULL);
  bywash_options_free(NULL);
  bywash_context_free(NULL);
  bywash_task_free(NULL);
  bywash_shuffle_free(NULL);
  bywash_writer_free(NULL);
  bywash_output_free(NULL);
  bywash_output_free(output);
  bywash_options_free(options);
  (void)context;
  end(some);
}

void test_wrong_options(void) {
  static const char *const WRONG[][2] = {
      {"codec", "snappy"},          {"validate", "some"},
      {"memory.capacity", "-1"},    {"memory.capacity", "12XiB"},
      {"memory.capacity", "18446744073709551616"}, {"memory.capacity", "99999999999TiB"},
      {"memory.patience_ms", "soon"}, {"memory.host_slack", ""},
      {"spill.memory_backed", "charge:"}, {"spill.memory_backed", "charge"},
      {"spill.named", "maybe"},     {"output.sync", "always"},
      {"reader.charge", "nobody"},  {"spill.quota_total", "1e9"},
      {"spill.quota_per_dir", "x"},
  };
  bywash_options *options;
  OK(bywash_options_new(&options, &error));
  for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
    INVALID("", bywash_options_set(options, WRONG[i][0], WRONG[i][1], &error));
  }
  INVALID("there is no such setting: \"memory.capacty\"; there are memory.capacity",
          bywash_options_set(options, "memory.capacty", "1", &error));
  INVALID("not UTF-8", bywash_options_set(options, "spill.dirs", "\xff", &error));
  OK(bywash_options_set(options, "memory.capacity", "64MiB", &error));
  OK(bywash_options_set(options, "spill.memory_backed", "charge:1MiB", &error));
  bywash_options_free(options);
}

static int64_t lend_all(void *context, uint64_t bytes) { return (void)context, (int64_t)bytes; }
static void take_back(void *context, uint64_t bytes) { (void)context, (void)bytes; }
static void count_end(void *context) { ++*(int *)context; }

void test_wrong_structs(void) {
  bywash_context *context;
  int ends = 0;
  bywash_host host = {.struct_size = 0, .context = &ends, .acquire = lend_all, .release = take_back,
                      .destroy = count_end};
  static const uint32_t SIZES[] = {0, 4, 8, 16, 24, 31, 1 << 20, UINT32_MAX};
  for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
    host.struct_size = SIZES[i];
    INVALID("struct_size of a host table", bywash_context_new(NULL, &host, &context, &error));
  }
  host.struct_size = sizeof host;
  host.release = NULL;
  INVALID("one of acquire and release", bywash_context_new(NULL, &host, &context, &error));
  CHECK(context == NULL && ends == 0);
  /* A table of a later version, and one that ends before destroy. */
  struct { bywash_host host; void *more[4]; } later = {.host = host};
  later.host.release = take_back;
  later.host.struct_size = sizeof later;
  OK(bywash_context_new(NULL, &later.host, &context, &error));
  bywash_context_free(context);
  CHECK(ends == 1);
  later.host.struct_size = offsetof(bywash_host, destroy);
  OK(bywash_context_new(NULL, &later.host, &context, &error));
  bywash_context_free(context);
  CHECK(ends == 1);
  /* A context that cannot be made leaves the table the host's. */
  bywash_options *options;
  later.host.struct_size = sizeof later.host;
  OK(bywash_options_new(&options, &error));
  OK(bywash_options_set(options, "spill.dirs", "/dev/null/there/is/no/such/place", &error));
  CHECK(bywash_context_new(options, &later.host, &context, NULL) != BYWASH_OK);
  CHECK(context == NULL && ends == 1);
  bywash_options_free(options);

  struct some some = begin("structs", "none");
  bywash_output *output;
  bywash_sink sink = {.struct_size = 8};
  INVALID("struct_size of a sink", bywash_writer_finish_into(some.writer, &sink, &output, &error));
  OK(bywash_writer_finish(some.writer, &output, &error));
  bywash_partition partition = {.struct_size = 4, .rows = 42};
  INVALID("struct_size", bywash_output_partition(output, 0, &partition, &error));
  CHECK(partition.rows == 42);
  bywash_output_free(output);
  end(some);
}

/* Changes one thing of a good array. */
static void no_children(struct ArrowArray *a) {
  for (int64_t i = 0; i < a->n_children; i++) a->children[i]->release(a->children[i]), free(a->children[i]);
  a->n_children = 0;
}
static void negative_length(struct ArrowArray *a) { a->length = -1; }
static void negative_offset(struct ArrowArray *a) { a->offset = -3; }
static void huge_length(struct ArrowArray *a) { a->length = INT64_MAX; }
static void huge_sum(struct ArrowArray *a) { a->offset = INT64_MAX - 5; }
static void longer(struct ArrowArray *a) { a->length++; }
static void shifted(struct ArrowArray *a) { a->offset = 1; }
static void null_children(struct ArrowArray *a) {
  no_children(a);
  free(a->children);
  a->children = NULL;
  a->n_children = 2;
}
static void null_child(struct ArrowArray *a) {
  a->children[1]->release(a->children[1]);
  free(a->children[1]);
  a->children[1] = NULL;
}
static void drop_buffers(struct ArrowArray *a) {
  struct ArrowArray *text = a->children[1];
  free((void *)(uintptr_t)text->buffers[2]);
  text->n_buffers = 2;
}
static void no_offsets(struct ArrowArray *a) {
  free((void *)(uintptr_t)a->children[1]->buffers[1]);
  a->children[1]->buffers[1] = NULL;
}
static void no_text(struct ArrowArray *a) {
  free((void *)(uintptr_t)a->children[1]->buffers[2]);
  a->children[1]->buffers[2] = NULL;
}
static void no_values(struct ArrowArray *a) {
  free((void *)(uintptr_t)a->children[0]->buffers[1]);
  a->children[0]->buffers[1] = NULL;
}
static void no_validity(struct ArrowArray *a) {
  free((void *)(uintptr_t)a->children[1]->buffers[0]);
  a->children[1]->buffers[0] = NULL;
}
static void no_buffer_list(struct ArrowArray *a) {
  struct ArrowArray *key = a->children[0];
  for (int i = 0; i < 2; i++) free((void *)(uintptr_t)key->buffers[i]);
  free((void *)key->buffers);
  key->buffers = NULL;
}
static void falling_offsets(struct ArrowArray *a) {
  ((int32_t *)(uintptr_t)a->children[1]->buffers[1])[a->length] = -7;
}
static void too_many_nulls(struct ArrowArray *a) { a->children[1]->null_count = a->length + 1; }
static void child_negative(struct ArrowArray *a) { a->children[0]->length = -1; }
static void child_offset(struct ArrowArray *a) { a->children[0]->offset = -1; }
static void null_rows(struct ArrowArray *a) {
  a->buffers[0] = calloc(1, (size_t)a->length / 8 + 1);
  a->null_count = a->length;
}
static void null_keys(struct ArrowArray *a) {
  a->children[0]->buffers[0] = calloc(1, (size_t)a->length / 8 + 1);
  a->children[0]->null_count = -1;
}
static void struct_buffers(struct ArrowArray *a) {
  a->n_buffers = 0;
}

static const struct {
  void (*change)(struct ArrowArray *);
  const char *text;
} CHANGES[] = {
    {no_children, "other columns"},      {null_children, "column is NULL"},
    {null_child, "column is NULL"},      {negative_length, "cannot be"},
    {negative_offset, "cannot be"},      {huge_length, "cannot be"},
    {huge_sum, "cannot be"},             {longer, "shorter than its batch"},
    {shifted, "shorter than its batch"}, {drop_buffers, "another number of buffers"},
    {no_offsets, "no buffer of values"}, {no_values, "no buffer of values"},
    {no_validity, "no validity"},        {no_buffer_list, "another number of buffers"},
    {falling_offsets, "do not rise"},    {too_many_nulls, "cannot be"},
    {child_negative, "cannot be"},       {child_offset, "cannot be"},
    {null_rows, "null as a whole"},      {null_keys, "does not fit"},
    {struct_buffers, "no struct"},       {no_text, "no buffer of them"},
};

static void push_changed(bywash_writer *writer, void (*change)(struct ArrowArray *), const char *text,
                         const uint32_t *ids) {
  struct ArrowArray array;
  make_rows(&array, 0, 10);
  change(&array);
  INVALID(text, bywash_writer_push(writer, &array, ids, 10, &error));
  CHECK(array.release == NULL);
}

void test_wrong_arrays(void) {
  struct some some = begin("arrays", "none");
  struct ArrowArray array;
  struct ArrowSchema schema;
  bywash_output *output;
  uint32_t *ids = make_ids(0, 10, 4);
  for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
    push_changed(some.writer, CHANGES[i].change, CHANGES[i].text, ids);
  }
  /* After all that, the writer takes what is right. */
  make_rows(&array, 0, 10);
  OK(bywash_writer_push(some.writer, &array, ids, 10, &error));
  OK(bywash_writer_finish(some.writer, &output, &error));
  bywash_partition partition = {.struct_size = sizeof partition};
  OK(bywash_output_partition(output, 1, &partition, &error));
  CHECK(partition.rows == 3);
  bywash_output_free(output);
  end(some);

  /* What only full validation finds: text that is not UTF-8, offsets that go down in between. */
  some = begin("arrays-full", "full");
  make_rows(&array, 0, 10);
  ((char *)(uintptr_t)array.children[1]->buffers[2])[2] = (char)0xff;
  INVALID("does not fit", bywash_writer_push(some.writer, &array, ids, 10, &error));
  make_rows(&array, 0, 10);
  ((int32_t *)(uintptr_t)array.children[1]->buffers[1])[5] = 1;
  INVALID("does not fit", bywash_writer_push(some.writer, &array, ids, 10, &error));
  make_rows(&array, 0, 10);
  OK(bywash_writer_push(some.writer, &array, ids, 10, &error));
  end(some);
  free(ids);

  bywash_shuffle *shuffle;
  make_other_schema(&schema, "vu");
  FAILS(BYWASH_UNSUPPORTED, BYWASH_ACTION_FAIL_JOB, "cannot be shuffled",
        bywash_shuffle_new(&schema, 4, NULL, 0, NULL, &shuffle, &error));
  make_other_schema(&schema, "nonsense");
  INVALID("schema cannot be read", bywash_shuffle_new(&schema, 4, NULL, 0, NULL, &shuffle, &error));
  make_other_schema(&schema, "u");
  struct ArrowSchema child = *schema.children[0];
  schema.children[0]->release = NULL;
  INVALID("struct of columns is needed", bywash_shuffle_new(&child, 4, NULL, 0, NULL, &shuffle, &error));
  schema.release(&schema);
  static const uint32_t COUNTS[] = {0, (1 << 24) + 1, UINT32_MAX};
  for (size_t i = 0; i < 3; i++) {
    make_schema(&schema);
    INVALID("partitions", bywash_shuffle_new(&schema, COUNTS[i], NULL, 0, NULL, &shuffle, &error));
  }
  uint32_t column = 2;
  make_schema(&schema);
  INVALID("column", bywash_shuffle_new(&schema, 4, &column, 1, NULL, &shuffle, &error));
}

void test_wrong_ids(void) {
  struct some some = begin("wrong-ids", "none");
  struct ArrowArray array;
  uint32_t *ids = make_ids(0, 10, 4);
  make_rows(&array, 0, 10);
  INVALID("one partition id for each row", bywash_writer_push(some.writer, &array, ids, 9, &error));
  make_rows(&array, 0, 10);
  INVALID("takes partition ids", bywash_writer_push(some.writer, &array, NULL, 0, &error));
  ids[7] = 4;
  bywash_error *error = NULL;
  uint64_t figure;
  make_rows(&array, 0, 10);
  CHECK(bywash_writer_push(some.writer, &array, ids, 10, &error) == BYWASH_INVALID_ARGUMENT);
  CHECK(bywash_error_figure(error, "row", &figure) == BYWASH_OK && figure == 7);
  CHECK(bywash_error_figure(error, "partition", &figure) == BYWASH_OK && figure == 4);
  CHECK(bywash_error_figure(error, "map", &figure) == BYWASH_NOT_FOUND && figure == 0);
  CHECK(bywash_error_figure(error, NULL, &figure) == BYWASH_INVALID_ARGUMENT);
  bywash_error_free(error);
  ids[7] = UINT32_MAX;
  make_rows(&array, 0, 10);
  INVALID("row 7", bywash_writer_push(some.writer, &array, ids, 10, &error));
  free(ids);
  end(some);

  bywash_shuffle *hashed = make_shuffle(4, true, "none");
  char *dir = scratch("wrong-ids-hashed");
  bywash_context *context = make_context(dir, NULL, NULL, NULL);
  bywash_task *task = make_task(context, hashed);
  bywash_writer *writer;
  OK(bywash_writer_new(hashed, task, NULL, 1, 0, &writer, &error));
  ids = make_ids(0, 10, 4);
  make_rows(&array, 0, 10);
  INVALID("hashes columns", bywash_writer_push(writer, &array, ids, 10, &error));
  free(ids);
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_context_free(context);
  bywash_shuffle_free(hashed);
  free(dir);
}

static int other_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  (void)stream;
  make_other_schema(out, "z");
  return 0;
}

static int no_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  (void)stream;
  memset(out, 0, sizeof *out);
  return 0;
}

static int schema_without_format(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  (void)stream;
  make_other_schema(out, "u");
  out->children[1]->format = NULL;
  return 0;
}

void test_wrong_streams(void) {
  char *dir = scratch("streams");
  bywash_shuffle *shuffle = make_shuffle(4, true, "none");
  bywash_context *context = make_context(dir, NULL, NULL, NULL);
  bywash_task *task = make_task(context, shuffle);
  bywash_writer *writer;
  bywash_output *output;
  struct ArrowArrayStream stream;
  OK(bywash_writer_new(shuffle, task, dir, 1, 0, &writer, &error));
  make_stream(&stream, 0, 10, 1, -1);
  stream.get_schema = other_schema;
  INVALID("not those of the shuffle", bywash_writer_push_stream(writer, &stream, &error));
  make_stream(&stream, 0, 10, 1, -1);
  stream.get_next = NULL;
  INVALID("lacks its callbacks", bywash_writer_push_stream(writer, &stream, &error));
  make_stream(&stream, 0, 10, 1, -1);
  stream.get_schema = no_schema;
  INVALID("gave no schema", bywash_writer_push_stream(writer, &stream, &error));
  make_stream(&stream, 0, 10, 1, -1);
  stream.get_schema = schema_without_format;
  INVALID("has no format", bywash_writer_push_stream(writer, &stream, &error));
  make_stream(&stream, 0, 10, 5, 3);
  FAILS(BYWASH_IO, BYWASH_ACTION_RETRY_TASK, "the producer's disk is gone",
        bywash_writer_push_stream(writer, &stream, &error));
  CHECK(stream.release == NULL);
  /* A part of a stream is never committed. */
  FAILS(BYWASH_POISONED, BYWASH_ACTION_RETRY_TASK, "a stream failed",
        bywash_writer_finish(writer, &output, &error));
  CHECK(output == NULL);
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_context_free(context);
  bywash_shuffle_free(shuffle);
  free(dir);
}

void test_wrong_reads(void) {
  struct some some = begin("reads", "none");
  bywash_output *output;
  bywash_partition partition = {.struct_size = sizeof partition};
  struct ArrowArrayStream stream;
  OK(bywash_writer_finish(some.writer, &output, &error));
  INVALID("no such partition", bywash_output_read(output, some.task, 4, &stream, &error));
  INVALID("no such partition", bywash_output_partition(output, UINT32_MAX, &partition, &error));
  bywash_output_free(output);
  FAILS(BYWASH_NOT_FOUND, BYWASH_ACTION_REPORT_FETCH_FAILURE, "",
        bywash_output_open(some.task, some.out, 99, &output, &error));
  FAILS(BYWASH_NOT_FOUND, BYWASH_ACTION_REPORT_FETCH_FAILURE, "",
        bywash_output_open(some.task, "/there/is/no/such/dir", 1, &output, &error));
  CHECK(output == NULL);
  end(some);

  /* Nobody lends: nobody can be charged. */
  some = begin("reads-host", "none");
  bywash_context *context = make_context(some.spills, "reader.charge", "host", NULL);
  bywash_task *task;
  OK(bywash_writer_finish(some.writer, &output, &error));
  OK(bywash_task_new(context, 0, &task, &error));
  INVALID("charged to the host only if it lends",
          bywash_output_read(output, task, 0, &stream, &error));
  bywash_task_free(task);
  bywash_context_free(context);
  bywash_output_free(output);
  end(some);
}

/* Damage in a map output is a fetch failure that names the map. */
void test_corruption(void) {
  struct some some = begin("corrupt", "none");
  struct ArrowArray array;
  uint32_t *ids = make_ids(0, 1000, 4);
  make_rows(&array, 0, 1000);
  OK(bywash_writer_push(some.writer, &array, ids, 1000, &error));
  free(ids);
  bywash_output *output;
  OK(bywash_writer_finish(some.writer, &output, &error));
  DIR *dir = opendir(some.out);
  CHECK(dir != NULL);
  int changed = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (strstr(entry->d_name, ".data") == NULL) continue;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", some.out, entry->d_name);
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL && fseek(file, 100, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(fseek(file, 100, SEEK_SET) == 0 && fputc(byte ^ 0x40, file) != EOF && fclose(file) == 0);
    changed++;
  }
  closedir(dir);
  CHECK(changed == 1);
  struct ArrowArrayStream stream;
  OK(bywash_output_read(output, some.task, 0, &stream, &error));
  for (int i = 0; i < 2; i++) {
    CHECK(stream.get_next(&stream, &array) == EIO && array.release == NULL);
    CHECK(strlen(stream.get_last_error(&stream)) > 10);
    bywash_error *reason;
    uint64_t map;
    OK(bywash_stream_error(&stream, &reason, &error));
    CHECK(bywash_error_code(reason) == BYWASH_CORRUPT);
    CHECK(bywash_error_action(reason) == BYWASH_ACTION_REPORT_FETCH_FAILURE);
    CHECK(bywash_error_figure(reason, "map", &map) == BYWASH_OK && map == 1);
    bywash_error_free(reason);
  }
  stream.release(&stream);
  bywash_output_free(output);
  end(some);
}

/* An opening that fails says which map it was about, and what to do. */
static void check_names_map(bywash_task *task, const char *dir, uint64_t map, int32_t code) {
  bywash_error *error;
  bywash_output *output = (bywash_output *)(void *)&error;
  uint64_t named;
  CHECK(bywash_output_open(task, dir, map, &output, &error) == code && output == NULL);
  CHECK(bywash_error_code(error) == code);
  CHECK(bywash_error_action(error) == BYWASH_ACTION_REPORT_FETCH_FAILURE);
  CHECK(bywash_error_figure(error, "map", &named) == BYWASH_OK && named == map);
  bywash_error_free(error);
}

void test_map_is_named(void) {
  struct some some = begin("named", "none");
  bywash_output *output;
  char path[4096];
  OK(bywash_writer_finish(some.writer, &output, &error));
  bywash_output_free(output);
  check_names_map(some.task, some.out, 2, BYWASH_NOT_FOUND);
  check_names_map(some.task, some.out, UINT64_MAX, BYWASH_NOT_FOUND);
  check_names_map(some.task, "/there/is/no/such/dir", 1, BYWASH_NOT_FOUND);

  /* The index cut, damaged in the middle, of something else, and empty. */
  snprintf(path, sizeof path, "%s/1.index", some.out);
  char whole[4096], changed[4096];
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL);
  size_t length = fread(whole, 1, sizeof whole, file);
  CHECK(fclose(file) == 0 && length > 32 && length < sizeof whole);
  for (int way = 0; way < 4; way++) {
    memcpy(changed, whole, length);
    size_t written = length;
    if (way == 0) written = length - 1;
    if (way == 1) changed[length / 2] ^= 0x10;
    if (way == 2) memset(changed, 'x', length);
    if (way == 3) written = 0;
    file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(changed, 1, written, file) == written && fclose(file) == 0);
    check_names_map(some.task, some.out, 1, BYWASH_CORRUPT);
  }
  file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(whole, 1, length, file) == length && fclose(file) == 0);
  OK(bywash_output_open(some.task, some.out, 1, &output, &error));
  bywash_output_free(output);
  end(some);
}

void test_states(void) {
  struct some some = begin("states", "none");
  struct ArrowArray array;
  bywash_output *output, *again;
  OK(bywash_writer_finish(some.writer, &output, &error));
  make_rows(&array, 0, 10);
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "finished",
        bywash_writer_push(some.writer, &array, NULL, 0, &error));
  CHECK(array.release == NULL);
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "finished",
        bywash_writer_finish(some.writer, &again, &error));
  CHECK(again == NULL);
  bywash_output_free(output);
  end(some);

  /* A capacity that does not hold the minimum, and a context that cannot spill. */
  char *dir = scratch("states-small");
  bywash_shuffle *shuffle = make_shuffle(4, false, "none");
  bywash_context *context = make_context(dir, "memory.capacity", "64KiB", NULL);
  bywash_task *task;
  bywash_writer *writer;
  FAILS(BYWASH_MEMORY_LIMIT, BYWASH_ACTION_RETRY_TASK, "",
        bywash_task_new(context, 1 << 20, &task, &error));
  OK(bywash_task_new(context, 0, &task, &error));
  FAILS(BYWASH_MEMORY_LIMIT, BYWASH_ACTION_RETRY_TASK, "",
        bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  bywash_task_free(task);
  bywash_context_free(context);
  OK(bywash_context_new(NULL, NULL, &context, &error));
  OK(bywash_task_new(context, 0, &task, &error));
  FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, "no spill directory",
        bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  bywash_task_free(task);
  bywash_context_free(context);
  bywash_shuffle_free(shuffle);
  free(dir);
}
