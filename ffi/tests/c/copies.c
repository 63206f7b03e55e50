/* Two copies of the library in one process: each knows its own handles, streams and files only. */
#define _XOPEN_SOURCE 700
#include <dlfcn.h>

#include "rows.h"

#define FUNCTIONS(X)                                                                          \
  X(bywash_options_new) X(bywash_options_set) X(bywash_options_free) X(bywash_context_new)    \
  X(bywash_context_free) X(bywash_task_new) X(bywash_task_free) X(bywash_shuffle_new)         \
  X(bywash_shuffle_free) X(bywash_writer_new) X(bywash_writer_push) X(bywash_writer_finish)   \
  X(bywash_writer_free) X(bywash_output_read) X(bywash_output_free) X(bywash_stream_error)    \
  X(bywash_error_message) X(bywash_error_free) X(bywash_abi_version)

struct copy {
#define FIELD(name) __typeof__(&name) name;
  FUNCTIONS(FIELD)
#undef FIELD
  void *library;
};

static struct copy open_copy(const char *path) {
  struct copy copy;
  copy.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (copy.library == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(copy.library != NULL);
#define LOAD(name)                                            \
  do {                                                        \
    void *symbol = dlsym(copy.library, #name);                \
    CHECK(symbol != NULL && sizeof symbol == sizeof copy.name); \
    memcpy(&copy.name, &symbol, sizeof symbol);               \
  } while (0);
  FUNCTIONS(LOAD)
#undef LOAD
  return copy;
}

struct part {
  bywash_context *context;
  bywash_task *task;
  bywash_shuffle *shuffle;
  bywash_writer *writer;
  bywash_output *output;
  struct ArrowArrayStream stream;
};

static void begin(struct copy *copy, struct part *part, const char *spills, const char *out, uint64_t map) {
  bywash_options *options;
  struct ArrowSchema schema;
  OK(copy->bywash_options_new(&options, &error));
  OK(copy->bywash_options_set(options, "spill.dirs", spills, &error));
  OK(copy->bywash_options_set(options, "spill.memory_backed", "unaccounted", &error));
  OK(copy->bywash_context_new(options, NULL, &part->context, &error));
  copy->bywash_options_free(options);
  make_schema(&schema);
  OK(copy->bywash_shuffle_new(&schema, 3, NULL, 0, NULL, &part->shuffle, &error));
  OK(copy->bywash_task_new(part->context, 0, &part->task, &error));
  OK(copy->bywash_writer_new(part->shuffle, part->task, out, map, 0, &part->writer, &error));
}

static void push(struct copy *copy, struct part *part, int64_t first) {
  struct ArrowArray array;
  uint32_t *ids = make_ids(first, 999, 3);
  make_rows(&array, first, 999);
  OK(copy->bywash_writer_push(part->writer, &array, ids, 999, &error));
  free(ids);
}

void test_two_copies(void) {
  const char *first = getenv("BYWASH_COPY_1"), *second = getenv("BYWASH_COPY_2");
  if (first == NULL || second == NULL) {
    printf(" skipped: BYWASH_COPY_1 and _2 name no copies");
    return;
  }
  struct copy copies[2] = {open_copy(first), open_copy(second)};
  struct part parts[2];
  char *spills = scratch("copies-spills"), *out = scratch("copies");
  CHECK(copies[0].bywash_abi_version != copies[1].bywash_abi_version);
  for (uint64_t i = 0; i < 2; i++) begin(&copies[i], &parts[i], spills, out, i);
  for (int64_t batch = 0; batch < 20; batch++) {
    for (int i = 0; i < 2; i++) push(&copies[i], &parts[i], batch * 999);
  }
  for (int i = 0; i < 2; i++) {
    OK(copies[i].bywash_writer_finish(parts[i].writer, &parts[i].output, &error));
    OK(copies[i].bywash_output_read(parts[i].output, parts[i].task, 1, &parts[i].stream, &error));
  }
  for (int i = 0; i < 2; i++) {
    struct copy *other = &copies[1 - i];
    bywash_error *reason, *error = NULL;
    CHECK(other->bywash_stream_error(&parts[i].stream, &reason, &error) == BYWASH_INVALID_ARGUMENT);
    CHECK(strstr(other->bywash_error_message(error), "not a live stream") != NULL);
    other->bywash_error_free(error);
    struct seen seen = drain(&parts[i].stream);
    CHECK(seen.rows == 20 * 333);
  }
  for (int i = 0; i < 2; i++) {
    copies[i].bywash_output_free(parts[i].output);
    copies[i].bywash_writer_free(parts[i].writer);
    copies[i].bywash_task_free(parts[i].task);
    copies[i].bywash_shuffle_free(parts[i].shuffle);
    copies[i].bywash_context_free(parts[i].context);
  }
  free(spills);
  free(out);
}
