import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Properties;

import org.apache.spark.Partitioner;
import org.apache.spark.ShuffleDependency;
import org.apache.spark.SparkConf;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContextImpl;
import org.apache.spark.executor.TaskMetrics;
import org.apache.spark.memory.MemoryMode;
import org.apache.spark.memory.TaskMemoryManager;
import org.apache.spark.rdd.RDD;
import org.apache.spark.scheduler.MapStatus;
import org.apache.spark.shuffle.IndexShuffleBlockResolver;
import org.apache.spark.shuffle.ShuffleWriteProcessor;
import org.apache.spark.shuffle.ShuffleWriter;
import org.apache.spark.sql.catalyst.expressions.UnsafeRow;
import org.apache.spark.sql.execution.UnsafeRowSerializer;
import org.apache.spark.storage.ShuffleBlockId;
import org.apache.spark.unsafe.Platform;
import org.apache.spark.util.MutablePair;

import scala.Option;
import scala.Product2;
import scala.collection.AbstractIterator;
import scala.collection.Iterator;
import scala.collection.immutable.Map$;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;

/**
 * Spark's shuffle writers on the records of src/records/input.rs, in a SparkContext of one core, as a map task of Spark SQL
 * calls them: the pair's key is the partition id, its value an UnsafeRow, here one whose bytes are the record's. Options of
 * Spark and the directory come as arguments KEY=VALUE. A line asks, a line answers: "records ROWS PARTITIONS" makes them; "write"
 * writes them once and answers with the nanoseconds of processor time that this whole process had (its collector's and its
 * compiler's too), those on the wall, the bytes of the output and those spilled; "verify" does that too and reads the output back, and answers with
 * its records and their digest besides.
 */
public final class RecordsHarness {
  private static final int RECORD_BYTES = 104;
  private static final int POOL_RECORDS = 1 << 20;
  private static final long MULTIPLIER = 0x9e3779b97f4a7c15L;

  private final SparkContext context;
  private final byte[] pool;
  private final int[] partitions;
  /** Boxed before the clock. */
  private final Integer[] ids;
  private final ShuffleDependency<Integer, UnsafeRow, UnsafeRow> dependency;
  private long mapId;

  private RecordsHarness(SparkContext context, int rows, int count) {
    this.context = context;
    pool = pool(Math.min(rows, POOL_RECORDS));
    partitions = partitions(rows, count);
    ids = new Integer[count];
    for (int id = 0; id < count; id++) {
      ids[id] = id;
    }
    ClassTag<Object> any = ClassTag$.MODULE$.Any();
    @SuppressWarnings({"unchecked", "rawtypes"})
    RDD<Product2<Integer, UnsafeRow>> rdd = (RDD) context.emptyRDD(any);
    dependency = new ShuffleDependency<>(rdd, new ById(count), new UnsafeRowSerializer(0, null),
        Option.empty(), Option.empty(), false, new ShuffleWriteProcessor(), tag(any), tag(any), tag(any));
  }

  public static void main(String[] arguments) throws IOException {
    // Answers alone go to where they are read.
    PrintStream answers = System.out;
    System.setOut(System.err);
    SparkConf conf = new SparkConf().setMaster("local[1]").setAppName("records")
        .set("spark.ui.enabled", "false").set("spark.driver.host", "localhost");
    for (String argument : arguments) {
      String[] setting = argument.split("=", 2);
      conf.set(setting[0], setting[1]);
    }
    SparkContext context = new SparkContext(conf);
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    RecordsHarness harness = null;
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      String[] request = line.split(" ");
      if (request[0].equals("records")) {
        harness = new RecordsHarness(context, Integer.parseInt(request[1]), Integer.parseInt(request[2]));
        answers.println();
      } else {
        answers.println(harness.run(request[0].equals("verify")));
      }
      answers.flush();
    }
    context.stop();
  }

  private String run(boolean isVerified) throws IOException {
    SparkEnv env = SparkEnv.get();
    mapId++;
    TaskMemoryManager memory = new TaskMemoryManager(env.memoryManager(), mapId);
    TaskContextImpl task = new TaskContextImpl(0, 0, 0, mapId, 0, 1, memory, new Properties(), env.metricsSystem(),
        TaskMetrics.empty(), 1, Map$.MODULE$.empty());
    long[] lengths;
    long cpu = processTime();
    long wall = System.nanoTime();
    ShuffleWriter<Integer, UnsafeRow> writer = env.shuffleManager().getWriter(dependency.shuffleHandle(), mapId, task,
        task.taskMetrics().shuffleWriteMetrics());
    writer.write(new Records());
    MapStatus status = writer.stop(true).get();
    memory.cleanUpAllAllocatedMemory();
    wall = System.nanoTime() - wall;
    cpu = processTime() - cpu;
    env.memoryManager().releaseAllExecutionMemoryForTask(mapId);
    lengths = writer.getPartitionLengths();
    long bytes = 0;
    for (long length : lengths) {
      bytes += length;
    }
    IndexShuffleBlockResolver resolver = (IndexShuffleBlockResolver) env.shuffleManager().shuffleBlockResolver();
    String answer = cpu + " " + wall + " " + bytes + " " + task.taskMetrics().diskBytesSpilled();
    if (isVerified) {
      answer += readBack(env, resolver, status.mapId());
    }
    resolver.removeDataByMap(dependency.shuffleId(), mapId);
    return answer;
  }

  private String readBack(SparkEnv env, IndexShuffleBlockResolver resolver, long map) throws IOException {
    long records = 0;
    long digest = 0;
    for (int partition = 0; partition < ids.length; partition++) {
      ShuffleBlockId block = new ShuffleBlockId(dependency.shuffleId(), map, partition);
      long sum = 0;
      InputStream file = resolver.getBlockData(block, Option.empty()).createInputStream();
      try (InputStream stream = env.serializerManager().wrapStream(block, file)) {
        Iterator<scala.Tuple2<Object, Object>> pairs =
            dependency.serializer().newInstance().deserializeStream(stream).asKeyValueIterator();
        while (pairs.hasNext()) {
          UnsafeRow row = (UnsafeRow) pairs.next()._2();
          if (row.getSizeInBytes() != RECORD_BYTES) {
            throw new IOException("a record of " + row.getSizeInBytes() + " bytes");
          }
          sum += digest(row);
          records++;
        }
      }
      digest = (Long.rotateLeft(digest, 5) ^ sum) * MULTIPLIER;
    }
    return " " + records + " " + Long.toUnsignedString(digest);
  }

  private static long digest(UnsafeRow record) {
    long digest = 0;
    for (int at = 0; at < RECORD_BYTES; at += Long.BYTES) {
      long word = Platform.getLong(record.getBaseObject(), record.getBaseOffset() + at);
      digest = (Long.rotateLeft(digest, 5) ^ word) * MULTIPLIER;
    }
    return digest;
  }

  private static long processTime() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }

  /** All records, one pair and one row used again and again, as Spark's own iterators do. */
  private final class Records extends AbstractIterator<Product2<Integer, UnsafeRow>> {
    private final UnsafeRow row = new UnsafeRow(0);
    private final MutablePair<Integer, UnsafeRow> pair = new MutablePair<>(null, row);
    private int next;
    private int at;

    @Override
    public boolean hasNext() {
      return next < partitions.length;
    }

    @Override
    public Product2<Integer, UnsafeRow> next() {
      row.pointTo(pool, Platform.BYTE_ARRAY_OFFSET + at, RECORD_BYTES);
      pair._1_$eq(ids[partitions[next]]);
      next++;
      at += RECORD_BYTES;
      if (at == pool.length) {
        at = 0;
      }
      return pair;
    }
  }

  /** The key is the partition. */
  private static final class ById extends Partitioner {
    private final int count;

    private ById(int count) {
      this.count = count;
    }

    @Override
    public int numPartitions() {
      return count;
    }

    @Override
    public int getPartition(Object key) {
      return (Integer) key;
    }
  }

  @SuppressWarnings("unchecked")
  private static <T> ClassTag<T> tag(ClassTag<Object> any) {
    return (ClassTag<T>) (ClassTag<?>) any;
  }

  private static int[] partitions(int rows, int count) {
    SplitMix random = new SplitMix(42);
    int[] partitions = new int[rows];
    for (int record = 0; record < rows; record++) {
      partitions[record] = (int) ((random.next() >>> 32) % count);
    }
    return partitions;
  }

  private static byte[] pool(int records) {
    byte[] letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".getBytes();
    SplitMix random = new SplitMix(7);
    byte[][] phrases = new byte[64][42];
    for (byte[] phrase : phrases) {
      fill(phrase, letters, random);
    }
    byte[] pool = new byte[records * RECORD_BYTES];
    ByteBuffer target = ByteBuffer.wrap(pool).order(ByteOrder.LITTLE_ENDIAN);
    byte[] text = new byte[42];
    for (long record = 0; record < records; record++) {
      fill(text, letters, random);
      target.putLong(record * MULTIPLIER >>> 1).putLong(record).putInt(84).put(text);
      target.put(phrases[(int) (record * 0xd6e8feb86659fd93L >>> 58)]);
    }
    return pool;
  }

  private static void fill(byte[] text, byte[] letters, SplitMix random) {
    for (int at = 0; at < text.length; at++) {
      text[at] = letters[(int) (random.next() >>> 58)];
    }
  }

  private static final class SplitMix {
    private long state;

    private SplitMix(long seed) {
      state = seed;
    }

    private long next() {
      state += MULTIPLIER;
      long bits = state;
      bits = (bits ^ (bits >>> 30)) * 0xbf58476d1ce4e5b9L;
      bits = (bits ^ (bits >>> 27)) * 0x94d049bb133111ebL;
      return bits ^ (bits >>> 31);
    }
  }
}
