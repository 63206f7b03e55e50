/* Columns whose rows begin anywhere: bits, bytes, texts and nulls at odd offsets of the batch and of the
 * column, come back as they were. */
#include "rows.h"

enum { COLUMNS = 6, PARTITIONS = 3, ROWS = 777, WIDTH = 3 };
static const char *const FORMATS[COLUMNS] = {"b", "c", "w:3", "U", "n", "g"};
static const int BUFFERS[COLUMNS] = {2, 2, 2, 3, 0, 2};

/* Everything of one batch, in one place that is given back at once. */
struct batch {
  struct ArrowArray columns[COLUMNS], *children[COLUMNS];
  const void *buffers[COLUMNS][3], *none[1];
  uint8_t bits[COLUMNS][ROWS / 4 + 16], bools[ROWS / 4 + 16];
  int8_t bytes[2 * ROWS];
  char fixed[2 * ROWS][WIDTH], text[2 * ROWS * 8];
  int64_t offsets[2 * ROWS + 1];
  double floats[2 * ROWS];
};

static int given_back;

static void release_batch(struct ArrowArray *array) {
  free(array->private_data);
  array->release = NULL;
  given_back++;
}

static void release_column(struct ArrowArray *array) { array->release = NULL; }

static void set(uint8_t *bits, int64_t at, bool value) {
  if (value) bits[at / 8] |= (uint8_t)(1u << (at % 8));
}

/* What row `row` holds in each column; some rows are NULL in some. */
static bool is_null(int column, int64_t row) { return column == 4 || (row + column) % 5 == 0; }
static bool bool_of(int64_t row) { return row % 3 == 1; }
static int64_t length_of(int64_t row) { return row % 7; }

/* The batch begins at its row `outer`, and each column at its own row `inner` + its number. */
static void make_batch(struct ArrowArray *out, int64_t outer, int64_t inner) {
  struct batch *b = calloc(1, sizeof *b);
  CHECK(b != NULL);
  for (int c = 0; c < COLUMNS; c++) {
    int64_t offset = inner + c;
    b->children[c] = &b->columns[c];
    b->columns[c] = (struct ArrowArray){.length = outer + ROWS, .null_count = -1, .offset = offset,
                                        .n_buffers = BUFFERS[c], .buffers = b->buffers[c],
                                        .release = release_column};
    if (c == 4) b->columns[c].null_count = outer + ROWS;
    if (c != 4) b->buffers[c][0] = b->bits[c];
    int64_t at = 0;
    for (int64_t i = 0; i < offset + outer + ROWS; i++) {
      int64_t row = i - offset - outer;
      /* What lies before the first row is set to what must not be seen. */
      set(b->bits[c], i, row < 0 ? i % 2 == 0 : !is_null(c, row));
      if (c == 0) set(b->bools, i, row < 0 || bool_of(row));
      if (c == 1) b->bytes[i] = row < 0 ? -1 : (int8_t)(row % 100);
      if (c == 2) memset(b->fixed[i], row < 0 ? '!' : 'a' + (int)(row % 26), WIDTH);
      if (c == 5) b->floats[i] = row < 0 ? -1 : (double)row / 4;
      if (c == 3) {
        b->offsets[i] = at;
        int64_t length = row < 0 ? 1 : length_of(row);
        memset(b->text + at, row < 0 ? '!' : 'A' + (int)(row % 26), (size_t)length);
        at += length;
        b->offsets[i + 1] = at;
      }
    }
  }
  b->buffers[0][1] = b->bools;
  b->buffers[1][1] = b->bytes;
  b->buffers[2][1] = b->fixed;
  b->buffers[3][1] = b->offsets;
  b->buffers[3][2] = b->text;
  b->buffers[5][1] = b->floats;
  *out = (struct ArrowArray){.length = ROWS, .offset = outer, .n_buffers = 1, .buffers = b->none,
                             .n_children = COLUMNS, .children = b->children, .release = release_batch,
                             .private_data = b};
}

static void released(struct ArrowSchema *schema) { schema->release = NULL; }

static bywash_shuffle *shuffle_of(const char *validate) {
  static struct ArrowSchema nodes[COLUMNS], *children[COLUMNS];
  struct ArrowSchema schema = {.format = "+s", .n_children = COLUMNS, .children = children,
                               .release = released};
  for (int c = 0; c < COLUMNS; c++) {
    nodes[c] = (struct ArrowSchema){.format = FORMATS[c], .name = FORMATS[c],
                                    .flags = ARROW_FLAG_NULLABLE, .release = released};
    children[c] = &nodes[c];
  }
  bywash_options *options;
  bywash_shuffle *shuffle;
  OK(bywash_options_new(&options, &error));
  OK(bywash_options_set(options, "validate", validate, &error));
  OK(bywash_shuffle_new(&schema, PARTITIONS, NULL, 0, options, &shuffle, &error));
  bywash_options_free(options);
  return shuffle;
}

static bool bit(const struct ArrowArray *column, int buffer, int64_t at) {
  const uint8_t *bits = column->buffers[buffer];
  return bits == NULL || (bits[at / 8] >> (at % 8) & 1) != 0;
}

/* Row `at` of a batch that was read is the row `row` that was written. */
static void check_row(const struct ArrowArray *batch, int64_t at, int64_t row) {
  for (int c = 0; c < COLUMNS; c++) {
    const struct ArrowArray *column = batch->children[c];
    int64_t i = batch->offset + column->offset + at;
    if (c == 4) {
      CHECK(column->n_buffers == 0);
      continue;
    }
    CHECK(bit(column, 0, i) == !is_null(c, row));
    if (is_null(c, row)) continue;
    const int64_t *offsets = column->buffers[1];
    const char *text = column->n_buffers == 3 ? column->buffers[2] : NULL;
    switch (c) {
      case 0: CHECK(bit(column, 1, i) == bool_of(row)); break;
      case 1: CHECK(((const int8_t *)column->buffers[1])[i] == (int8_t)(row % 100)); break;
      case 2: CHECK(((const char *)column->buffers[1])[WIDTH * i] == 'a' + (int)(row % 26)); break;
      case 3:
        CHECK(offsets[i + 1] - offsets[i] == length_of(row));
        for (int64_t k = offsets[i]; k < offsets[i + 1]; k++) CHECK(text[k] == 'A' + (int)(row % 26));
        break;
      default: CHECK(((const double *)column->buffers[1])[i] == (double)row / 4);
    }
  }
}

void test_odd_offsets(void) {
  static const int64_t PLACES[][2] = {{0, 0}, {3, 0}, {0, 3}, {3, 5}, {8, 1}, {1, 63}, {100, 64}};
  enum { BATCHES = sizeof PLACES / sizeof *PLACES };
  static const char *const VALIDATE[] = {"none", "full"};
  for (int way = 0; way < 2; way++) {
    char *spills = scratch(way == 0 ? "odd-spills" : "odd-full-spills");
    char *out = scratch(way == 0 ? "odd" : "odd-full");
    bywash_context *context = make_context(spills, NULL, NULL, NULL);
    bywash_shuffle *shuffle = shuffle_of(VALIDATE[way]);
    bywash_task *task = make_task(context, shuffle);
    bywash_writer *writer;
    bywash_output *output;
    uint32_t *ids = make_ids(0, ROWS, PARTITIONS);
    OK(bywash_writer_new(shuffle, task, out, 1, 0, &writer, &error));
    given_back = 0;
    for (int i = 0; i < BATCHES; i++) {
      struct ArrowArray array;
      make_batch(&array, PLACES[i][0], PLACES[i][1]);
      OK(bywash_writer_push(writer, &array, ids, ROWS, &error));
      /* Copied: nothing of it is kept. */
      CHECK(array.release == NULL && given_back == i + 1);
    }
    OK(bywash_writer_finish(writer, &output, &error));
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
      struct ArrowArrayStream stream;
      int64_t rows = 0;
      OK(bywash_output_read(output, task, partition, &stream, &error));
      for (;;) {
        struct ArrowArray batch;
        CHECK(stream.get_next(&stream, &batch) == 0);
        if (batch.release == NULL) break;
        CHECK(batch.n_children == COLUMNS);
        for (int64_t at = 0; at < batch.length; at++, rows++) {
          int64_t row = rows % (ROWS / PARTITIONS) * PARTITIONS + partition;
          check_row(&batch, at, row);
        }
        batch.release(&batch);
      }
      stream.release(&stream);
      CHECK(rows == BATCHES * ROWS / PARTITIONS);
    }
    free(ids);
    bywash_output_free(output);
    bywash_writer_free(writer);
    bywash_task_free(task);
    bywash_shuffle_free(shuffle);
    bywash_context_free(context);
    free(spills);
    free(out);
  }
}

/* Lists and structs inside a batch are not shuffled by this version: the schema says so. */
void test_nested_is_unsupported(void) {
  static const char *const NESTED[] = {"+l", "+L", "+s", "+w:2", "+m"};
  for (size_t i = 0; i < sizeof NESTED / sizeof *NESTED; i++) {
    struct ArrowSchema parts[2] = {{.format = "l", .name = "a", .release = released},
                                   {.format = "l", .name = "b", .release = released}};
    struct ArrowSchema *of_item[2] = {&parts[0], &parts[1]};
    struct ArrowSchema pair = {.format = "+s", .name = "entries", .n_children = 2, .children = of_item,
                               .release = released};
    struct ArrowSchema *of_column[1] = {strcmp(NESTED[i], "+m") == 0 ? &pair : &parts[0]};
    struct ArrowSchema column = {.format = NESTED[i], .name = "nested", .n_children = 1,
                                 .children = of_column, .release = released};
    struct ArrowSchema *of_root[1] = {&column};
    struct ArrowSchema root = {.format = "+s", .n_children = 1, .children = of_root,
                               .release = released};
    bywash_shuffle *shuffle;
    FAILS(BYWASH_UNSUPPORTED, BYWASH_ACTION_FAIL_JOB, "nested",
          bywash_shuffle_new(&root, 4, NULL, 0, NULL, &shuffle, &error));
  }
}
