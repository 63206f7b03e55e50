"""Asks a real Spark where it places rows; writes the answers to vectors-X.Y.json beside this file.

Run once per Spark version, in a virtual environment that has that pyspark; README.md says how.
The values come from one fixed seed, so every version is asked the same questions (but for types
that only some versions know) and a second run writes the same file.

One table per type holds edge values and random ones with their `hash(..)`; the table `mixed` holds
every type beside each other for hashes over several columns. `placements` are not computed from the
hash: rows are repartitioned and each row reports the partition that it arrived in.
"""

import json
import math
import random
import struct
import sys
from decimal import Decimal, getcontext
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
)

SEED = 42_2024
getcontext().prec = 80
rng = random.Random(SEED)


def double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def single(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


class Kind:
    """How values of one type get into Spark (a plain column, then an expression over it) and into
    the file."""

    def __init__(self, name, base, expr="{c}", load=lambda v: v, store=lambda v: v):
        self.name, self.base, self.expr, self.load, self.store = name, base, expr, load, store


def decimal_kind(precision, scale):
    return Kind(
        f"decimal({precision},{scale})",
        StringType(),
        "cast({c} as decimal(%d,%d))" % (precision, scale),
        load=lambda v: format(Decimal(v).scaleb(-scale), "f"),
        store=str,
    )


DAY_TIME = (
    "make_dt_interval(cast({c} div 86400000000 as int), 0, 0,"
    " cast(cast({c} % 86400000000 as decimal(18,0)) * 0.000001 as decimal(18,6)))"
)
CALENDAR = (
    "if({c} is null, null, make_interval(0, cast({c}[0] as int), 0, cast({c}[1] as int), 0, 0,"
    " cast(cast({c}[2] as decimal(18,0)) * 0.000001 as decimal(18,6))))"
)
TIME = (
    "make_time(cast({c} div 3600000000000 as int), cast({c} div 60000000000 % 60 as int),"
    " cast(cast({c} % 60000000000 as decimal(18,0)) * 0.000000001 as decimal(16,6)))"
)

KINDS = {
    kind.name: kind
    for kind in [
        Kind("void", LongType(), "cast(null as void)"),
        Kind("boolean", BooleanType()),
        Kind("tinyint", LongType(), "cast({c} as tinyint)"),
        Kind("smallint", LongType(), "cast({c} as smallint)"),
        Kind("int", LongType(), "cast({c} as int)"),
        Kind("bigint", LongType()),
        # Floats are stored as their bits, in hex: JSON has no NaN and no negative zero.
        Kind(
            "float",
            DoubleType(),
            "cast({c} as float)",
            load=single,
            store=lambda v: format(v, "08x"),
        ),
        Kind("double", DoubleType(), load=double, store=lambda v: format(v, "016x")),
        Kind("date", LongType(), "date_from_unix_date(cast({c} as int))"),
        Kind("timestamp", LongType(), "timestamp_micros({c})"),
        Kind("timestamp_ntz", LongType(), "cast(timestamp_micros({c}) as timestamp_ntz)"),
        Kind("string", StringType()),
        Kind("binary", BinaryType(), load=bytearray, store=lambda v: v.hex()),
        Kind("interval year to month", LongType(), "make_ym_interval(0, cast({c} as int))"),
        Kind("interval day to second", LongType(), DAY_TIME),
        Kind("interval", ArrayType(LongType()), CALENDAR),
        Kind("time", LongType(), TIME),
    ]
}


def integers(bits, count):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    edges = [0, 1, -1, 2, low, low + 1, high, high - 1, None]
    edges += [sign * (1 << shift) for shift in range(1, bits - 1, 5) for sign in (1, -1)]
    return edges + [rng.randint(low, high) for _ in range(count)]


def floats(exponent_bits, mantissa_bits, count):
    sign = 1 << (exponent_bits + mantissa_bits)
    infinity = ((1 << exponent_bits) - 1) << mantissa_bits
    quiet = infinity | (1 << (mantissa_bits - 1))
    one = ((1 << (exponent_bits - 1)) - 1) << mantissa_bits
    edges = [0, 1, infinity - 1, infinity, quiet, quiet | 1, infinity | (sign - infinity - 1), one]
    values = [None] + [bits | s for bits in edges for s in (0, sign)]
    return values + [rng.randrange(infinity) | rng.choice((0, sign)) for _ in range(count)]


ALPHABETS = [
    "abcXYZ 019",
    "\u00e4\u00f6\u00fc\u00df\u00e9",
    "\u65e5\u672c\u8a9e\u4e2d",
    "\U0001f600\U0001f680",
    "\x00\x01\x7f",
]


def text(length, alphabet):
    return "".join(rng.choice(alphabet) for _ in range(length))


def strings():
    values = [None, "", " ", "\x00", "\x7f", "\u0080", "\u07ff", "\uffff", "\U0010ffff", "a" * 255]
    values += [text(length, ALPHABETS[0]) for length in range(41)]
    values += [text(length, "".join(ALPHABETS)) for length in range(41)]
    return values + [text(rng.randrange(300), rng.choice(ALPHABETS)) for _ in range(20)]


def binaries():
    values = [None, b"", b"\x00", b"\xff", b"\x80\x7f\xff", b"\x00" * 7, b"\xff" * 9]
    return values + [rng.randbytes(length) for length in list(range(41)) * 2 + [255, 256, 1023]]


def decimals(precision, count):
    limit = 10**precision - 1
    edges = [0, 1, -1, limit, -limit, limit // 2, None]
    # Where the shortest two's complement form takes one more byte.
    for byte in range(1, 17):
        power = 1 << (8 * byte - 1)
        edges += [v for v in (power - 1, power, -power, -power - 1) if abs(v) <= limit]
    randoms = [rng.randint(-(10**d), 10**d) for d in rng.choices(range(precision), k=count)]
    return edges + randoms


# Spark keeps an interval's time in microseconds; Arrow has nanoseconds in 64 bits.
CALENDAR_MICROS_MAX = (2**63 - 1) // 1000


def calendars(count):
    months, micros = (-(2**31), 2**31 - 1), (-CALENDAR_MICROS_MAX, CALENDAR_MICROS_MAX)
    edges = [None, [0, 0, 0]]
    for i, bounds in enumerate([months, months, micros]):
        for value in (*bounds, 1, -1):
            edges.append([value if i == j else 0 for j in range(3)])
    return edges + [
        [rng.randint(*months), rng.randint(*months), rng.randint(*micros)] for _ in range(count)
    ]


def times(count):
    day = 86_400_000_000
    micros = [0, 1, day - 1, day // 2] + [rng.randrange(day) for _ in range(count)]
    return [None] + [value * 1000 for value in micros]


def values_of(name, count):
    if name == "void":
        return [None] * 5
    if name == "boolean":
        return [True, False, None]
    if name in ("tinyint", "smallint", "int", "bigint"):
        return integers({"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}[name], count)
    if name in ("date", "interval year to month"):
        return integers(32, count)
    if name in ("timestamp", "timestamp_ntz", "interval day to second"):
        return integers(64, count)
    if name == "float":
        return floats(8, 23, count)
    if name == "double":
        return floats(11, 52, count)
    return {
        "string": strings,
        "binary": binaries,
        "interval": lambda: calendars(count),
        "time": lambda: times(count),
    }[name]()


def frame(spark, columns):
    """A data frame with a row number and one column per (kind, values)."""
    fields = [StructField("id", LongType())]
    fields += [StructField(f"b{i}", kind.base) for i, (kind, _) in enumerate(columns)]
    loaded = [
        [None if v is None else kind.load(v) for v in values] for kind, values in columns
    ]
    rows = [(i, *row) for i, row in enumerate(zip(*loaded))]
    exprs = [f"{kind.expr.format(c=f'b{i}')} as c{i}" for i, (kind, _) in enumerate(columns)]
    base = spark.createDataFrame(rows, StructType(fields))
    # Held as rows, so that every question below reads the values, not the expressions.
    return base.selectExpr("id", *exprs).cache()


def hashes(df, combinations):
    asked = [F.hash(*(f"c{i}" for i in by)).alias(f"h{n}") for n, by in enumerate(combinations)]
    rows = sorted(df.select("id", *asked).collect())
    return [
        {"by": by, "hash": [row[n + 1] for row in rows]} for n, by in enumerate(combinations)
    ]


def placement(df, by, partitions):
    moved = df.repartition(partitions, *(f"c{i}" for i in by))
    rows = sorted(moved.select("id", F.spark_partition_id().alias("p")).collect())
    return {"by": by, "partitions": partitions, "ids": [row[1] for row in rows]}


def table(spark, name, columns, combinations, placements):
    df = frame(spark, columns)
    made = {
        "name": name,
        "columns": [
            {"type": kind.name, "values": [None if v is None else kind.store(v) for v in values]}
            for kind, values in columns
        ],
        "hashes": hashes(df, combinations),
        "placements": [placement(df, by, partitions) for by, partitions in placements],
    }
    # What is written down must be what Spark hashed: no value may have become null on the way.
    wrong = [
        i
        for i, (kind, values) in enumerate(columns)
        if kind.name != "void"
        and df.filter(f"c{i} is null").count() != sum(v is None for v in values)
    ]
    assert not wrong, (name, wrong)
    df.unpersist()
    print(name, len(columns[0][1]), "rows", flush=True)
    return made


def mixed(spark, kinds, rows):
    columns = []
    for kind, pool in kinds:
        values = [None if rng.random() < 0.1 else rng.choice(pool) for _ in range(rows)]
        columns.append((kind, values))
    count = len(columns)
    combinations = [list(range(count)), list(reversed(range(count))), [0, 0], [2, 2, 2]]
    combinations += [rng.sample(range(count), rng.randint(2, 5)) for _ in range(24)]
    placements = [(combinations[0], 10_000)]
    for partitions in (1, 2, 3, 8, 31, 64, 100, 200, 255, 256, 999, 1000, 2048):
        placements += [(by, partitions) for by in rng.sample(combinations, 2)]
    placements += [(rng.choice(combinations[4:]), n) for n in (4096, 9973, 10_000)]
    return table(spark, "mixed", columns, combinations, placements)


def main():
    version = ".".join(pyspark.__version__.split(".")[:2])
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        # Adaptive execution may join small partitions; we want the ids of the placement itself.
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.timeType.enabled", "true")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    has_time = tuple(map(int, version.split("."))) >= (4, 1)

    tables, pools = [], []
    for name, kind in KINDS.items():
        if name == "time":
            continue
        values = values_of(name, 60)
        pools.append((kind, values))
        tables.append(table(spark, name, [(kind, values)], [[0]], [([0], 5), ([0], 200)]))
    for precision in range(1, 39):
        kind = decimal_kind(precision, rng.randint(0, precision))
        values = decimals(precision, 20)
        if precision in (9, 18, 19, 38):
            pools.append((kind, values))
        placements = [([0], 200)] if precision in (18, 19, 38) else []
        tables.append(table(spark, kind.name, [(kind, values)], [[0]], placements))
    tables.append(mixed(spark, pools, 200))
    # Last, so that the random values above are the same for every version.
    if has_time:
        values = values_of("time", 60)
        tables.append(table(spark, "time", [(KINDS["time"], values)], [[0]], [([0], 200)]))

    header = {"spark": pyspark.__version__, "made_by": "make_vectors.py", "seed": SEED}
    lines = ",\n".join(json.dumps(t, separators=(",", ":")) for t in tables)
    path = Path(__file__).parent / f"vectors-{version}.json"
    head = json.dumps(header)[:-1]
    path.write_text(f'{head}, "tables": [\n{lines}\n]}}\n', encoding="ascii")
    json.loads(path.read_text(encoding="ascii"))
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    assert math.isnan(single(0x7FC00000))
    sys.exit(main())
