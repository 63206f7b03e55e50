/* Runs the tests named, or all: bywash_c_tests DIRECTORY [TEST...]. */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rows.h"

static const char *directory;

void check_failure(const char *file, int line, const char *call, int32_t status, bywash_error *error,
                   int32_t code, int32_t action, const char *text) {
  const char *message = bywash_error_message(error);
  bool right = status == code && error != NULL && bywash_error_code(error) == code &&
               bywash_error_action(error) == action && strstr(message, text) != NULL;
  if (!right) {
    fprintf(stderr, "%s:%d: %s: status %d, action %d: %s\n  expected status %d, action %d: %s\n", file,
            line, call, (int)status, (int)bywash_error_action(error), message, (int)code, (int)action,
            text);
    abort();
  }
  bywash_error_free(error);
}

char *scratch(const char *name) {
  size_t size = strlen(directory) + strlen(name) + 2;
  char *path = malloc(size);
  CHECK(path != NULL);
  snprintf(path, size, "%s/%s", directory, name);
  CHECK(mkdir(path, 0700) == 0);
  return path;
}

static size_t entries;

static int count_entry(const char *path, const struct stat *status, int type, struct FTW *at) {
  (void)path, (void)status, (void)type, (void)at;
  entries++;
  return 0;
}

size_t files_below(const char *dir) {
  entries = 0;
  nftw(dir, count_entry, 16, FTW_PHYS);
  return entries;
}

uint64_t setting(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

uint64_t next_random(uint64_t *state) {
  *state += 0x9e3779b97f4a7c15u;
  uint64_t mixed = (*state ^ (*state >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

bywash_context *make_context(const char *dir, const char *key, const char *value,
                             const bywash_host *host) {
  bywash_options *options;
  bywash_context *context;
  OK(bywash_options_new(&options, &error));
  OK(bywash_options_set(options, "spill.dirs", dir, &error));
  OK(bywash_options_set(options, "spill.memory_backed", "unaccounted", &error));
  if (key != NULL) OK(bywash_options_set(options, key, value, &error));
  OK(bywash_context_new(options, host, &context, &error));
  bywash_options_free(options);
  return context;
}

bywash_shuffle *make_shuffle(uint32_t partitions, bool hash, const char *validate) {
  struct ArrowSchema schema;
  bywash_options *options;
  bywash_shuffle *shuffle;
  uint32_t key_column = 0;
  make_schema(&schema);
  OK(bywash_options_new(&options, &error));
  OK(bywash_options_set(options, "validate", validate, &error));
  OK(bywash_options_set(options, "codec", "lz4", &error));
  OK(bywash_shuffle_new(&schema, partitions, &key_column, hash ? 1 : 0, options, &shuffle, &error));
  CHECK(schema.release == NULL);
  bywash_options_free(options);
  return shuffle;
}

bywash_task *make_task(bywash_context *context, bywash_shuffle *shuffle) {
  uint64_t minimum = 0;
  bywash_task *task;
  OK(bywash_shuffle_minimum_budget(shuffle, 1, &minimum, &error));
  CHECK(minimum > 0);
  OK(bywash_task_new(context, minimum, &task, &error));
  return task;
}

static const struct {
  const char *name;
  void (*run)(void);
} TESTS[] = {
    {"no_threads", test_no_threads},
    {"round_trip_ids", test_round_trip_ids},
    {"round_trip_hash_stream", test_round_trip_hash_stream},
    {"round_trip_slices", test_round_trip_slices},
    {"sink", test_sink},
    {"sink_fails", test_sink_fails},
    {"stream_manners", test_stream_manners},
    {"null_everywhere", test_null_everywhere},
    {"wrong_options", test_wrong_options},
    {"wrong_structs", test_wrong_structs},
    {"wrong_arrays", test_wrong_arrays},
    {"wrong_ids", test_wrong_ids},
    {"wrong_streams", test_wrong_streams},
    {"wrong_reads", test_wrong_reads},
    {"hostile_schemas", test_hostile_schemas},
    {"hostile_arrays", test_hostile_arrays},
    {"corruption", test_corruption},
    {"heal", test_heal},
    {"states", test_states},
    {"map_is_named", test_map_is_named},
    {"odd_offsets", test_odd_offsets},
    {"nested_is_unsupported", test_nested_is_unsupported},
    {"stream_in_use", test_stream_in_use},
    {"stream_released_inside", test_stream_released_inside},
    {"stream_handed_in", test_stream_handed_in},
    {"host_lends_too_much", test_host_lends_too_much},
    {"freed_in_any_order", test_freed_in_any_order},
    {"unfinished_leaves_nothing", test_unfinished_leaves_nothing},
    {"cancel", test_cancel},
    {"in_use", test_in_use},
    {"lender", test_lender},
    {"host_refuses", test_host_refuses},
    {"host_without_loans", test_host_without_loans},
    {"writer_in_a_spill", test_writer_in_a_spill},
    {"host_pays_for_batches", test_host_pays_for_batches},
    {"fork", test_fork},
    {"two_copies", test_two_copies},
};

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  directory = argv[1];
  size_t ran = 0;
  for (size_t i = 0; i < sizeof TESTS / sizeof *TESTS; i++) {
    bool wanted = argc == 2;
    for (int j = 2; j < argc; j++) wanted |= strcmp(argv[j], TESTS[i].name) == 0;
    if (!wanted) continue;
    printf("%s ...", TESTS[i].name);
    fflush(stdout);
    TESTS[i].run();
    CHECK(rows_live() == 0);
    printf(" ok\n");
    ran++;
  }
  CHECK(ran > 0);
  return 0;
}
