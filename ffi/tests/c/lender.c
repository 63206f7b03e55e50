/* A host that lends a pool: in parts, and taking it back at random while writers work. At every one of
 * its callbacks and at random instants, what is granted, and in a program with COUNTED what the library
 * really has allocated, is compared with what it lent. */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "rows.h"
#ifdef COUNTED
#include "counter/counter.h"
#else
static int64_t counted_bytes(void) { return 0; }
#endif

enum { WRITERS = 4, PARTITIONS = 16, ROWS = 4096 };
static const int64_t POOL = 64 << 20;

struct pool {
  atomic_llong lent, peak, given_back;
  atomic_llong partial;
  _Atomic uint64_t random;
  atomic_int ends;
  int64_t size;
  int32_t refusal;
  /* For the checks: what to ask, how often bytes came back, what was counted before it began. */
  _Atomic(bywash_context *) context;
  atomic_llong returns, checks, missed, peak_counted;
  int64_t counted_before;
};

/* What may be allocated beside what was lent: handles, names, what one call keeps for its columns. */
static int64_t allowed(int64_t lent) { return lent + lent / 100 + (1 << 20); }

static uint64_t figure_of(const char *json, const char *name) {
  const char *at = strstr(json, name);
  CHECK(at != NULL);
  return strtoull(at + strlen(name), NULL, 10);
}

/* Granted <= lent <= pool, and what is allocated within it, now. While nothing comes back, what is lent
 * only grows: then what was granted and allocated a moment ago fits what is lent now. */
static void check_pool(struct pool *pool) {
  for (int attempt = 0; attempt < 8; attempt++) {
    long long returns = atomic_load(&pool->returns);
    int64_t counted = counted_bytes() - pool->counted_before;
    uint64_t granted = 0, live = 0;
    bywash_context *context = atomic_load(&pool->context);
    if (context != NULL) {
      char *json;
      OK(bywash_explain(context, &json, &error));
      granted = figure_of(json, "\"granted_bytes\":");
      live = figure_of(strstr(json, "\"lent_bytes\":"), "\"live_bytes\":");
      uint64_t lent = figure_of(json, "\"lent_bytes\":");
      CHECK(live <= granted && granted <= lent && lent <= (uint64_t)pool->size);
      bywash_string_free(json);
    }
    int64_t lent = atomic_load(&pool->lent);
    CHECK(0 <= lent && lent <= pool->size);
    if (atomic_load(&pool->returns) != returns) continue;
    if ((int64_t)granted > lent || counted > allowed(lent)) {
      fprintf(stderr, "granted %llu, allocated %lld of %lld lent\n", (unsigned long long)granted,
              (long long)counted, (long long)lent);
      abort();
    }
    long long peak = atomic_load(&pool->peak_counted);
    while (peak < counted && !atomic_compare_exchange_weak(&pool->peak_counted, &peak, counted)) {
    }
    atomic_fetch_add(&pool->checks, 1);
    return;
  }
  atomic_fetch_add(&pool->missed, 1);
}

static uint64_t pool_random(struct pool *pool) {
  uint64_t state = atomic_fetch_add(&pool->random, 0x9e3779b97f4a7c15u);
  return next_random(&state);
}

static int64_t lend(void *context, uint64_t bytes) {
  struct pool *pool = context;
  if (pool->refusal != BYWASH_OK) return -(int64_t)pool->refusal;
  CHECK(bytes > 0);
  check_pool(pool);
  for (;;) {
    long long lent = atomic_load(&pool->lent);
    int64_t left = pool->size - lent, answer = bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
    if (answer > left) answer = left;
    /* Every third time only a part of what could be lent. */
    if (answer > 1 && pool_random(pool) % 3 == 0) {
      answer = (int64_t)(1 + pool_random(pool) % (uint64_t)answer);
      atomic_fetch_add(&pool->partial, 1);
    }
    if (answer <= 0) return 0;
    if (!atomic_compare_exchange_weak(&pool->lent, &lent, lent + answer)) continue;
    long long peak = atomic_load(&pool->peak);
    while (peak < lent + answer && !atomic_compare_exchange_weak(&pool->peak, &peak, lent + answer)) {
    }
    check_pool(pool);
    return answer;
  }
}

static void give_back(void *context, uint64_t bytes) {
  struct pool *pool = context;
  /* Counted first: a check must not take what was lent before for what is lent now. */
  atomic_fetch_add(&pool->returns, 1);
  long long before = atomic_fetch_sub(&pool->lent, (long long)bytes);
  /* Never more back than was lent. */
  CHECK(bytes > 0 && before >= (long long)bytes);
  atomic_fetch_add(&pool->given_back, (long long)bytes);
  check_pool(pool);
}

static void ended(void *context) {
  struct pool *pool = context;
  check_pool(pool);
  atomic_fetch_add(&pool->ends, 1);
}

static void warned(void *context, int32_t level, const char *message) {
  (void)context;
  CHECK(level == BYWASH_LOG_WARNING && strlen(message) > 0);
}

static bywash_host host_of(struct pool *pool) {
  return (bywash_host){.struct_size = sizeof(bywash_host), .context = pool, .acquire = lend,
                       .release = give_back, .destroy = ended, .log = warned};
}

struct work {
  bywash_context *context;
  bywash_shuffle *shuffle;
  const char *out;
  uint64_t map, attempts, spills;
  int64_t batches;
};

/* One attempt; false where the host had to be told to try the task again. */
static bool attempt(struct work *work, uint64_t number) {
  bywash_task *task;
  bywash_writer *writer = NULL;
  bywash_output *output = NULL;
  bywash_error *error = NULL;
  uint64_t minimum;
  int32_t code = BYWASH_OK;
  OK(bywash_shuffle_minimum_budget(work->shuffle, 1, &minimum, &error));
  code = bywash_task_new(work->context, minimum, &task, &error);
  if (code == BYWASH_OK) {
    code = bywash_writer_new(work->shuffle, task, work->out, work->map, number, &writer, &error);
  }
  for (int64_t batch = 0; batch < work->batches && code == BYWASH_OK; batch++) {
    struct ArrowArray array;
    uint32_t *ids = make_ids(batch * ROWS, ROWS, PARTITIONS);
    make_rows(&array, batch * ROWS, ROWS);
    code = bywash_writer_push(writer, &array, ids, ROWS, &error);
    free(ids);
  }
  if (code == BYWASH_OK) code = bywash_writer_finish(writer, &output, &error);
  if (code == BYWASH_OK) {
    char *json;
    OK(bywash_writer_statistics(writer, &json, &error));
    work->spills += figure_of(json, "\"spills_reclaim\":") + figure_of(json, "\"spills_pressure\":");
    bywash_string_free(json);
    int64_t rows = 0;
    for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
      struct ArrowArrayStream stream;
      OK(bywash_output_read(output, task, partition, &stream, &error));
      struct seen seen = {0, -1, 0, 0};
      bool refused = false;
      for (;;) {
        struct ArrowArray batch;
        if (stream.get_next(&stream, &batch) != 0) {
          /* The pool was empty just then. */
          bywash_error *reason;
          OK(bywash_stream_error(&stream, &reason, &error));
          CHECK(bywash_error_code(reason) == BYWASH_MEMORY_LIMIT);
          bywash_error_free(reason);
          refused = true;
          break;
        }
        if (batch.release == NULL) break;
        check_rows(&batch, &seen);
        batch.release(&batch);
      }
      stream.release(&stream);
      if (refused) {
        partition--;
        sched_yield();
        continue;
      }
      CHECK(seen.rows == work->batches * ROWS / PARTITIONS && seen.last_key % PARTITIONS == partition);
      rows += seen.rows;
    }
    CHECK(rows == work->batches * ROWS);
  } else {
    int32_t known = bywash_error_code(error);
    if (bywash_error_action(error) != BYWASH_ACTION_RETRY_TASK ||
        (known != BYWASH_MEMORY_LIMIT && known != BYWASH_POISONED)) {
      fprintf(stderr, "map %llu: %s\n", (unsigned long long)work->map, bywash_error_message(error));
      abort();
    }
    bywash_error_free(error);
  }
  bywash_output_free(output);
  bywash_writer_free(writer);
  bywash_task_free(task);
  return code == BYWASH_OK;
}

static void *write_one(void *argument) {
  struct work *work = argument;
  work->attempts = 1;
  while (!attempt(work, work->attempts)) {
    work->attempts++;
    sched_yield();
  }
  return NULL;
}

struct reclaimer {
  bywash_context *context;
  struct pool *pool;
  atomic_bool stop;
  uint64_t calls, freed;
};

static void *reclaim_at_random(void *argument) {
  struct reclaimer *reclaimer = argument;
  while (!atomic_load(&reclaimer->stop)) {
    uint64_t freed, bytes = pool_random(reclaimer->pool) % (6 << 20);
    OK(bywash_reclaim(reclaimer->context, bytes, &freed, &error));
    reclaimer->freed += freed;
    reclaimer->calls++;
    /* Long pauses, too: writers are to fill the pool. */
    long longest = pool_random(reclaimer->pool) % 4 == 0 ? 200000000 : 2000000;
    struct timespec pause = {0, (long)(pool_random(reclaimer->pool) % (uint64_t)longest)};
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static void *check_at_random(void *argument) {
  struct reclaimer *watched = argument;
  while (!atomic_load(&watched->stop)) {
    check_pool(watched->pool);
    struct timespec pause = {0, (long)(pool_random(watched->pool) % 1000000)};
    nanosleep(&pause, NULL);
  }
  return NULL;
}

void test_lender(void) {
  uint64_t seed = setting("BYWASH_SEED", 64), seconds = setting("BYWASH_LENDER_SECONDS", 5);
  printf(" seed %llu, %llu s", (unsigned long long)seed, (unsigned long long)seconds);
  /* A deadlock ends the program. */
  alarm((unsigned)(4 * seconds + 1200));
  char *spills = scratch("lender-spills"), *out = scratch("lender");
  struct pool pool = {.random = seed, .size = POOL, .counted_before = counted_bytes()};
  bywash_host host = host_of(&pool);
  bywash_context *context = make_context(spills, "memory.patience_ms", "20000", &host);
  memset(&host, 0xff, sizeof host); /* The table was copied. */
  bywash_shuffle *shuffle = make_shuffle(PARTITIONS, false, "none");
  struct reclaimer reclaimer = {.context = context, .pool = &pool};
  atomic_store(&pool.context, context);
  pthread_t reclaiming, checking, writing[WRITERS];
  CHECK(pthread_create(&reclaiming, NULL, reclaim_at_random, &reclaimer) == 0);
  CHECK(pthread_create(&checking, NULL, check_at_random, &reclaimer) == 0);
  time_t end = time(NULL) + (time_t)seconds;
  uint64_t map = 0, attempts = 0, spilled = 0;
  do {
    struct work work[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
      work[i] = (struct work){.context = context, .shuffle = shuffle, .out = out, .map = map++,
                              .batches = (int64_t)setting("BYWASH_LENDER_BATCHES", 300)};
      CHECK(pthread_create(&writing[i], NULL, write_one, &work[i]) == 0);
    }
    for (int i = 0; i < WRITERS; i++) {
      CHECK(pthread_join(writing[i], NULL) == 0);
      attempts += work[i].attempts;
      spilled += work[i].spills;
    }
  } while (time(NULL) < end);
  atomic_store(&reclaimer.stop, true);
  CHECK(pthread_join(reclaiming, NULL) == 0 && pthread_join(checking, NULL) == 0);
  char *json;
  OK(bywash_explain(context, &json, &error));
  CHECK(figure_of(json, "\"peak_granted_bytes\":") <= (uint64_t)atomic_load(&pool.peak));
  CHECK(figure_of(json, "\"lent_bytes\":") == (uint64_t)atomic_load(&pool.lent));
  CHECK(figure_of(json, "\"granted_bytes\":") == 0);
  bywash_string_free(json);
  CHECK(atomic_load(&pool.peak) <= POOL && atomic_load(&pool.partial) > 0 && spilled > 0);
  bywash_shuffle_free(shuffle);
  CHECK(atomic_load(&pool.ends) == 0);
  atomic_store(&pool.context, NULL);
  bywash_context_free(context);
  CHECK(atomic_load(&pool.lent) == 0 && atomic_load(&pool.ends) == 1);
  /* All of it is free again; what the C library keeps for a thread may stay. */
  CHECK(counted_bytes() - pool.counted_before < 64 << 10);
  alarm(0);
  CHECK(atomic_load(&pool.checks) > 0);
  printf(", %lld checks (%lld missed), %.1f MiB allocated at most", (long long)atomic_load(&pool.checks),
         (long long)atomic_load(&pool.missed), (double)atomic_load(&pool.peak_counted) / (1 << 20));
  printf(", peak %lld MiB, %llu maps, %llu attempts, %llu spills, %llu reclaims of %llu MiB",
         (long long)(atomic_load(&pool.peak) >> 20),
         (unsigned long long)map, (unsigned long long)attempts, (unsigned long long)spilled,
         (unsigned long long)reclaimer.calls, (unsigned long long)(reclaimer.freed >> 20));
  free(spills);
  free(out);
}

/* A host that answers with a status: the call fails with it. */
void test_host_refuses(void) {
  char *spills = scratch("refuses-spills");
  struct pool pool = {.random = 1, .size = POOL, .refusal = BYWASH_CANCELLED};
  bywash_host host = host_of(&pool);
  bywash_context *context = make_context(spills, NULL, NULL, &host);
  bywash_shuffle *shuffle = make_shuffle(4, false, "none");
  bywash_task *task;
  bywash_writer *writer;
  OK(bywash_task_new(context, 0, &task, &error));
  FAILS(BYWASH_CANCELLED, BYWASH_ACTION_NONE, "acquire failed",
        bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  pool.refusal = 77;
  FAILS(BYWASH_UNAVAILABLE, BYWASH_ACTION_RETRY_TASK, "acquire failed",
        bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  pool.refusal = BYWASH_OK;
  OK(bywash_writer_new(shuffle, task, NULL, 1, 0, &writer, &error));
  bywash_writer_free(writer);

  /* A lender that is out of order is no damaged map output: nothing is reported, nothing made again. */
  char *out = scratch("refuses-out");
  bywash_output *output;
  struct ArrowArrayStream stream;
  struct ArrowArray batch;
  OK(bywash_writer_new(shuffle, task, out, 1, 0, &writer, &error));
  make_rows(&batch, 0, 1000);
  uint32_t *ids = make_ids(0, 1000, 4);
  OK(bywash_writer_push(writer, &batch, ids, 1000, &error));
  free(ids);
  OK(bywash_writer_finish(writer, &output, &error));
  bywash_writer_free(writer);
  OK(bywash_set_capacity(context, 1 << 30, NULL, &error));
  for (int status = 1; status < 20; status++) {
    if (status == BYWASH_CANCELLED) continue;
    OK(bywash_output_read(output, NULL, 0, &stream, &error));
    uint64_t freed;
    OK(bywash_reclaim(context, UINT64_MAX, &freed, &error));
    pool.refusal = status;
    CHECK(stream.get_next(&stream, &batch) != 0);
    bywash_error *reason;
    OK(bywash_stream_error(&stream, &reason, &error));
    CHECK(bywash_error_action(reason) == BYWASH_ACTION_RETRY_TASK);
    bywash_error_free(reason);
    pool.refusal = BYWASH_OK;
    stream.release(&stream);
  }
  bywash_output_free(output);
  free(out);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  CHECK(atomic_load(&pool.lent) == 0 && atomic_load(&pool.ends) == 1);
  free(spills);
}

/* Batches charged to the host: it is told when they are released, whatever was freed before. */
void test_host_pays_for_batches(void) {
  char *spills = scratch("pays-spills"), *out = scratch("pays");
  struct pool pool = {.random = 1, .size = POOL};
  bywash_host host = host_of(&pool);
  bywash_context *context = make_context(spills, "reader.charge", "host", &host);
  bywash_shuffle *shuffle = make_shuffle(1, true, "none");
  bywash_task *task = make_task(context, shuffle);
  bywash_writer *writer;
  bywash_output *output;
  struct ArrowArrayStream stream;
  struct ArrowArray batch;
  OK(bywash_writer_new(shuffle, task, out, 1, 0, &writer, &error));
  make_stream(&stream, 0, 1000, 10, -1);
  OK(bywash_writer_push_stream(writer, &stream, &error));
  OK(bywash_writer_finish(writer, &output, &error));
  OK(bywash_output_read(output, NULL, 0, &stream, &error));
  CHECK(stream.get_next(&stream, &batch) == 0 && batch.release != NULL);
  stream.release(&stream);
  bywash_output_free(output);
  bywash_writer_free(writer);
  bywash_task_free(task);
  bywash_shuffle_free(shuffle);
  bywash_context_free(context);
  CHECK(atomic_load(&pool.lent) > 0);
  struct seen seen = {0, -1, 0, 0};
  check_rows(&batch, &seen);
  batch.release(&batch);
  CHECK(atomic_load(&pool.lent) == 0 && atomic_load(&pool.ends) == 1);
  free(spills);
  free(out);
}
