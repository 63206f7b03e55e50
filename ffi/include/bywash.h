/* Bywash, a shuffle engine that cannot overflow its memory budget: the C interface.
 *
 * Made from ffi/src by `BYWASH_BLESS=1 cargo test -p bywash-ffi --test header`; do not edit.
 * The rules that hold for all functions, and an example, are in docs/ABI.md.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

#ifndef BYWASH_H
#define BYWASH_H

#include <stddef.h>
#include <stdint.h>
/* The structs of the Arrow C data and stream interfaces, as their specification gives them. */
#ifdef __cplusplus
extern "C" {
#endif

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;
  void (*release)(struct ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;
  void (*release)(struct ArrowArray*);
  void* private_data;
};

#endif  /* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
  int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
  const char* (*get_last_error)(struct ArrowArrayStream*);
  void (*release)(struct ArrowArrayStream*);
  void* private_data;
};

#endif  /* ARROW_C_STREAM_INTERFACE */

#ifdef __cplusplus
}
#endif


/**
 * The interface's version as the header was compiled: major * 1000 + minor.
 *
 * Within a major only symbols, codes and fields at the end of structs are added.
 */
#define BYWASH_ABI_VERSION 1000

/**
 * What every fallible function returns when it did what was asked.
 */
#define BYWASH_OK 0

/**
 * An argument is wrong; the message says what would be right.
 */
#define BYWASH_INVALID_ARGUMENT 1

/**
 * The object is in a state that does not allow the call: finished, in use by another thread, or made
 * before a fork.
 */
#define BYWASH_INVALID_STATE 2

/**
 * A type, filesystem or option that this version does not support.
 */
#define BYWASH_UNSUPPORTED 3

/**
 * The memory budget does not hold what was asked for.
 */
#define BYWASH_MEMORY_LIMIT 4

/**
 * The filesystem is full.
 */
#define BYWASH_NO_SPACE 5

/**
 * An operating system call failed.
 */
#define BYWASH_IO 6

/**
 * Bytes read are not what was written.
 */
#define BYWASH_CORRUPT 7

/**
 * A file, map output or partition does not exist.
 */
#define BYWASH_NOT_FOUND 8

/**
 * Something that may come back: a directory, a service.
 */
#define BYWASH_UNAVAILABLE 9

/**
 * The work was cancelled.
 */
#define BYWASH_CANCELLED 10

/**
 * An earlier failure left the handle unusable; free it.
 */
#define BYWASH_POISONED 11

/**
 * A defect in this library; the handle is unusable.
 */
#define BYWASH_INTERNAL 12

/**
 * A byte quota of the spill or output directories is used up; the disk is not full.
 */
#define BYWASH_QUOTA 13

/**
 * The reader needs memory that its own caller holds in batches it was given.
 */
#define BYWASH_BUDGET_HELD_BY_CALLER 14

/**
 * The call was wrong, and would be again: fail the job and mend the program or its configuration.
 */
#define BYWASH_ACTION_FAIL_JOB 1

/**
 * This attempt failed: free its handles and run the task again, as a new attempt.
 */
#define BYWASH_ACTION_RETRY_TASK 2

/**
 * A map output is damaged, unreadable or gone: report a fetch failure, so that its map runs again.
 */
#define BYWASH_ACTION_REPORT_FETCH_FAILURE 3

/**
 * Release batches that were read, then read the partition again from its beginning.
 */
#define BYWASH_ACTION_RELEASE_BATCHES 4

/**
 * The host asked for it: nothing to do.
 */
#define BYWASH_ACTION_NONE 5

/**
 * A line for the host's log that somebody should look into: a spill directory that is not used.
 */
#define BYWASH_LOG_WARNING 2

/**
 * The memory account and spill directories of one executor. All functions on it may be called from
 * any thread at any time.
 */
typedef struct bywash_context bywash_context;

/**
 * Why a call failed. Owned by the caller; free it with `bywash_error_free`. Nobody changes it: any
 * thread may look at it.
 */
typedef struct bywash_error bywash_error;

/**
 * Settings for contexts and shuffles. What is not set has its default.
 */
typedef struct bywash_options bywash_options;

/**
 * A map output: committed, opened, or sent to a sink. Any thread at any time.
 */
typedef struct bywash_output bywash_output;

/**
 * What a shuffle writes: schema, partitions, placement, codec. Any thread at any time.
 */
typedef struct bywash_shuffle bywash_shuffle;

/**
 * A task's part of a context's memory. Writers and readers keep it alive.
 */
typedef struct bywash_task bywash_task;

/**
 * Writes one map output. Calls come one at a time, from any thread; a second one at once answers
 * `INVALID_STATE`. Cancelling and statistics are fine at any time.
 */
typedef struct bywash_writer bywash_writer;

/**
 * A host that lends memory: a table of callbacks, copied when a context is made.
 *
 * Callbacks come from any thread that uses the context or what was made of it. A writer that is spilling is
 * locked meanwhile, so a callback neither pushes to, finishes or frees a writer of its context, nor waits for
 * a thread that does (with a lock of the host's, say). It may call `bywash_reclaim`, `bywash_explain` and what
 * only looks. It must not unwind. In a forked child none is called.
 */
typedef struct bywash_host {
  /**
   * `sizeof(bywash_host)` as the host was compiled: later fields are not read.
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Handed to every callback.
   */
  void *context;
  /**
   * Lends up to `bytes`; returns how much (less or 0 is fine), or a negated status code, for which the
   * call that needed memory fails: with `MEMORY_LIMIT` or `CANCELLED`, with `UNAVAILABLE` for any other. May block. NULL, like `release`, for a host that lends nothing: then
   * memory is the process's own, up to `memory.capacity`.
   */
  int64_t (*acquire)(void *context, uint64_t bytes);
  /**
   * Takes `bytes` back of what was lent.
   */
  void (*release)(void *context, uint64_t bytes);
  /**
   * Told when nobody uses the table any more; not where making the context failed. May be NULL.
   */
  void (*destroy)(void *context);
  /**
   * Takes a line for the host's log, NUL-terminated and the library's again when it returns; `level` is
   * one of `BYWASH_LOG_*`. May be NULL.
   */
  void (*log)(void *context, int32_t level, const char *message);
} bywash_host;

/**
 * A service that takes the bytes of partitions.
 */
typedef struct bywash_sink {
  /**
   * `sizeof(bywash_sink)` as the host was compiled.
   */
  uint32_t struct_size;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Handed to the callback.
   */
  void *context;
  /**
   * Takes the next bytes of a partition's segment; returns `BYWASH_OK` or a status code, with which the
   * finish fails (`UNAVAILABLE` for those that are the library's to say: `INVALID_ARGUMENT`,
   * `INVALID_STATE`, `POISONED`, `INTERNAL`, `BUDGET_HELD_BY_CALLER`). Partitions come in ascending order, an empty one not at all. Called on the thread
   * that finishes; the bytes are the library's again when it returns. Must not unwind.
   */
  int32_t (*write)(void *context, uint32_t partition, const uint8_t *bytes, size_t len);
} bywash_sink;

/**
 * What is known of one partition.
 */
typedef struct bywash_partition {
  /**
   * `sizeof(bywash_partition)` as the caller was compiled.
   */
  uint32_t struct_size;
  /**
   * CRC-32C of the stored bytes.
   */
  uint32_t crc32c;
  /**
   * Stored bytes.
   */
  uint64_t bytes;
  /**
   * Rows.
   */
  uint64_t rows;
} bywash_partition;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The interface's version as the library has it; a program compiled against a header of the same
 * major and at most this minor works with it.
 */
uint32_t bywash_abi_version(void);

/**
 * The library's version, NUL-terminated, never to be freed.
 */
const char *bywash_version_string(void);

/**
 * The status code, one of `BYWASH_INVALID_ARGUMENT` and so on; 0 for NULL.
 *
 * Safety:
 * `error` is NULL or was given by this library and not freed.
 */
int32_t bywash_error_code(const struct bywash_error *error);

/**
 * What to do about it, one of `BYWASH_ACTION_*`; 0 for NULL.
 *
 * Safety:
 * As `bywash_error_code`.
 */
int32_t bywash_error_action(const struct bywash_error *error);

/**
 * What happened, in UTF-8, NUL-terminated; valid until the error is freed. Empty for NULL.
 *
 * Safety:
 * As `bywash_error_code`.
 */
const char *bywash_error_message(const struct bywash_error *error);

/**
 * A figure of the error by name: `map`, `partition`, `row`, `column`, `requested`, `available`, `budget`,
 * `held`, `quota`, `expected`, `found` and others that the message shows. Returns `BYWASH_OK`,
 * `BYWASH_NOT_FOUND` (with 0) for a figure that this error lacks, `BYWASH_INVALID_ARGUMENT` for NULL.
 *
 * Safety:
 * As `bywash_error_code`; `name` is NULL or NUL-terminated; `value_out` is NULL or points to a place for
 * a number.
 */
int32_t bywash_error_figure(const struct bywash_error *error,
                            const char *name,
                            uint64_t *value_out);

/**
 * Frees an error; NULL is fine.
 *
 * Safety:
 * As `bywash_error_code`; nobody uses it any more.
 */
void bywash_error_free(struct bywash_error *error);

/**
 * Frees a string that a function returned; NULL is fine.
 *
 * Safety:
 * `string` is NULL or was given by this library and not freed.
 */
void bywash_string_free(char *string);

/**
 * Makes options with every setting at its default. Free them with `bywash_options_free`.
 *
 * Safety:
 * `out` points to a place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_options_new(struct bywash_options **out, struct bywash_error **error_out);

/**
 * Sets one setting from its text. Any thread.
 *
 * For a context:
 * - `memory.capacity`: bytes; default: no limit of its own.
 * - `memory.host_slack`: bytes lent by the host that may lie idle; default 1MiB.
 * - `memory.patience_ms`: how long a request for memory may wait; default 0.
 * - `spill.dirs`: paths separated by `:`; writers need one.
 * - `spill.quota_total`, `spill.quota_per_dir`: bytes; default: no limit.
 * - `spill.memory_backed`: what becomes of directories whose files are memory (tmpfs): `refuse`
 *   (default); `charge:BYTES`, every page is charged, with BYTES promised to them; `unaccounted`: the
 *   budget holds no longer.
 * - `spill.named`: whether spills keep their names while they are open, `yes` or `no` (default).
 * - `output.sync`: `never` or `on_commit`.
 * - `reader.charge`: who pays for batches that were read: `ledger` (default) until they are released;
 *   `host`, whose `release` is called when they are; `detached`: nobody.
 *
 * For a shuffle:
 * - `codec`: `none`, `lz4`, `zstd` or `zstd:LEVEL`.
 * - `validate`: of arrays handed in, `none` (default: lengths and offsets at the ends only) or `full`.
 *
 * Bytes may end in KiB, MiB, GiB or TiB.
 *
 * Errors: `INVALID_ARGUMENT` for a name that is not known or a value that does not fit it.
 *
 * Safety:
 * `options` is a live handle; `key` and `value` are NUL-terminated; `error_out` is NULL or points to
 * a place for a pointer.
 */
int32_t bywash_options_set(struct bywash_options *options,
                           const char *key,
                           const char *value,
                           struct bywash_error **error_out);

/**
 * Frees options; NULL is fine. What was made with them keeps what it needs.
 *
 * Safety:
 * `options` is NULL or a live handle that nobody uses any more.
 */
void bywash_options_free(struct bywash_options *options);

/**
 * Makes a context. `options` may be NULL (defaults); with a `host` that lends, all memory is lent by it.
 * Opens and sweeps the spill directories: blocks on the disk.
 *
 * Errors: `INVALID_ARGUMENT`; what opening the directories fails with.
 *
 * Safety:
 * `options` is NULL or a live handle; `host` is NULL or points to a table; `out` points to a place for
 * a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_context_new(const struct bywash_options *options,
                           const struct bywash_host *host,
                           struct bywash_context **out,
                           struct bywash_error **error_out);

/**
 * Frees a context; NULL is fine. What was made of it keeps what it needs, in any order.
 *
 * Safety:
 * `context` is NULL or a live handle that nobody uses any more.
 */
void bywash_context_free(struct bywash_context *context);

/**
 * Takes memory back: idle memory first, then by spilling what is idle, on this thread (blocks on the
 * disk); what is busy spills at its own next step. `freed_out` receives the bytes that came back before
 * this returned: with a host, what its `release` was called with.
 *
 * May be called from any thread at any time, also inside the host's `acquire`.
 *
 * Safety:
 * `context` is a live handle; `freed_out` points to a place for a number; `error_out` is NULL or points
 * to a place for a pointer.
 */
int32_t bywash_reclaim(const struct bywash_context *context,
                       uint64_t bytes,
                       uint64_t *freed_out,
                       struct bywash_error **error_out);

/**
 * Lets the capacity rise or fall. Below what is granted it is a target: nothing more is granted until
 * enough came back. `over_out`, which may be NULL, receives the bytes granted above it.
 *
 * Safety:
 * `context` is a live handle; `over_out` is NULL or points to a place for a number; `error_out` is NULL
 * or points to a place for a pointer.
 */
int32_t bywash_set_capacity(const struct bywash_context *context,
                            uint64_t bytes,
                            uint64_t *over_out,
                            struct bywash_error **error_out);

/**
 * Where the memory is, who held the most, and why the last spills were, as a JSON object. Free the
 * string with `bywash_string_free`.
 *
 * Safety:
 * `context` is a live handle; `json_out` points to a place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_explain(const struct bywash_context *context,
                       char **json_out,
                       struct bywash_error **error_out);

/**
 * Begins a task that is promised `minimum` bytes (see `bywash_shuffle_minimum_budget`); 0 promises
 * nothing. Waits for its turn up to `memory.patience_ms`.
 *
 * Errors: `MEMORY_LIMIT` if the promise does not fit beside those of other tasks.
 *
 * Safety:
 * `context` is a live handle; `out` points to a place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_task_new(const struct bywash_context *context,
                        uint64_t minimum,
                        struct bywash_task **out,
                        struct bywash_error **error_out);

/**
 * Ends a task as far as the caller is concerned; NULL is fine. It lasts, with what it was promised, until the
 * last writer, output and stream made in it is freed; batches and schemas that were read do not keep it.
 *
 * Safety:
 * `task` is NULL or a live handle that nobody uses any more.
 */
void bywash_task_free(struct bywash_task *task);

/**
 * Describes a shuffle of rows of `schema` (a struct of columns; consumed, whatever comes of it) into
 * `partitions` from 1 to 16777216. With `hash_columns`, the indexes of columns, rows go where Spark puts
 * them; with none, each push brings a partition id for each row. Of `options`, which may be NULL,
 * `codec` and `validate` count.
 *
 * Errors: `UNSUPPORTED` for a type that cannot be shuffled or hashed; `INVALID_ARGUMENT`.
 *
 * Safety:
 * `schema` points to a valid `ArrowSchema`; `hash_columns` to `hash_columns_len` numbers; `options` is
 * NULL or a live handle; `out` points to a place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_shuffle_new(struct ArrowSchema *schema,
                           uint32_t partitions,
                           const uint32_t *hash_columns,
                           size_t hash_columns_len,
                           const struct bywash_options *options,
                           struct bywash_shuffle **out,
                           struct bywash_error **error_out);

/**
 * The least capacity with which `tasks` tasks write this shuffle at once, in bytes.
 *
 * Safety:
 * `shuffle` is a live handle; `bytes_out` points to a place for a number; `error_out` is NULL or points
 * to a place for a pointer.
 */
int32_t bywash_shuffle_minimum_budget(const struct bywash_shuffle *shuffle,
                                      size_t tasks,
                                      uint64_t *bytes_out,
                                      struct bywash_error **error_out);

/**
 * Frees the description of a shuffle; NULL is fine.
 *
 * Safety:
 * `shuffle` is NULL or a live handle that nobody uses any more.
 */
void bywash_shuffle_free(struct bywash_shuffle *shuffle);

/**
 * Makes a writer of map `map`, attempt `attempt`, in `task`; its working set is reserved at once. No number of
 * an attempt may be used twice for a map (in Spark: `taskAttemptId`, for `attemptNumber` begins anew). The
 * output goes to the directory `output_dir`, made if it is missing; NULL for a writer that finishes into
 * a sink. The first writer of a context in a directory opens and sweeps it (blocks on the disk); the context
 * keeps the last 8 open, each with a subdirectory `.bywash-*`, until it is freed.
 *
 * Errors: `MEMORY_LIMIT` if the task's share is below `bywash_shuffle_minimum_budget`;
 * `INVALID_ARGUMENT` for a context without spill directories.
 *
 * Safety:
 * `shuffle` and `task` are live handles; `output_dir` is NULL or NUL-terminated; `out` points to a place
 * for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_writer_new(const struct bywash_shuffle *shuffle,
                          const struct bywash_task *task,
                          const char *output_dir,
                          uint64_t map,
                          uint64_t attempt,
                          struct bywash_writer **out,
                          struct bywash_error **error_out);

/**
 * Writes the rows of `array`, a struct of the shuffle's columns, consumed whatever comes of it. `ids` has
 * a partition id for each row, or is (NULL, 0) for a shuffle that hashes. Rows are copied before this
 * returns; it may spill, and so block on the disk and on the host's memory. Of buffers that are not aligned to
 * their type the rows are copied first, into memory that is charged to the task meanwhile.
 *
 * Errors: `INVALID_ARGUMENT` for an array that does not fit, `MEMORY_LIMIT` for rows that had to be copied:
 * nothing is taken and the writer goes on; after any other the writer is of no more use.
 *
 * Safety:
 * `writer` is a live handle; `array` points to a valid `ArrowArray` of the shuffle's schema; `ids` to
 * `ids_len` numbers; `error_out` is NULL or points to a place for a pointer.
 */
int32_t bywash_writer_push(struct bywash_writer *writer,
                           struct ArrowArray *array,
                           const uint32_t *ids,
                           size_t ids_len,
                           struct bywash_error **error_out);

/**
 * Writes all batches of `stream`, of the shuffle's schema, for a shuffle that hashes. The stream is
 * consumed whatever comes of it.
 *
 * Errors: as `bywash_writer_push`; `IO` with the stream's message where the stream fails. After its first
 * batch was taken, any error ends the writer (`POISONED`): a part of a stream is never committed.
 *
 * Safety:
 * `writer` is a live handle; `stream` points to a valid `ArrowArrayStream`; `error_out` is NULL or points
 * to a place for a pointer.
 */
int32_t bywash_writer_push_stream(struct bywash_writer *writer,
                                  struct ArrowArrayStream *stream,
                                  struct bywash_error **error_out);

/**
 * Makes the writer's next step fail with `CANCELLED`, also one that waits for memory or finishes. Any
 * thread, at any time; returns at once.
 *
 * Safety:
 * `writer` is a live handle; `error_out` is NULL or points to a place for a pointer.
 */
int32_t bywash_writer_cancel(const struct bywash_writer *writer,
                             struct bywash_error **error_out);

/**
 * Merges everything and commits the map output; if another attempt of the map has committed before, its
 * output is what `out` receives. The writer is of no more use, whatever comes of it; free it. One made
 * without `output_dir` answers `INVALID_STATE` and can still be finished into a sink.
 *
 * Errors: nothing is visible then, but for an error of the last sync, or of giving the output its name where
 * nobody can tell whether it has it: then it may be there, whole, and the next attempt is handed it.
 *
 * Safety:
 * `writer` is a live handle; `out` points to a place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_writer_finish(struct bywash_writer *writer,
                             struct bywash_output **out,
                             struct bywash_error **error_out);

/**
 * Merges everything and sends each partition's segment to `sink`. `out` receives what was sent: lengths,
 * rows and checksums; it cannot be read. The writer is of no more use, whatever comes of it; free it.
 *
 * Safety:
 * `writer` is a live handle; `sink` points to a table; `out` points to a place for a pointer;
 * `error_out` too, or is NULL.
 */
int32_t bywash_writer_finish_into(struct bywash_writer *writer,
                                  const struct bywash_sink *sink,
                                  struct bywash_output **out,
                                  struct bywash_error **error_out);

/**
 * What the writer has done so far, as a JSON object; any thread, at any time. Free the string with
 * `bywash_string_free`.
 *
 * Safety:
 * `writer` is a live handle; `json_out` points to a place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_writer_statistics(const struct bywash_writer *writer,
                                 char **json_out,
                                 struct bywash_error **error_out);

/**
 * Frees a writer; NULL is fine. One that was not finished leaves nothing behind.
 *
 * Safety:
 * `writer` is NULL or a live handle that nobody uses any more.
 */
void bywash_writer_free(struct bywash_writer *writer);

/**
 * Opens the committed output of `map` in the directory `dir`; its index, 20 bytes a partition, is charged
 * to `task`.
 *
 * Errors: `NOT_FOUND`; `CORRUPT`; `MEMORY_LIMIT`.
 *
 * Safety:
 * `task` is a live handle; `dir` is NUL-terminated; `out` points to a place for a pointer; `error_out`
 * too, or is NULL.
 */
int32_t bywash_output_open(const struct bywash_task *task,
                           const char *dir,
                           uint64_t map,
                           struct bywash_output **out,
                           struct bywash_error **error_out);

/**
 * Removes the committed output of `map` in the directory `dir`, so that a new attempt can commit another:
 * for damage that a reader found. With `attempt`, an output of another attempt stays: who reports a
 * failure twice does not lose the output that was made since, so long as no number of an attempt is used
 * twice for a map. NULL: whoever's it is. None there, or no such directory, is fine.
 *
 * The output is there, whole, or gone, also where this fails. Outputs and streams that are open read on.
 * Blocks on the disk.
 *
 * Errors: those of the system; `UNAVAILABLE` while another removes it and does not get done.
 *
 * Safety:
 * `context` is a live handle; `dir` is NUL-terminated; `attempt` is NULL or points to a number;
 * `error_out` is NULL or points to a place for a pointer.
 */
int32_t bywash_output_remove(const struct bywash_context *context,
                             const char *dir,
                             uint64_t map,
                             const uint64_t *attempt,
                             struct bywash_error **error_out);

/**
 * The attempt whose output it is: where another one had committed before, `bywash_writer_finish` gives
 * that one's.
 *
 * Safety:
 * `output` is a live handle; `attempt_out` points to a place for a number; `error_out` is NULL or points
 * to a place for a pointer.
 */
int32_t bywash_output_attempt(const struct bywash_output *output,
                              uint64_t *attempt_out,
                              struct bywash_error **error_out);

/**
 * The number of partitions.
 *
 * Safety:
 * `output` is a live handle; `partitions_out` points to a place for a number; `error_out` is NULL or
 * points to a place for a pointer.
 */
int32_t bywash_output_partitions(const struct bywash_output *output,
                                 uint32_t *partitions_out,
                                 struct bywash_error **error_out);

/**
 * Length, rows and checksum of one partition. Set `partition_out->struct_size` before the call.
 *
 * Safety:
 * `output` is a live handle; `partition_out` points to `struct_size` bytes; `error_out` is NULL or points
 * to a place for a pointer.
 */
int32_t bywash_output_partition(const struct bywash_output *output,
                                uint32_t partition,
                                struct bywash_partition *partition_out,
                                struct bywash_error **error_out);

/**
 * Reads one partition of an output as a stream of batches into `stream_out`, which the caller provides
 * and releases. Its memory is charged to `task` (NULL: the one the output was
 * made in); batches stay charged until they are released, and valid
 * whatever else is freed. Every byte is checked before it is believed.
 *
 * Errors: `INVALID_ARGUMENT` for a partition that does not exist; `INVALID_STATE` for an output that was
 * sent to a sink. What the stream fails with later is in `bywash_stream_error`; after a failure, begin the
 * partition again with a new stream, and drop the batches of this one.
 *
 * Safety:
 * `output` is a live handle, `task` too or NULL; `stream_out` points to a place for an `ArrowArrayStream`;
 * `error_out` is NULL or points to a place for a pointer.
 */
int32_t bywash_output_read(const struct bywash_output *output,
                           const struct bywash_task *task,
                           uint32_t partition,
                           struct ArrowArrayStream *stream_out,
                           struct bywash_error **error_out);

/**
 * Frees an output; NULL is fine. Streams made of it go on.
 *
 * Safety:
 * `output` is NULL or a live handle that nobody uses any more.
 */
void bywash_output_free(struct bywash_output *output);

/**
 * Why a stream of `bywash_output_read` failed, with its code and action; NULL where it did not. Errnos of
 * the stream itself are `ENOMEM` for `MEMORY_LIMIT` and `BUDGET_HELD_BY_CALLER`, `EIO` for damage, I/O and
 * what is gone, `ENOSYS` for what is not supported, `ECANCELED`, `EINVAL` for the rest.
 *
 * Errors: `INVALID_ARGUMENT` for a stream that is not of this copy of the library, or was released.
 *
 * Safety:
 * `stream` points to a valid `ArrowArrayStream` that nobody uses meanwhile; `reason_out` points to a
 * place for a pointer; `error_out` too, or is NULL.
 */
int32_t bywash_stream_error(const struct ArrowArrayStream *stream,
                            struct bywash_error **reason_out,
                            struct bywash_error **error_out);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BYWASH_H */
