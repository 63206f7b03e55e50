/* Handles are freed in any order, calls come from two threads at once, work is cancelled. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "rows.h"

enum { HANDLES = 8 };

void test_freed_in_any_order(void) {
  uint64_t seed = setting("BYWASH_SEED", 20), rounds = setting("BYWASH_ROUNDS", 60);
  printf(" seed %llu", (unsigned long long)seed);
  char *spills = scratch("order-spills"), *out = scratch("order");
  for (uint64_t round = 0; round < rounds; round++) {
    bywash_context *context = make_context(spills, NULL, NULL, NULL);
    bywash_shuffle *shuffle = make_shuffle(3, false, "none");
    bywash_task *task = make_task(context, shuffle);
    bywash_writer *writer, *unfinished;
    bywash_output *output;
    struct ArrowArrayStream stream;
    struct ArrowArray array, batch;
    uint32_t *ids = make_ids(0, 300, 3);
    OK(bywash_writer_new(shuffle, task, out, round, 0, &writer, &error));
    OK(bywash_writer_new(shuffle, task, NULL, round, 1, &unfinished, &error));
    make_rows(&array, 0, 300);
    OK(bywash_writer_push(writer, &array, ids, 300, &error));
    make_rows(&array, 0, 300);
    OK(bywash_writer_push(unfinished, &array, ids, 300, &error));
    free(ids);
    OK(bywash_writer_finish(writer, &output, &error));
    OK(bywash_output_read(output, task, 2, &stream, &error));
    CHECK(stream.get_next(&stream, &batch) == 0 && batch.release != NULL);

    int order[HANDLES];
    for (int i = 0; i < HANDLES; i++) order[i] = i;
    for (int i = HANDLES - 1; i > 0; i--) {
      int other = (int)(next_random(&seed) % (uint64_t)(i + 1)), mine = order[i];
      order[i] = order[other];
      order[other] = mine;
    }
    for (int i = 0; i < HANDLES; i++) {
      struct seen seen = {0, -1, 0, 0};
      switch (order[i]) {
        case 0: bywash_context_free(context); break;
        case 1: bywash_shuffle_free(shuffle); break;
        case 2: bywash_task_free(task); break;
        case 3: bywash_writer_free(writer); break;
        case 4: bywash_writer_free(unfinished); break;
        case 5: bywash_output_free(output); break;
        case 6: stream.release(&stream); break;
        default:
          check_rows(&batch, &seen);
          CHECK(seen.rows == 100);
          batch.release(&batch);
      }
    }
  }
  free(spills);
  free(out);
}

void test_unfinished_leaves_nothing(void) {
  char *spills = scratch("unfinished-spills"), *out = scratch("unfinished");
  bywash_context *context = make_context(spills, NULL, NULL, NULL);
  bywash_shuffle *shuffle = make_shuffle(3, false, "none");
  bywash_task *task = make_task(context, shuffle);
  bywash_writer *writer;
  uint64_t freed;
  uint32_t *ids = make_ids(0, 1000, 3);
  OK(bywash_writer_new(shuffle, task, out, 1, 0, &writer, &error));
  for (int64_t batch = 0; batch < 100; batch++) {
    struct ArrowArray array;
    make_rows(&array, 0, 1000);
    OK(bywash_writer_push(writer, &array, ids, 1000, &error));
  }
  OK(bywash_reclaim(context, UINT64_MAX, &freed, &error));
  bywash_writer_free(writer);
  free(ids);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  CHECK(files_below(out) == 1 && files_below(spills) == 1);
  free(spills);
  free(out);
}

struct pushing {
  bywash_writer *writer;
  atomic_int pushed;
  int32_t code, action;
};

static void *push_until_cancelled(void *argument) {
  struct pushing *pushing = argument;
  uint32_t *ids = make_ids(0, 100, 3);
  int32_t code = BYWASH_OK;
  while (code == BYWASH_OK) {
    struct ArrowArray array;
    bywash_error *error = NULL;
    make_rows(&array, 0, 100);
    code = bywash_writer_push(pushing->writer, &array, ids, 100, &error);
    CHECK(array.release == NULL);
    atomic_fetch_add(&pushing->pushed, 1);
    pushing->code = bywash_error_code(error);
    pushing->action = bywash_error_action(error);
    bywash_error_free(error);
  }
  free(ids);
  return NULL;
}

void test_cancel(void) {
  char *spills = scratch("cancel-spills"), *out = scratch("cancel");
  bywash_context *context = make_context(spills, NULL, NULL, NULL);
  bywash_shuffle *shuffle = make_shuffle(3, false, "none");
  bywash_task *task = make_task(context, shuffle);
  struct pushing pushing = {.writer = NULL};
  bywash_output *output;
  pthread_t thread;
  OK(bywash_writer_new(shuffle, task, out, 1, 0, &pushing.writer, &error));
  CHECK(pthread_create(&thread, NULL, push_until_cancelled, &pushing) == 0);
  while (atomic_load(&pushing.pushed) < 10) sched_yield();
  OK(bywash_writer_cancel(pushing.writer, &error));
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(pushing.code == BYWASH_CANCELLED && pushing.action == BYWASH_ACTION_NONE);
  FAILS(BYWASH_CANCELLED, BYWASH_ACTION_NONE, "cancelled",
        bywash_writer_finish(pushing.writer, &output, &error));
  CHECK(output == NULL);
  bywash_writer_free(pushing.writer);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  CHECK(files_below(out) == 1 && files_below(spills) == 1);
  free(spills);
  free(out);
}

/* A sink that comes back to the writer it is called by, and from another thread. */
struct reentrant {
  bywash_writer *writer;
  int calls;
};

static int32_t come_back(void *context, uint32_t partition, const uint8_t *bytes, size_t len) {
  struct reentrant *reentrant = context;
  bywash_output *output;
  struct ArrowArray array;
  (void)partition, (void)bytes, (void)len;
  make_rows(&array, 0, 1);
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "",
        bywash_writer_push(reentrant->writer, &array, NULL, 0, &error));
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "",
        bywash_writer_finish(reentrant->writer, &output, &error));
  char *json;
  OK(bywash_writer_statistics(reentrant->writer, &json, &error));
  bywash_string_free(json);
  reentrant->calls++;
  return BYWASH_OK;
}

/* A stream that uses the writer that pulls it. */
struct nosy {
  struct ArrowArrayStream inner;
  bywash_writer *writer;
};

static int nosy_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  struct nosy *nosy = stream->private_data;
  return nosy->inner.get_schema(&nosy->inner, out);
}

static int nosy_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
  struct nosy *nosy = stream->private_data;
  struct ArrowArray array;
  make_rows(&array, 0, 1);
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "in use",
        bywash_writer_push(nosy->writer, &array, NULL, 0, &error));
  return nosy->inner.get_next(&nosy->inner, out);
}

static void nosy_release(struct ArrowArrayStream *stream) {
  struct nosy *nosy = stream->private_data;
  nosy->inner.release(&nosy->inner);
  stream->release = NULL;
}

void test_in_use(void) {
  char *spills = scratch("in-use-spills");
  bywash_context *context = make_context(spills, NULL, NULL, NULL);
  bywash_shuffle *shuffle = make_shuffle(3, true, "none");
  bywash_task *task = make_task(context, shuffle);
  struct reentrant reentrant = {NULL, 0};
  struct nosy nosy;
  bywash_output *sent;
  OK(bywash_writer_new(shuffle, task, NULL, 1, 0, &reentrant.writer, &error));
  make_stream(&nosy.inner, 0, 100, 5, -1);
  nosy.writer = reentrant.writer;
  struct ArrowArrayStream stream = {nosy_schema, nosy_next, NULL, nosy_release, &nosy};
  OK(bywash_writer_push_stream(reentrant.writer, &stream, &error));
  bywash_sink sink = {.struct_size = sizeof sink, .context = &reentrant, .write = come_back};
  OK(bywash_writer_finish_into(reentrant.writer, &sink, &sent, &error));
  CHECK(reentrant.calls > 0);
  bywash_output_free(sent);
  bywash_writer_free(reentrant.writer);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  free(spills);
}

static void ended_too(void *context) { *(int *)context += 1; }

/* A host that lends nothing is told of the end, too: when all that keeps the context is gone. */
void test_host_without_loans(void) {
  char *spills = scratch("no-loans");
  int ends = 0;
  bywash_host host = {.struct_size = sizeof host, .context = &ends, .destroy = ended_too};
  bywash_context *context = make_context(spills, NULL, NULL, &host);
  bywash_shuffle *shuffle = make_shuffle(1, true, "none");
  bywash_task *task = make_task(context, shuffle);
  CHECK(ends == 0);
  bywash_context_free(context);
  bywash_shuffle_free(shuffle);
  CHECK(ends == 0);
  bywash_task_free(task);
  CHECK(ends == 1);
  free(spills);
}
