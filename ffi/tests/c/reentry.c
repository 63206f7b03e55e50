/* Streams that are used again while a call is inside them: from the host's own callback, from another
 * thread; released there; asked twice, never, and after their release. And hosts that lend too much. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "rows.h"

enum { ROWS = 20000 };

/* A host that does something with the stream it is asked for memory by. */
struct host {
  atomic_llong lent;
  struct ArrowArrayStream *stream;
  void (*inside)(struct host *host);
  int calls;
  uint64_t more;
  /* Written to while it spills, once. */
  bywash_writer *writer;
};

static int64_t lend(void *context, uint64_t bytes) {
  struct host *host = context;
  if (host->stream != NULL && host->stream->release != NULL) {
    host->calls++;
    host->inside(host);
  }
  int64_t answer = bytes > INT64_MAX - host->more ? INT64_MAX : (int64_t)(bytes + host->more);
  atomic_fetch_add(&host->lent, answer);
  return answer;
}

static void give_back(void *context, uint64_t bytes) {
  struct host *host = context;
  if (host->writer != NULL) {
    bywash_writer *writer = host->writer;
    host->writer = NULL;
    struct ArrowArray array;
    make_rows(&array, 0, 10);
    FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "spilling on this very thread",
          bywash_writer_push(writer, &array, NULL, 0, &error));
    CHECK(array.release == NULL);
    host->calls++;
  }
  CHECK(bytes > 0 && atomic_fetch_sub(&host->lent, (long long)bytes) >= (long long)bytes);
}

static bywash_host table(struct host *host) {
  return (bywash_host){.struct_size = sizeof(bywash_host), .context = host, .acquire = lend,
                       .release = give_back};
}

/* One output of one partition in a context that asks its host for every byte. */
struct made {
  bywash_context *context;
  bywash_task *task;
  bywash_output *output;
  char *spills, *out;
};

static struct made make(struct host *host, const char *name) {
  struct made made;
  char spills[64];
  snprintf(spills, sizeof spills, "%s-spills", name);
  made.spills = scratch(spills);
  made.out = scratch(name);
  bywash_host callbacks = table(host);
  made.context = make_context(made.spills, "memory.host_slack", "0", &callbacks);
  bywash_shuffle *shuffle = make_shuffle(1, true, "none");
  made.task = make_task(made.context, shuffle);
  bywash_writer *writer;
  struct ArrowArrayStream stream;
  OK(bywash_writer_new(shuffle, made.task, made.out, 1, 0, &writer, &error));
  make_stream(&stream, 0, ROWS, 4, -1);
  OK(bywash_writer_push_stream(writer, &stream, &error));
  OK(bywash_writer_finish(writer, &made.output, &error));
  bywash_writer_free(writer);
  bywash_shuffle_free(shuffle);
  return made;
}

static void unmake(struct made made, struct host *host) {
  bywash_output_free(made.output);
  bywash_task_free(made.task);
  bywash_context_free(made.context);
  CHECK(atomic_load(&host->lent) == 0);
  free(made.spills);
  free(made.out);
}

/* Every function of a stream that is in use is refused, and changes nothing. */
static void use_again(struct host *host) {
  struct ArrowArrayStream *stream = host->stream;
  struct ArrowSchema schema = {.release = NULL};
  struct ArrowArray array = {.release = NULL};
  bywash_error *reason;
  CHECK(stream->get_schema(stream, &schema) == EINVAL && schema.release == NULL);
  CHECK(stream->get_next(stream, &array) == EINVAL && array.release == NULL);
  CHECK(stream->get_last_error(stream) == NULL);
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "in use",
        bywash_stream_error(stream, &reason, &error));
  CHECK(reason == NULL);
}

static void *use_on_this_thread(void *context) {
  use_again(context);
  return NULL;
}

/* The host waits for the other thread: it must not wait for the stream. */
static void use_on_another_thread(struct host *host) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, use_on_this_thread, host) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void release_inside(struct host *host) { host->stream->release(host->stream); }

void test_stream_in_use(void) {
  static void (*const WAYS[])(struct host *) = {use_again, use_on_another_thread};
  struct host host = {.stream = NULL};
  struct made made = make(&host, "reentry");
  for (int way = 0; way < 2; way++) {
    struct ArrowArrayStream stream;
    OK(bywash_output_read(made.output, made.task, 0, &stream, &error));
    host = (struct host){.lent = atomic_load(&host.lent), .stream = &stream, .inside = WAYS[way]};
    struct seen seen = drain(&stream);
    host.stream = NULL;
    CHECK(host.calls > 0 && seen.rows == 4 * ROWS);
  }
  unmake(made, &host);
}

/* Released by the host in the middle of a call: the call ends as it would have, its batch is whole, and
 * the stream is gone afterwards. */
void test_stream_released_inside(void) {
  struct host host = {.stream = NULL};
  struct made made = make(&host, "released-inside");
  struct ArrowArrayStream stream;
  struct ArrowArray batch = {.release = NULL};
  OK(bywash_output_read(made.output, made.task, 0, &stream, &error));
  host.stream = &stream;
  host.inside = release_inside;
  CHECK(stream.get_next(&stream, &batch) == 0 && batch.release != NULL);
  CHECK(host.calls == 1 && stream.release == NULL);
  host.stream = NULL;
  struct seen seen = {0, -1, 0, 0};
  check_rows(&batch, &seen);
  CHECK(seen.rows > 0);
  batch.release(&batch);

  /* After its release a stream answers nothing, also one that was never asked. */
  struct ArrowSchema schema = {.release = NULL};
  for (int round = 0; round < 2; round++) {
    CHECK(stream.get_schema(&stream, &schema) == EINVAL && schema.release == NULL);
    CHECK(stream.get_next(&stream, &batch) == EINVAL && batch.release == NULL);
    CHECK(stream.get_last_error(&stream) == NULL);
    bywash_error *reason;
    FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, "not a live stream",
          bywash_stream_error(&stream, &reason, &error));
    if (round == 1) break;
    OK(bywash_output_read(made.output, made.task, 0, &stream, &error));
    stream.release(&stream);
  }

  /* The same partition twice at once, and again after both. */
  struct ArrowArrayStream first, second;
  OK(bywash_output_read(made.output, made.task, 0, &first, &error));
  OK(bywash_output_read(made.output, made.task, 0, &second, &error));
  CHECK(first.get_next(&first, &batch) == 0 && batch.release != NULL);
  batch.release(&batch);
  CHECK(drain(&second).rows == 4 * ROWS);
  first.release(&first);
  OK(bywash_output_read(made.output, made.task, 0, &first, &error));
  CHECK(drain(&first).rows == 4 * ROWS);
  unmake(made, &host);
}

/* A producer that counts how it is asked. */
struct asked {
  struct ArrowArrayStream inner;
  int schemas, nexts, ends, errors, releases;
};

static int count_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  struct asked *asked = stream->private_data;
  asked->schemas++;
  return asked->inner.get_schema(&asked->inner, out);
}

static int count_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
  struct asked *asked = stream->private_data;
  asked->nexts++;
  int code = asked->inner.get_next(&asked->inner, out);
  if (code == 0 && out->release == NULL) asked->ends++;
  if (code != 0) asked->errors++;
  return code;
}

static void count_release(struct ArrowArrayStream *stream) {
  struct asked *asked = stream->private_data;
  asked->releases++;
  asked->inner.release(&asked->inner);
  stream->release = NULL;
}

/* A stream handed in is asked for its schema once, for batches up to its end or first error and not
 * beyond, and released once; one that is refused is released and not asked. */
void test_stream_handed_in(void) {
  static const struct {
    int64_t batches, fail_at;
    int nexts, ends, errors;
  } CASES[] = {{3, -1, 4, 1, 0}, {0, -1, 1, 1, 0}, {5, 0, 1, 0, 1}};
  char *dir = scratch("handed-in");
  bywash_context *context = make_context(dir, NULL, NULL, NULL);
  bywash_shuffle *shuffle = make_shuffle(2, true, "none");
  bywash_task *task = make_task(context, shuffle);
  bywash_writer *writer;
  OK(bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  for (int i = 0; i < 3; i++) {
    struct asked asked = {.schemas = 0};
    make_stream(&asked.inner, 0, 100, CASES[i].batches, CASES[i].fail_at);
    struct ArrowArrayStream stream = {count_schema, count_next, NULL, count_release, &asked};
    int32_t code = bywash_writer_push_stream(writer, &stream, NULL);
    CHECK(code == (CASES[i].errors > 0 ? BYWASH_IO : BYWASH_OK) && stream.release == NULL);
    CHECK(asked.schemas == 1 && asked.nexts == CASES[i].nexts && asked.ends == CASES[i].ends);
    CHECK(asked.errors == CASES[i].errors && asked.releases == 1);
  }
  struct asked asked = {.schemas = 0};
  make_stream(&asked.inner, 0, 100, 1, -1);
  struct ArrowArrayStream stream = {count_schema, count_next, NULL, count_release, &asked};
  CHECK(bywash_writer_push_stream(NULL, &stream, NULL) == BYWASH_INVALID_ARGUMENT);
  CHECK(asked.schemas == 0 && asked.nexts == 0 && asked.releases == 1 && stream.release == NULL);
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  free(dir);
}

/* What a host lends beyond what it was asked for comes back before the call goes on. */
void test_host_lends_too_much(void) {
  static const uint64_t MORE[] = {1, 4095, 64 << 20, (uint64_t)INT64_MAX / 2};
  for (int i = 0; i < 4; i++) {
    char name[32];
    snprintf(name, sizeof name, "too-much-%d", i);
    struct host host = {.more = MORE[i]};
    struct made made = make(&host, name);
    char *json;
    OK(bywash_explain(made.context, &json, &error));
    const char *lent = strstr(json, "\"lent_bytes\":");
    CHECK(lent != NULL && strtoll(strchr(lent, ':') + 1, NULL, 10) == atomic_load(&host.lent));
    bywash_string_free(json);
    struct ArrowArrayStream stream;
    OK(bywash_output_read(made.output, made.task, 0, &stream, &error));
    CHECK(drain(&stream).rows == 4 * ROWS);
    unmake(made, &host);
  }
}

/* A host that writes to the very writer whose spill gives memory back: refused, instead of waiting for itself. */
void test_writer_in_a_spill(void) {
  struct host host = {0};
  char *spills = scratch("in-a-spill-spills"), *out = scratch("in-a-spill");
  bywash_host callbacks = table(&host);
  bywash_context *context = make_context(spills, "memory.host_slack", "0", &callbacks);
  bywash_shuffle *shuffle = make_shuffle(1, true, "none");
  bywash_task *task = make_task(context, shuffle);
  bywash_writer *writer;
  bywash_output *output;
  struct ArrowArray array;
  struct ArrowArrayStream stream;
  uint64_t freed;
  OK(bywash_writer_new(shuffle, task, out, 1, 0, &writer, &error));
  make_stream(&stream, 0, ROWS, 10, -1);
  OK(bywash_writer_push_stream(writer, &stream, &error));
  host.writer = writer;
  OK(bywash_reclaim(context, 1, &freed, &error));
  CHECK(host.calls == 1 && freed > 0);
  make_rows(&array, 10 * ROWS, 10);
  OK(bywash_writer_push(writer, &array, NULL, 0, &error));
  OK(bywash_writer_finish(writer, &output, &error));
  bywash_partition partition = {.struct_size = sizeof partition};
  OK(bywash_output_partition(output, 0, &partition, &error));
  CHECK(partition.rows == 10 * ROWS + 10);
  bywash_output_free(output);
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  CHECK(atomic_load(&host.lent) == 0);
  free(spills);
  free(out);
}
