/* Rows go in by ids, by hash, from streams and slices; they come back partition by partition. */
#include "rows.h"

enum { PARTITIONS = 5, ROWS = 1000, BATCHES = 12 };

struct all {
  bywash_context *context;
  bywash_task *task;
  bywash_shuffle *shuffle;
  bywash_writer *writer;
  char *spills, *out;
};

static struct all begin(const char *name, bool hash, const char *validate, bool to_sink) {
  struct all all;
  char spills[64];
  snprintf(spills, sizeof spills, "%s-spills", name);
  all.spills = scratch(spills);
  all.out = scratch(name);
  all.context = make_context(all.spills, NULL, NULL, NULL);
  all.shuffle = make_shuffle(PARTITIONS, hash, validate);
  all.task = make_task(all.context, all.shuffle);
  OK(bywash_writer_new(all.shuffle, all.task, to_sink ? NULL : all.out, 7, 3, &all.writer, &error));
  return all;
}

static void end(struct all all) {
  bywash_writer_free(all.writer);
  bywash_shuffle_free(all.shuffle);
  bywash_task_free(all.task);
  char *json;
  OK(bywash_explain(all.context, &json, &error));
  CHECK(strstr(json, "\"granted_bytes\":0,") != NULL && strstr(json, "\"spill_dirs\":[{") != NULL);
  bywash_string_free(json);
  bywash_context_free(all.context);
  free(all.spills);
  free(all.out);
}

static void push(bywash_writer *writer, int64_t first, int64_t count, bool ids, bool sliced) {
  struct ArrowArray array;
  if (sliced) make_sliced_rows(&array, first, count);
  else make_rows(&array, first, count);
  uint32_t *of_rows = make_ids(first, count, PARTITIONS);
  OK(bywash_writer_push(writer, &array, ids ? of_rows : NULL, ids ? (size_t)count : 0, &error));
  CHECK(array.release == NULL);
  free(of_rows);
}

/* Reads all partitions; each as its description says, all rows once. */
static void check_output(bywash_output *output, bywash_task *task, bool ids, int64_t rows) {
  uint32_t partitions;
  uint64_t key_sum = 0;
  int64_t found = 0;
  OK(bywash_output_partitions(output, &partitions, &error));
  CHECK(partitions == PARTITIONS);
  for (uint32_t partition = 0; partition < partitions; partition++) {
    bywash_partition known = {.struct_size = sizeof known};
    struct ArrowArrayStream stream;
    OK(bywash_output_partition(output, partition, &known, &error));
    OK(bywash_output_read(output, task, partition, &stream, &error));
    struct seen seen = drain(&stream);
    CHECK((uint64_t)seen.rows == known.rows && known.bytes > 0 && known.struct_size == sizeof known);
    if (ids) CHECK(seen.last_key % PARTITIONS == (int64_t)partition);
    found += seen.rows;
    key_sum += seen.key_sum;
  }
  CHECK(found == rows && key_sum == (uint64_t)rows * (uint64_t)(rows - 1) / 2);
}

void test_round_trip_ids(void) {
  struct all all = begin("ids", false, "none", false);
  for (int64_t batch = 0; batch < BATCHES; batch++) push(all.writer, batch * ROWS, ROWS, true, false);
  bywash_output *output, *opened;
  uint64_t freed;
  OK(bywash_reclaim(all.context, UINT64_MAX, &freed, &error));
  OK(bywash_writer_finish(all.writer, &output, &error));
  char *json;
  OK(bywash_writer_statistics(all.writer, &json, &error));
  CHECK(strstr(json, "\"rows\":12000,") != NULL);
  bywash_string_free(json);
  check_output(output, all.task, true, BATCHES * ROWS);
  OK(bywash_output_open(all.task, all.out, 7, &opened, &error));
  check_output(opened, NULL, true, BATCHES * ROWS);
  bywash_output_free(opened);
  bywash_output_free(output);
  end(all);
}

void test_round_trip_hash_stream(void) {
  struct all all = begin("hash", true, "full", false);
  struct ArrowArrayStream stream;
  make_stream(&stream, 0, ROWS, BATCHES, -1);
  OK(bywash_writer_push_stream(all.writer, &stream, &error));
  CHECK(stream.release == NULL);
  push(all.writer, BATCHES * ROWS, ROWS, false, false);
  push(all.writer, 0, 0, false, false);
  bywash_output *output;
  OK(bywash_writer_finish(all.writer, &output, &error));
  check_output(output, all.task, false, (BATCHES + 1) * ROWS);
  bywash_output_free(output);
  end(all);
}

void test_round_trip_slices(void) {
  struct all all = begin("slices", false, "full", false);
  for (int64_t batch = 0; batch < BATCHES; batch++) push(all.writer, batch * ROWS, ROWS, true, true);
  bywash_output *output;
  OK(bywash_writer_finish(all.writer, &output, &error));
  check_output(output, all.task, true, BATCHES * ROWS);
  bywash_output_free(output);
  end(all);
}

/* A service that takes bytes, and how it fails. */
struct service {
  uint64_t bytes[PARTITIONS];
  uint32_t crc[PARTITIONS];
  uint32_t last;
  int32_t answer;
};

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len) {
  crc = ~crc;
  for (size_t i = 0; i < len; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

static int32_t take_bytes(void *context, uint32_t partition, const uint8_t *bytes, size_t len) {
  struct service *service = context;
  CHECK(partition < PARTITIONS && partition >= service->last && len > 0);
  service->last = partition;
  service->bytes[partition] += len;
  service->crc[partition] = crc32c(service->crc[partition], bytes, len);
  return service->answer;
}

void test_sink(void) {
  struct all all = begin("sink", false, "none", true);
  for (int64_t batch = 0; batch < BATCHES; batch++) push(all.writer, batch * ROWS, ROWS, true, false);
  struct service service = {.answer = BYWASH_OK};
  bywash_sink sink = {.struct_size = sizeof sink, .context = &service, .write = take_bytes};
  bywash_output *sent;
  OK(bywash_writer_finish_into(all.writer, &sink, &sent, &error));
  for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
    bywash_partition known = {.struct_size = sizeof known};
    OK(bywash_output_partition(sent, partition, &known, &error));
    CHECK(known.rows == BATCHES * ROWS / PARTITIONS);
    CHECK(known.bytes == service.bytes[partition] && known.crc32c == service.crc[partition]);
  }
  struct ArrowArrayStream stream;
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "sent to a sink",
        bywash_output_read(sent, all.task, 0, &stream, &error));
  CHECK(stream.release == NULL);
  bywash_output_free(sent);
  end(all);
}

void test_sink_fails(void) {
  struct all all = begin("sink-fails", false, "none", true);
  push(all.writer, 0, ROWS, true, false);
  struct service service = {.answer = BYWASH_UNAVAILABLE};
  bywash_sink sink = {.struct_size = sizeof sink, .context = &service, .write = take_bytes};
  bywash_output *sent;
  FAILS(BYWASH_UNAVAILABLE, BYWASH_ACTION_RETRY_TASK, "sink failed",
        bywash_writer_finish_into(all.writer, &sink, &sent, &error));
  CHECK(sent == NULL);
  FAILS(BYWASH_INVALID_STATE, BYWASH_ACTION_FAIL_JOB, "finished",
        bywash_writer_finish_into(all.writer, &sink, &sent, &error));
  end(all);
}

/* Asked for its schema often, past its end, dropped before its end, never asked; batches that
 * outlive all handles. */
void test_stream_manners(void) {
  struct all all = begin("manners", false, "none", false);
  for (int64_t batch = 0; batch < BATCHES; batch++) push(all.writer, batch * ROWS, ROWS, true, false);
  bywash_output *output;
  OK(bywash_writer_finish(all.writer, &output, &error));
  struct ArrowArrayStream never, early, late;
  OK(bywash_output_read(output, all.task, 0, &never, &error));
  never.release(&never);
  CHECK(never.release == NULL);

  struct ArrowArray kept, part, past;
  OK(bywash_output_read(output, all.task, 1, &early, &error));
  CHECK(early.get_next(&early, &kept) == 0 && kept.release != NULL);
  early.release(&early);

  OK(bywash_output_read(output, all.task, 2, &late, &error));
  struct ArrowSchema schema;
  for (int i = 0; i < 3; i++) {
    CHECK(late.get_schema(&late, &schema) == 0);
    schema.release(&schema);
  }
  CHECK(late.get_next(&late, &part) == 0 && part.release != NULL);
  /* A child is moved out, and released after its parent, as consumers may. */
  struct ArrowArray child = *part.children[0];
  part.children[0]->release = NULL;
  part.release(&part);
  CHECK(child.length > 0 && ((const int64_t *)child.buffers[1])[child.offset] == 2);
  child.release(&child);
  do {
    CHECK(late.get_next(&late, &past) == 0);
    if (past.release != NULL) past.release(&past), past.length = 1;
    else break;
  } while (true);
  for (int i = 0; i < 3; i++) CHECK(late.get_next(&late, &past) == 0 && past.release == NULL);
  bywash_error *reason;
  OK(bywash_stream_error(&late, &reason, &error));
  CHECK(reason == NULL);
  late.release(&late);
  FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, "not a live stream",
        bywash_stream_error(&late, &reason, &error));

  bywash_output_free(output);
  bywash_writer_free(all.writer);
  bywash_shuffle_free(all.shuffle);
  bywash_task_free(all.task);
  bywash_context_free(all.context);
  struct seen seen = {0, -1, 0, 0};
  check_rows(&kept, &seen);
  CHECK(seen.rows > 0);
  kept.release(&kept);
  free(all.spills);
  free(all.out);
}
