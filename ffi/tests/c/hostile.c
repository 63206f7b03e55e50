/* Schemas and arrays that no producer should make: each is refused with a status and a message, is
 * released all the same, and harms nothing. */
#include "rows.h"

#define INVALID(text, call) FAILS(BYWASH_INVALID_ARGUMENT, BYWASH_ACTION_FAIL_JOB, text, call)

enum { NODES = 80, DEPTH_MAX = 64, TEXT_MAX = 16 << 20 };

/* Nodes that belong to nobody: releasing counts, and frees nothing. */
static struct ArrowSchema node[NODES];
static struct ArrowSchema *links[NODES][2];
static int released;

static void count_release(struct ArrowSchema *schema) {
  schema->release = NULL;
  released++;
}

static struct ArrowSchema *plain(int at, const char *format, const char *name) {
  node[at] = (struct ArrowSchema){.format = format, .name = name, .release = count_release};
  return &node[at];
}

static void link_children(int at, int count, struct ArrowSchema *first, struct ArrowSchema *second) {
  links[at][0] = first;
  links[at][1] = second;
  node[at].children = links[at];
  node[at].n_children = count;
}

/* `key` int64 and `text` utf8 in a struct, as the nodes 0, 1 and 2. */
static void good(void) {
  plain(0, "+s", "");
  link_children(0, 2, plain(1, "l", "key"), plain(2, "u", "text"));
  node[2].flags = ARROW_FLAG_NULLABLE;
}

static void no_format(void) { node[0].format = NULL; }
static void no_child_format(void) { node[2].format = NULL; }
static void format_bytes(void) { node[2].format = "\xff\xfe"; }
static void name_bytes(void) { node[1].name = "k\xc3"; }
static void negative(void) { node[0].n_children = -1; }
static void smallest(void) { node[0].n_children = INT64_MIN; }
static void huge(void) { node[0].n_children = INT64_MAX; }
static void many(void) { node[0].n_children = (1 << 20) + 1; }
static void no_list(void) { node[0].children = NULL; }
static void no_child(void) { links[0][1] = NULL; }
static void odd_list(void) { node[0].children = (struct ArrowSchema **)(void *)((char *)links[0] + 1); }
static void odd_child(void) { links[0][1] = (struct ArrowSchema *)(void *)((char *)&node[2] + 1); }
static void released_child(void) { node[2].release = NULL; }
static void itself(void) {
  node[2].format = "+s";
  link_children(2, 2, &node[1], &node[2]);
}
static void children_of_flat(void) { link_children(1, 1, plain(3, "l", "inner"), NULL); }
static void list_of_none(void) { node[2].format = "+l"; }
static void map_of_two(void) {
  node[2].format = "+m";
  link_children(2, 2, plain(3, "l", "key"), plain(4, "l", "value"));
}
static void runs_of_one(void) {
  node[2].format = "+r";
  link_children(2, 1, plain(3, "i", "run_ends"), NULL);
}
static void fixed_list_of_none(void) { node[2].format = "+w:3"; }
static void released_dictionary(void) { node[2].dictionary = plain(3, "u", ""), node[3].release = NULL; }
static void dictionary_of_itself(void) { node[2].dictionary = &node[2]; }
static void odd_dictionary(void) {
  node[2].dictionary = (struct ArrowSchema *)(void *)((char *)&node[3] + 1);
}

/* Two ways from each level to the next: 2^40 nodes in 41. */
static void exponential(void) {
  for (int i = 2; i < 42; i++) {
    plain(i, "+s", "level");
    link_children(i, 2, &node[i + 1], &node[i + 1]);
  }
  plain(42, "l", "leaf");
}

/* Lists in lists, `depth` schemas one in the other. */
static void nested(int depth) {
  for (int i = 2; i < depth; i++) {
    plain(i, "+l", "item");
    link_children(i, 1, &node[i + 1], NULL);
  }
  plain(depth, "l", "item");
}
static void one_too_deep(void) { nested(DEPTH_MAX + 1); }

/* Metadata: a number of pairs, then texts with their lengths before them; big enough for all. */
static int32_t metadata[TEXT_MAX / 4 + 64];
static char long_name[TEXT_MAX + 2];

static void with_metadata(int32_t pairs, int32_t key, const char *text, int32_t value) {
  memset(metadata, 0, sizeof metadata);
  metadata[0] = pairs;
  metadata[1] = key;
  memcpy(&metadata[2], text, strlen(text));
  metadata[3] = value;
  node[2].metadata = (const char *)metadata;
}
static void negative_pairs(void) { with_metadata(-1, 4, "unit", 0); }
static void negative_key(void) { with_metadata(1, -4, "unit", 0); }
static void negative_value(void) { with_metadata(1, 4, "unit", INT32_MIN); }
static void metadata_bytes(void) { with_metadata(1, 4, "un\xff!", 0); }
static void endless_metadata(void) { with_metadata(INT32_MAX, 0, "", 0); }
static void endless_key(void) { with_metadata(1, INT32_MAX, "", 0); }
static void metadata_of_all(void) { with_metadata(-7, 0, ""  , 0), node[0].metadata = (const char *)metadata; }
static void endless_name(void) {
  memset(long_name, 'x', TEXT_MAX + 1);
  node[1].name = long_name;
}

static const struct {
  void (*change)(void);
  const char *text;
} SCHEMAS[] = {
    {no_format, "has no format"},
    {no_child_format, "has no format"},
    {format_bytes, "not UTF-8"},
    {name_bytes, "not UTF-8"},
    {negative, "number of children that cannot be"},
    {smallest, "number of children that cannot be"},
    {huge, "number of children that cannot be"},
    {many, "number of children that cannot be"},
    {no_list, "are NULL or not aligned"},
    {no_child, "are NULL or not aligned"},
    {odd_list, "are NULL or not aligned"},
    {odd_child, "are NULL or not aligned"},
    {released_child, "was released before"},
    {itself, "nested too deep"},
    {one_too_deep, "nested too deep"},
    {exponential, "too many columns"},
    {children_of_flat, "another number of children: format \"l\" of \"key\" (expected 0, found 1"},
    {list_of_none, "another number of children"},
    {map_of_two, "another number of children"},
    {runs_of_one, "another number of children"},
    {fixed_list_of_none, "another number of children"},
    {released_dictionary, "was released before"},
    {dictionary_of_itself, "nested too deep"},
    {odd_dictionary, "dictionary is not aligned"},
    {negative_pairs, "negative number or length"},
    {negative_key, "negative number or length"},
    {negative_value, "negative number or length"},
    {metadata_of_all, "negative number or length"},
    {metadata_bytes, "not UTF-8"},
    {endless_metadata, "too long"},
    {endless_key, "too long"},
    {endless_name, "too long"},
};

static void (*change_of_stream)(void);

static int hostile_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
  (void)stream;
  good();
  change_of_stream();
  *out = node[0];
  return 0;
}

void test_hostile_schemas(void) {
  char *dir = scratch("hostile-schemas");
  bywash_shuffle *shuffle, *hashed = make_shuffle(4, true, "none");
  bywash_context *context = make_context(dir, NULL, NULL, NULL);
  bywash_task *task = make_task(context, hashed);
  bywash_writer *writer;
  OK(bywash_writer_new(hashed, task, NULL, 1, 0, &writer, &error));
  good();
  OK(bywash_shuffle_new(&node[0], 4, NULL, 0, NULL, &shuffle, &error));
  bywash_shuffle_free(shuffle);
  CHECK(released == 1 && node[0].release == NULL);
  for (size_t i = 0; i < sizeof SCHEMAS / sizeof *SCHEMAS; i++) {
    good();
    SCHEMAS[i].change();
    released = 0;
    INVALID(SCHEMAS[i].text, bywash_shuffle_new(&node[0], 4, NULL, 0, NULL, &shuffle, &error));
    CHECK(shuffle == NULL && node[0].release == NULL && released == 1);
    /* The same from a stream; the writer goes on. */
    struct ArrowArrayStream stream;
    make_stream(&stream, 0, 10, 1, -1);
    stream.get_schema = hostile_schema;
    change_of_stream = SCHEMAS[i].change;
    INVALID(SCHEMAS[i].text, bywash_writer_push_stream(writer, &stream, &error));
    CHECK(stream.release == NULL && released == 2);
  }
  struct ArrowArrayStream stream;
  make_stream(&stream, 0, 10, 1, -1);
  OK(bywash_writer_push_stream(writer, &stream, &error));

  /* A place that cannot be one. */
  INVALID("NULL or not aligned",
          bywash_shuffle_new((struct ArrowSchema *)(void *)((char *)node + 1), 4, NULL, 0, NULL, &shuffle,
                             &error));
  INVALID("NULL or not aligned",
          bywash_writer_push_stream(writer, (struct ArrowArrayStream *)(void *)((char *)&stream + 1),
                                    &error));
  INVALID("NULL or not aligned",
          bywash_writer_push(writer, (struct ArrowArray *)(void *)((char *)&stream + 1), NULL, 0, &error));

  /* Within the bounds: what is refused is the type. */
  good();
  nested(DEPTH_MAX);
  FAILS(BYWASH_UNSUPPORTED, BYWASH_ACTION_FAIL_JOB, "cannot be shuffled",
        bywash_shuffle_new(&node[0], 4, NULL, 0, NULL, &shuffle, &error));
  good();
  node[2].dictionary = plain(3, "u", "");
  node[2].format = "i";
  FAILS(BYWASH_UNSUPPORTED, BYWASH_ACTION_FAIL_JOB, "cannot be shuffled",
        bywash_shuffle_new(&node[0], 4, NULL, 0, NULL, &shuffle, &error));
  good();
  with_metadata(1, 4, "unit", 0);
  OK(bywash_shuffle_new(&node[0], 4, NULL, 0, NULL, &shuffle, &error));
  bywash_shuffle_free(shuffle);

  /* Formats that mean nothing. */
  static const char *const FORMATS[] = {
      "",    "w:",    "w:-5",  "w:99999999999", "d:",       "d:0,0",    "d:99,1",
      "d:5", "tss",   "ts",    "tsx:UTC",       "+ud:",     "+us:1,2",  "+us:300", "+w:",
      "+",   "+x",    "d:1,2,3", "d:77,1,256",  "\x01",     "w:1:2",    "+r",     "tdQ",
  };
  for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++) {
    bywash_error *error;
    good();
    node[2].format = FORMATS[i];
    int32_t code = bywash_shuffle_new(&node[0], 4, NULL, 0, NULL, &shuffle, &error);
    if (code != BYWASH_INVALID_ARGUMENT && code != BYWASH_UNSUPPORTED) {
      fprintf(stderr, "format %s: status %d\n", FORMATS[i], (int)code);
      abort();
    }
    CHECK(bywash_error_action(error) == BYWASH_ACTION_FAIL_JOB && shuffle == NULL);
    CHECK(strstr(bywash_error_message(error), "panicked") == NULL);
    bywash_error_free(error);
  }
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_context_free(context);
  bywash_shuffle_free(hashed);
  free(dir);
}

/* An array whose fields are changed, over the one that is freed. */
static struct ArrowArray kept;

static void release_kept(struct ArrowArray *array) {
  kept.release(&kept);
  array->release = NULL;
}

static void array_negative(struct ArrowArray *a) { a->n_children = INT64_MIN; }
static void array_huge(struct ArrowArray *a) { a->n_children = INT64_MAX; }
static void array_no_list(struct ArrowArray *a) { a->children = NULL; }
static void array_odd_list(struct ArrowArray *a) {
  a->children = (struct ArrowArray **)(void *)((char *)a->children + 1);
}
static void array_dictionary(struct ArrowArray *a) { a->dictionary = a->children[0]; }
static void array_buffers_negative(struct ArrowArray *a) { a->n_buffers = -1; }
static void array_buffers_huge(struct ArrowArray *a) { a->n_buffers = INT64_MAX; }
static void array_no_buffers(struct ArrowArray *a) { a->buffers = NULL; }

/* One column taken aside, so that it can be changed and put back. */
static struct ArrowArray column, *columns[2];

static void with_column(struct ArrowArray *a) {
  column = *a->children[1];
  columns[0] = a->children[0];
  columns[1] = &column;
  a->children = columns;
}
static void column_released(struct ArrowArray *a) { with_column(a), column.release = NULL; }
static void column_children(struct ArrowArray *a) { with_column(a), column.n_children = 1; }
static void column_children_huge(struct ArrowArray *a) { with_column(a), column.n_children = INT64_MAX; }
static void column_children_negative(struct ArrowArray *a) { with_column(a), column.n_children = -1; }
static void column_dictionary(struct ArrowArray *a) { with_column(a), column.dictionary = columns[0]; }
static void column_of_itself(struct ArrowArray *a) {
  with_column(a);
  column.children = columns;
  column.n_children = 2;
}
static void column_buffers_huge(struct ArrowArray *a) { with_column(a), column.n_buffers = INT64_MAX; }
static void column_buffers_negative(struct ArrowArray *a) { with_column(a), column.n_buffers = -3; }
static void column_odd_buffers(struct ArrowArray *a) {
  with_column(a);
  column.buffers = (const void **)(void *)((char *)(void *)column.buffers + 1);
}

static const struct {
  void (*change)(struct ArrowArray *);
  const char *text;
} ARRAYS[] = {
    {array_negative, "other columns"},
    {array_huge, "other columns"},
    {array_no_list, "column is NULL"},
    {array_odd_list, "column is NULL"},
    {array_dictionary, "a batch has a dictionary"},
    {array_buffers_negative, "no struct"},
    {array_buffers_huge, "no struct"},
    {array_no_buffers, "no struct"},
    {column_released, "was released before"},
    {column_children, "children or a dictionary"},
    {column_children_huge, "children or a dictionary"},
    {column_children_negative, "children or a dictionary"},
    {column_dictionary, "children or a dictionary"},
    {column_of_itself, "children or a dictionary"},
    {column_buffers_huge, "another number of buffers"},
    {column_buffers_negative, "another number of buffers"},
    {column_odd_buffers, "another number of buffers"},
};

void test_hostile_arrays(void) {
  char *dir = scratch("hostile-arrays");
  bywash_shuffle *shuffle = make_shuffle(4, true, "full");
  bywash_context *context = make_context(dir, NULL, NULL, NULL);
  bywash_task *task = make_task(context, shuffle);
  bywash_writer *writer;
  struct ArrowArray array;
  OK(bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  for (size_t i = 0; i < sizeof ARRAYS / sizeof *ARRAYS; i++) {
    make_rows(&kept, 0, 10);
    array = kept;
    array.release = release_kept;
    ARRAYS[i].change(&array);
    INVALID(ARRAYS[i].text, bywash_writer_push(writer, &array, NULL, 0, &error));
    CHECK(array.release == NULL && kept.release == NULL);
  }
  make_rows(&array, 0, 10);
  OK(bywash_writer_push(writer, &array, NULL, 0, &error));
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_context_free(context);
  bywash_shuffle_free(shuffle);
  free(dir);
}
