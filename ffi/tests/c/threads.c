/* One use of every function, on one thread: the process has one before, inside each callback, and after
 * each call. Runs first, before other tests have started any. */
#define _XOPEN_SOURCE 700
#include <dirent.h>

#include "rows.h"

static int threads(void) {
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

#define ALONE() CHECK(threads() == 1)
#define ALONE_AFTER(call) \
  do {                    \
    OK(call);             \
    ALONE();              \
  } while (0)

/* How often each callback came. */
static struct {
  int acquire, release, destroy, log, write;
} called;

static int64_t lend(void *context, uint64_t bytes) {
  (void)context;
  ALONE();
  called.acquire++;
  return (int64_t)bytes;
}

static void give_back(void *context, uint64_t bytes) {
  (void)context, (void)bytes;
  ALONE();
  called.release++;
}

static void ended(void *context) {
  (void)context;
  ALONE();
  called.destroy++;
}

static void warned(void *context, int32_t level, const char *message) {
  (void)context, (void)level, (void)message;
  ALONE();
  called.log++;
}

static int32_t take(void *context, uint32_t partition, const uint8_t *bytes, size_t length) {
  (void)context, (void)partition, (void)bytes, (void)length;
  ALONE();
  called.write++;
  return BYWASH_OK;
}

void test_no_threads(void) {
  char *spills = scratch("no-threads-spills"), *out = scratch("no-threads");
  size_t size = strlen(spills) + 32;
  char *dirs = malloc(size);
  CHECK(dirs != NULL);
  snprintf(dirs, size, "%s:/dev/null/none", spills);
  bywash_options *options;
  bywash_context *context;
  bywash_shuffle *shuffle;
  bywash_task *task;
  bywash_writer *writer, *sending, *given_up;
  bywash_output *output, *sent, *opened;
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct ArrowArrayStream stream;
  uint64_t number, minimum;
  uint32_t count, key = 0;
  char *json;

  ALONE();
  CHECK(bywash_abi_version() == BYWASH_ABI_VERSION && strlen(bywash_version_string()) > 0);
  ALONE_AFTER(bywash_options_new(&options, &error));
  ALONE_AFTER(bywash_options_set(options, "spill.dirs", dirs, &error));
  ALONE_AFTER(bywash_options_set(options, "spill.memory_backed", "unaccounted", &error));
  ALONE_AFTER(bywash_options_set(options, "memory.patience_ms", "10", &error));
  bywash_error *failed;
  CHECK(bywash_options_set(options, "codec", "none such", &failed) == BYWASH_INVALID_ARGUMENT);
  CHECK(bywash_error_code(failed) == BYWASH_INVALID_ARGUMENT);
  CHECK(bywash_error_action(failed) == BYWASH_ACTION_FAIL_JOB);
  CHECK(bywash_error_figure(failed, "map", &number) == BYWASH_NOT_FOUND);
  CHECK(strlen(bywash_error_message(failed)) > 0);
  bywash_error_free(failed);
  ALONE();
  bywash_host host = {.struct_size = sizeof host, .acquire = lend, .release = give_back,
                      .destroy = ended, .log = warned};
  ALONE_AFTER(bywash_context_new(options, &host, &context, &error));
  make_schema(&schema);
  ALONE_AFTER(bywash_shuffle_new(&schema, 3, &key, 1, options, &shuffle, &error));
  ALONE_AFTER(bywash_shuffle_minimum_budget(shuffle, 1, &minimum, &error));
  ALONE_AFTER(bywash_task_new(context, minimum, &task, &error));
  ALONE_AFTER(bywash_writer_new(shuffle, task, out, 1, 0, &writer, &error));
  ALONE_AFTER(bywash_writer_new(shuffle, task, NULL, 2, 0, &sending, &error));
  ALONE_AFTER(bywash_writer_new(shuffle, task, NULL, 3, 0, &given_up, &error));
  /* Enough for several blocks a partition, spilled in between. */
  for (int64_t batch = 0; batch < 40; batch++) {
    make_rows(&array, batch * 4096, 4096);
    ALONE_AFTER(bywash_writer_push(writer, &array, NULL, 0, &error));
    if (batch % 16 == 7) ALONE_AFTER(bywash_reclaim(context, UINT64_MAX, &number, &error));
  }
  make_stream(&stream, 0, 4096, 10, -1);
  ALONE_AFTER(bywash_writer_push_stream(sending, &stream, &error));
  ALONE_AFTER(bywash_writer_statistics(writer, &json, &error));
  bywash_string_free(json);
  ALONE_AFTER(bywash_explain(context, &json, &error));
  bywash_string_free(json);
  ALONE_AFTER(bywash_set_capacity(context, UINT64_MAX, NULL, &error));
  ALONE_AFTER(bywash_writer_cancel(given_up, &error));
  bywash_writer_free(given_up);
  ALONE();
  bywash_sink sink = {.struct_size = sizeof sink, .write = take};
  ALONE_AFTER(bywash_writer_finish_into(sending, &sink, &sent, &error));
  ALONE_AFTER(bywash_writer_finish(writer, &output, &error));
  ALONE_AFTER(bywash_output_open(task, out, 1, &opened, &error));
  ALONE_AFTER(bywash_output_partitions(opened, &count, &error));
  ALONE_AFTER(bywash_output_attempt(opened, &number, &error));
  for (uint32_t partition = 0; partition < count; partition++) {
    bywash_partition known = {.struct_size = sizeof known};
    bywash_error *reason;
    ALONE_AFTER(bywash_output_partition(opened, partition, &known, &error));
    ALONE_AFTER(bywash_output_read(opened, task, partition, &stream, &error));
    ALONE_AFTER(bywash_stream_error(&stream, &reason, &error));
    CHECK(stream.get_last_error(&stream) != NULL && drain(&stream).rows > 0);
    ALONE();
  }
  bywash_output_free(opened);
  ALONE_AFTER(bywash_output_remove(context, out, 1, NULL, &error));
  bywash_output_free(output);
  bywash_output_free(sent);
  bywash_writer_free(sending);
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  bywash_options_free(options);
  ALONE();
  CHECK(called.acquire > 0 && called.release > 0 && called.write > 0);
  CHECK(called.destroy == 1 && called.log == 1);
  free(dirs);
  free(spills);
  free(out);
}
