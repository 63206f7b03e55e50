/* A forked child: every function that takes a handle answers INVALID_STATE, free does nothing, the
 * parent's files stay. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"

#define REFUSED(call) FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "before a fork", call)

struct family {
  bywash_options *options;
  bywash_context *context;
  bywash_task *task;
  bywash_shuffle *shuffle;
  bywash_writer *writer, *busy;
  bywash_output *output;
  bywash_error *error;
  struct ArrowArrayStream stream;
  struct ArrowArray batch;
  char *spills, *out;
  atomic_int pushed;
  atomic_bool stop;
};

static int64_t lend(void *context, uint64_t bytes) {
  atomic_fetch_add((atomic_llong *)context, (long long)bytes);
  return (int64_t)bytes;
}

static void give_back(void *context, uint64_t bytes) {
  atomic_fetch_sub((atomic_llong *)context, (long long)bytes);
}

static void *push_all_the_time(void *argument) {
  struct family *family = argument;
  uint32_t *ids = make_ids(0, 1000, 3);
  while (!atomic_load(&family->stop)) {
    struct ArrowArray array;
    make_rows(&array, 0, 1000);
    OK(bywash_writer_push(family->busy, &array, ids, 1000, &error));
    atomic_fetch_add(&family->pushed, 1);
  }
  free(ids);
  return NULL;
}

static void in_child(struct family *family, atomic_llong *lent) {
  long long before = atomic_load(lent);
  uint64_t number;
  uint32_t count;
  char *json;
  bywash_context *context;
  bywash_task *task;
  bywash_shuffle *shuffle;
  bywash_writer *writer;
  bywash_output *output;
  bywash_error *reason;
  bywash_partition partition = {.struct_size = sizeof partition};
  bywash_sink sink = {.struct_size = sizeof sink};
  struct ArrowArrayStream stream;
  struct ArrowSchema schema;
  struct ArrowArray array;

  CHECK(bywash_abi_version() == BYWASH_ABI_VERSION && strlen(bywash_version_string()) > 0);
  CHECK(strstr(bywash_error_message(family->error), "no such setting") != NULL);
  CHECK(bywash_error_code(family->error) == BYWASH_INVALID_ARGUMENT);
  CHECK(bywash_error_action(family->error) == BYWASH_ACTION_FAIL_JOB);
  CHECK(bywash_error_figure(family->error, "map", &number) == BYWASH_NOT_FOUND);

  REFUSED(bywash_options_set(family->options, "codec", "lz4", &error));
  REFUSED(bywash_context_new(family->options, NULL, &context, &error));
  REFUSED(bywash_reclaim(family->context, 1, &number, &error));
  REFUSED(bywash_set_capacity(family->context, 1, &number, &error));
  REFUSED(bywash_explain(family->context, &json, &error));
  REFUSED(bywash_task_new(family->context, 0, &task, &error));
  make_schema(&schema);
  REFUSED(bywash_shuffle_new(&schema, 3, NULL, 0, family->options, &shuffle, &error));
  REFUSED(bywash_shuffle_minimum_budget(family->shuffle, 1, &number, &error));
  REFUSED(bywash_writer_new(family->shuffle, family->task, family->out, 9, 9, &writer, &error));
  for (int i = 0; i < 2; i++) {
    bywash_writer *old = i == 0 ? family->writer : family->busy;
    make_rows(&array, 0, 10);
    REFUSED(bywash_writer_push(old, &array, NULL, 0, &error));
    make_stream(&stream, 0, 10, 1, -1);
    REFUSED(bywash_writer_push_stream(old, &stream, &error));
    REFUSED(bywash_writer_cancel(old, &error));
    REFUSED(bywash_writer_statistics(old, &json, &error));
    REFUSED(bywash_writer_finish(old, &output, &error));
    REFUSED(bywash_writer_finish_into(old, &sink, &output, &error));
  }
  REFUSED(bywash_output_open(family->task, family->out, 1, &output, &error));
  REFUSED(bywash_output_partitions(family->output, &count, &error));
  REFUSED(bywash_output_attempt(family->output, &number, &error));
  REFUSED(bywash_output_remove(family->context, family->out, 1, NULL, &error));
  REFUSED(bywash_output_partition(family->output, 0, &partition, &error));
  REFUSED(bywash_output_read(family->output, family->task, 0, &stream, &error));
  REFUSED(bywash_stream_error(&family->stream, &reason, &error));
  CHECK(family->stream.get_next(&family->stream, &array) == EINVAL && array.release == NULL);
  CHECK(strstr(family->stream.get_last_error(&family->stream), "before a fork") != NULL);

  /* A child makes its own. */
  bywash_options *options;
  OK(bywash_options_new(&options, &error));
  OK(bywash_options_set(options, "codec", "lz4", &error));
  bywash_options_free(options);

  family->batch.release(&family->batch);
  family->stream.release(&family->stream);
  CHECK(family->batch.release == NULL && family->stream.release == NULL);
  bywash_writer_free(family->writer);
  bywash_writer_free(family->busy);
  bywash_output_free(family->output);
  bywash_task_free(family->task);
  bywash_shuffle_free(family->shuffle);
  bywash_context_free(family->context);
  bywash_options_free(family->options);
  bywash_error_free(family->error);
  CHECK(atomic_load(lent) == before);
}

void test_fork(void) {
  struct family family = {.spills = scratch("fork-spills"), .out = scratch("fork")};
  atomic_llong lent = 0;
  bywash_host host = {.struct_size = sizeof host, .context = &lent, .acquire = lend, .release = give_back};
  struct ArrowArray array;
  uint32_t *ids = make_ids(0, 1000, 3);
  uint64_t freed;
  OK(bywash_options_new(&family.options, &error));
  CHECK(bywash_options_set(family.options, "no", "thing", &family.error) != BYWASH_OK);
  family.context = make_context(family.spills, "spill.named", "yes", &host);
  family.shuffle = make_shuffle(3, false, "none");
  family.task = make_task(family.context, family.shuffle);
  OK(bywash_writer_new(family.shuffle, family.task, family.out, 1, 0, &family.writer, &error));
  make_rows(&array, 0, 1000);
  OK(bywash_writer_push(family.writer, &array, ids, 1000, &error));
  OK(bywash_writer_finish(family.writer, &family.output, &error));
  bywash_writer_free(family.writer);
  OK(bywash_output_read(family.output, family.task, 0, &family.stream, &error));
  CHECK(family.stream.get_next(&family.stream, &family.batch) == 0 && family.batch.release != NULL);
  /* One writer with spills in named files, and one that pushes while the process forks. */
  OK(bywash_writer_new(family.shuffle, family.task, family.out, 2, 0, &family.writer, &error));
  for (int64_t batch = 0; batch < 100; batch++) {
    make_rows(&array, batch * 1000, 1000);
    OK(bywash_writer_push(family.writer, &array, ids, 1000, &error));
  }
  OK(bywash_reclaim(family.context, UINT64_MAX, &freed, &error));
  size_t spilled = files_below(family.spills), written = files_below(family.out);
  OK(bywash_writer_new(family.shuffle, family.task, NULL, 3, 0, &family.busy, &error));
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, push_all_the_time, &family) == 0);

  uint64_t rounds = setting("BYWASH_FORKS", 5);
  for (uint64_t round = 0; round < rounds; round++) {
    int seen = atomic_load(&family.pushed);
    while (atomic_load(&family.pushed) == seen) sched_yield();
    fflush(stdout);
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(120); /* A lock that is waited for shows. */
      in_child(&family, &lent);
      CHECK(write(ends[1], "!", 1) == 1);
      kill(getpid(), SIGKILL); /* No exit handlers of the parent's, and no leak check. */
    }
    close(ends[1]);
    char good = 0;
    CHECK(read(ends[0], &good, 1) == 1 && good == '!');
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  atomic_store(&family.stop, true);
  CHECK(pthread_join(thread, NULL) == 0);
  bywash_writer_free(family.busy);
  CHECK(files_below(family.spills) == spilled && files_below(family.out) == written && spilled > 2);

  /* For the parent nothing has changed. */
  struct seen seen = {0, -1, 0, 0};
  check_rows(&family.batch, &seen);
  family.batch.release(&family.batch);
  CHECK(family.stream.get_next(&family.stream, &array) == 0 && array.release == NULL);
  family.stream.release(&family.stream);
  bywash_output_free(family.output);
  OK(bywash_writer_finish(family.writer, &family.output, &error));
  for (uint32_t partition = 0; partition < 3; partition++) {
    bywash_partition known = {.struct_size = sizeof known};
    OK(bywash_output_partition(family.output, partition, &known, &error));
    CHECK(known.rows >= 33300);
  }
  bywash_output_free(family.output);
  bywash_writer_free(family.writer);
  bywash_task_free(family.task);
  bywash_shuffle_free(family.shuffle);
  bywash_context_free(family.context);
  bywash_options_free(family.options);
  bywash_error_free(family.error);
  CHECK(atomic_load(&lent) == 0);
  free(ids);
  free(family.spills);
  free(family.out);
}
