"""Streams of pyarrow, polars, nanoarrow and duckdb through a shuffle and back.

Run by `cargo test -p bywash-ffi --test python`; packages by ffi/tests/python/install. With arguments it
says which of the packages are missing.
"""

import gc
import json
import sys
import tempfile

import pyarrow as pa

import bywash

ROWS, PARTITIONS = 20_000, 7
SCHEMA = pa.schema([pa.field("key", pa.int64()), pa.field("text", pa.string())])


def table(first=0):
    keys = list(range(first, first + ROWS))
    texts = [None if key % 11 == 0 else f"row {key}" for key in keys]
    return pa.table({"key": pa.array(keys, pa.int64()), "text": texts}, schema=SCHEMA)


def producers():
    yield "pyarrow table", lambda: table()
    yield "pyarrow reader", lambda: pa.RecordBatchReader.from_batches(
        SCHEMA, table().to_batches(max_chunksize=777))
    yield "pyarrow slice", lambda: pa.concat_tables([table(-5)]).slice(5).cast(SCHEMA)
    if polars := imported("polars"):
        # polars brings string views; the host casts, as the interface takes plain columns.
        yield "polars", lambda: pa.table(polars.from_arrow(table())).cast(SCHEMA)
        yield "polars own stream", lambda: polars.from_arrow(table()).with_columns(
            polars.col("text").str.len_bytes().cast(polars.Int64)).select("key", "text")
    if nanoarrow := imported("nanoarrow"):
        yield "nanoarrow", lambda: nanoarrow.ArrayStream(table())
    if duckdb := imported("duckdb"):
        def query():
            connection = duckdb.connect()
            rows = table()
            connection.register("rows", rows)
            return connection.sql("select key, text from rows order by key")
        yield "duckdb", query


def imported(name):
    try:
        return __import__(name)
    except ImportError:
        return None


def consume(name, partition):
    """Keys and texts of a partition, read by somebody else."""
    if name == "pyarrow":
        return pa.table(partition)
    if name == "pyarrow reader":
        return pa.RecordBatchReader.from_stream(partition).read_all()
    if name == "polars":
        return pa.table(imported("polars").DataFrame(partition))
    if name == "nanoarrow":
        return pa.table(imported("nanoarrow").ArrayStream(partition))
    if name == "duckdb":
        connection = imported("duckdb").connect()
        # It asks for a stream more than once: each time the partition is read anew.
        rows = partition
        return pa.table(connection.sql("select * from rows"))
    if name == "duckdb reader":
        connection = imported("duckdb").connect()
        rows = pa.RecordBatchReader.from_stream(partition)
        return pa.table(connection.sql("select * from rows"))
    raise AssertionError(name)


def consumers():
    names = ["pyarrow", "pyarrow reader"]
    for package in ("polars", "nanoarrow", "duckdb"):
        if imported(package):
            names.append(package)
    if imported("duckdb"):
        names.append("duckdb reader")
    return names


def check(name, make, directory):
    context = bywash.Context(spill__dirs=directory, spill__memory_backed="unaccounted")
    schema = pa.RecordBatchReader.from_stream(make()).schema
    shuffle = bywash.Shuffle(schema, PARTITIONS, hash_columns=[0], validate="full")
    task = context.task(shuffle.minimum_budget(1))
    writer = bywash.Writer(shuffle, task, f"{directory}/out", 1)
    writer.push(make())
    output = writer.finish()
    expected = pa.table(make()).sort_by("key").to_pydict()
    for consumer in consumers():
        parts = []
        for partition in range(PARTITIONS):
            part = consume(consumer, output.partition(partition))
            assert part.num_rows == output.info(partition).rows, (name, consumer)
            parts.append(part.select(["key", "text"]).cast(schema))
        together = pa.concat_tables(parts).sort_by("key").to_pydict()
        assert together == expected, (name, consumer)
        del part, parts, together
    # A consumer that never asks, and one that asks and reads nothing, or only a part.
    output.partition(0)
    output.partition(0).__arrow_c_stream__()
    reader = pa.RecordBatchReader.from_stream(output.partition(0))
    first = reader.read_next_batch()
    del reader, writer, output, shuffle, task
    gc.collect()
    assert first.num_rows > 0 and first.column(0)[0].as_py() is not None
    del first
    gc.collect()
    granted = json.loads(context.explain())
    assert granted["granted_bytes"] == 0 and granted["exported_bytes"] == 0, granted
    assert bywash.streams_kept() == 0


def main():
    before = pa.total_allocated_bytes()
    for name, make in producers():
        with tempfile.TemporaryDirectory() as directory:
            check(name, make, directory)
        print(f"{name} to {', '.join(consumers())} ok")
    try:
        bywash.options(codec="snappy")
        raise AssertionError("a codec that there is not")
    except bywash.Error as error:
        assert error.code == 1 and error.action == 1, error
    gc.collect()
    assert pa.total_allocated_bytes() == before, "all that pyarrow lent came back"
    missing = [name for name in ("polars", "nanoarrow", "duckdb") if imported(name) is None]
    if missing:
        print(f"MISSING: {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(main())
