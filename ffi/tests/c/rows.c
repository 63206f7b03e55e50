#include "rows.h"

#include <errno.h>
#include <stdatomic.h>

static atomic_long live;

long rows_live(void) { return atomic_load(&live); }

static void *take(size_t bytes) {
  void *memory = calloc(1, bytes > 0 ? bytes : 1);
  CHECK(memory != NULL);
  return memory;
}

/* Schemas */

static void release_schema(struct ArrowSchema *schema) {
  for (int64_t i = 0; i < schema->n_children; i++) {
    if (schema->children[i]->release != NULL) schema->children[i]->release(schema->children[i]);
    free(schema->children[i]);
  }
  free(schema->children);
  schema->release = NULL;
  atomic_fetch_sub(&live, 1);
}

static void schema_node(struct ArrowSchema *out, const char *format, const char *name, int64_t flags,
                        int64_t children) {
  memset(out, 0, sizeof *out);
  out->format = format;
  out->name = name;
  out->flags = flags;
  out->n_children = children;
  out->children = take((size_t)children * sizeof *out->children);
  for (int64_t i = 0; i < children; i++) out->children[i] = take(sizeof **out->children);
  out->release = release_schema;
  atomic_fetch_add(&live, 1);
}

void make_other_schema(struct ArrowSchema *out, const char *format) {
  schema_node(out, "+s", "", 0, format != NULL ? 2 : 1);
  schema_node(out->children[0], "l", "key", 0, 0);
  if (format != NULL) schema_node(out->children[1], format, "text", ARROW_FLAG_NULLABLE, 0);
}

void make_schema(struct ArrowSchema *out) { make_other_schema(out, "u"); }

/* Arrays */

static void release_array(struct ArrowArray *array) {
  /* Tests break arrays: parts may be missing. */
  for (int64_t i = 0; array->buffers != NULL && i < array->n_buffers; i++) {
    free((void *)(uintptr_t)array->buffers[i]);
  }
  for (int64_t i = 0; array->children != NULL && i < array->n_children; i++) {
    if (array->children[i] == NULL) continue;
    if (array->children[i]->release != NULL) array->children[i]->release(array->children[i]);
    free(array->children[i]);
  }
  free((void *)array->buffers);
  free(array->children);
  array->release = NULL;
  atomic_fetch_sub(&live, 1);
}

static void array_node(struct ArrowArray *out, int64_t length, int64_t offset, int64_t buffers,
                       int64_t children) {
  memset(out, 0, sizeof *out);
  out->length = length;
  out->offset = offset;
  out->n_buffers = buffers;
  out->buffers = take((size_t)buffers * sizeof *out->buffers);
  out->n_children = children;
  out->children = take((size_t)children * sizeof *out->children);
  for (int64_t i = 0; i < children; i++) out->children[i] = take(sizeof **out->children);
  out->release = release_array;
  atomic_fetch_add(&live, 1);
}

static bool is_null(int64_t key) { return key % 7 == 0; }

static int text_of(int64_t key, char *out, size_t size) {
  /* Of many lengths, and not worth compressing. */
  return snprintf(out, size, "row-%lld-%.*s", (long long)key, (int)(key % 13), "abcdefghijklm");
}

static void fill(struct ArrowArray *out, int64_t first, int64_t count, int64_t outer, int64_t inner) {
  int64_t rows = outer + inner + count;
  int64_t *keys = take((size_t)rows * sizeof *keys);
  int32_t *offsets = take((size_t)(rows + 1) * sizeof *offsets);
  uint8_t *validity = take((size_t)(rows + 7) / 8);
  char *text = take((size_t)rows * 48);
  int64_t nulls = 0;
  for (int64_t i = 0; i < rows; i++) {
    int64_t key = first + i - outer - inner;
    keys[i] = key;
    if (key < 0 || !is_null(key)) validity[i / 8] |= (uint8_t)(1u << (i % 8));
    if (i >= inner && (key < 0 ? false : is_null(key))) nulls++;
    int length = key < 0 ? 1 : text_of(key, text + offsets[i], 48);
    offsets[i + 1] = offsets[i] + (int32_t)(key >= 0 && is_null(key) ? 0 : length);
  }
  array_node(out, count, outer, 1, 2);
  array_node(out->children[0], outer + count, inner, 2, 0);
  out->children[0]->buffers[1] = keys;
  array_node(out->children[1], outer + count, inner, 3, 0);
  out->children[1]->null_count = outer + inner > 0 ? -1 : nulls;
  out->children[1]->buffers[0] = validity;
  out->children[1]->buffers[1] = offsets;
  out->children[1]->buffers[2] = text;
}

void make_rows(struct ArrowArray *out, int64_t first, int64_t count) { fill(out, first, count, 0, 0); }

void make_sliced_rows(struct ArrowArray *out, int64_t first, int64_t count) {
  fill(out, first, count, 3, 2);
}

uint32_t *make_ids(int64_t first, int64_t count, uint32_t partitions) {
  uint32_t *ids = take((size_t)count * sizeof *ids);
  for (int64_t i = 0; i < count; i++) ids[i] = (uint32_t)((uint64_t)(first + i) % partitions);
  return ids;
}

/* Streams */

struct producer {
  int64_t next, count, batches, fail_at;
};

static int producer_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  (void)stream;
  make_schema(out);
  return 0;
}

static int producer_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
  struct producer *producer = stream->private_data;
  memset(out, 0, sizeof *out);
  if (producer->fail_at == 0) return EIO;
  producer->fail_at--;
  if (producer->batches == 0) return 0;
  producer->batches--;
  make_rows(out, producer->next, producer->count);
  producer->next += producer->count;
  return 0;
}

static const char *producer_error(struct ArrowArrayStream *stream) {
  (void)stream;
  return "the producer's disk is gone";
}

static void producer_release(struct ArrowArrayStream *stream) {
  free(stream->private_data);
  stream->release = NULL;
  atomic_fetch_sub(&live, 1);
}

void make_stream(struct ArrowArrayStream *out, int64_t first, int64_t count, int64_t batches,
                 int64_t fail_at) {
  struct producer *producer = take(sizeof *producer);
  *producer = (struct producer){first, count, batches, fail_at};
  *out = (struct ArrowArrayStream){producer_schema, producer_next, producer_error, producer_release,
                                   producer};
  atomic_fetch_add(&live, 1);
}

/* Reading */

void check_rows(const struct ArrowArray *batch, struct seen *seen) {
  CHECK(batch->n_children == 2 && batch->n_buffers == 1);
  const struct ArrowArray *key = batch->children[0], *text = batch->children[1];
  CHECK(key->n_buffers == 2 && text->n_buffers == 3);
  const int64_t *keys = (const int64_t *)key->buffers[1] + key->offset + batch->offset;
  const int32_t *offsets = (const int32_t *)text->buffers[1] + text->offset + batch->offset;
  const uint8_t *validity = text->buffers[0];
  const char *bytes = text->buffers[2];
  for (int64_t i = 0; i < batch->length; i++) {
    CHECK(keys[i] > seen->last_key);
    seen->last_key = keys[i];
    seen->key_sum += (uint64_t)keys[i];
    int64_t bit = text->offset + batch->offset + i;
    bool valid = validity == NULL || (validity[bit / 8] >> (bit % 8) & 1) != 0;
    CHECK(valid == !is_null(keys[i]));
    char expected[48];
    int length = text_of(keys[i], expected, sizeof expected);
    if (valid) {
      CHECK(offsets[i + 1] - offsets[i] == length);
      CHECK(memcmp(bytes + offsets[i], expected, (size_t)length) == 0);
    }
  }
  seen->rows += batch->length;
  seen->batches++;
}

struct seen drain(struct ArrowArrayStream *stream) {
  struct seen seen = {0, -1, 0, 0};
  struct ArrowSchema schema;
  CHECK(stream->get_schema(stream, &schema) == 0);
  CHECK(strcmp(schema.format, "+s") == 0 && schema.n_children == 2);
  CHECK(strcmp(schema.children[0]->name, "key") == 0);
  CHECK(strcmp(schema.children[1]->format, "u") == 0);
  schema.release(&schema);
  for (;;) {
    struct ArrowArray batch;
    int code = stream->get_next(stream, &batch);
    if (code != 0) fprintf(stderr, "stream: %s\n", stream->get_last_error(stream));
    CHECK(code == 0);
    if (batch.release == NULL) break;
    check_rows(&batch, &seen);
    batch.release(&batch);
    CHECK(batch.release == NULL);
  }
  stream->release(stream);
  CHECK(stream->release == NULL);
  return seen;
}
