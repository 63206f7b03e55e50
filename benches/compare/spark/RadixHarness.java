import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;

import org.apache.spark.unsafe.array.LongArray;
import org.apache.spark.unsafe.memory.MemoryBlock;
import org.apache.spark.util.collection.unsafe.sort.RadixSort;

/**
 * Spark's RadixSort on the words of src/radix/words.rs, as ShuffleInMemorySorter calls it: by bytes 5 to 7, the scratch
 * in the array's second half. A line asks, a line answers:
 * "words LEN PARTITIONS SORTS" makes the words; "run" sorts a copy of them SORTS times and answers with the nanoseconds that this
 * thread had for the sorts and the digest of the last.
 */
public final class RadixHarness {
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
  private static final int FIRST_BYTE = 5;
  private static final int LAST_BYTE = 7;

  private final int partitions;
  private final int sorts;
  private final int length;
  private final long[] values;
  private final LongArray array;
  /** Long inputs are made anew for each run: a copy of them would not fit beside them. */
  private final long[] words;

  private RadixHarness(int length, int partitions, int sorts) {
    this.length = length;
    this.partitions = partitions;
    this.sorts = sorts;
    values = new long[2 * length];
    array = new LongArray(MemoryBlock.fromLongArray(values));
    words = sorts > 1 ? new long[length] : values;
    fill(words, length, partitions);
  }

  public static void main(String[] arguments) throws IOException {
    warmUp();
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    RadixHarness harness = null;
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      String[] request = line.split(" ");
      if (request[0].equals("words")) {
        harness = new RadixHarness(Integer.parseInt(request[1]), Integer.parseInt(request[2]),
            Integer.parseInt(request[3]));
        System.out.println();
      } else {
        System.out.println(harness.run());
      }
      System.out.flush();
    }
  }

  private String run() {
    long nanoseconds = 0;
    int start = 0;
    for (int sort = 0; sort < sorts; sort++) {
      if (words == values) {
        fill(values, length, partitions);
      } else {
        System.arraycopy(words, 0, values, 0, length);
      }
      long before = THREADS.getCurrentThreadCpuTime();
      start = RadixSort.sort(array, length, FIRST_BYTE, LAST_BYTE, false, false);
      nanoseconds += THREADS.getCurrentThreadCpuTime() - before;
    }
    return nanoseconds + " " + Long.toUnsignedString(digest(values, start, length));
  }

  /** Many short sorts, so that the methods are compiled whole and not in the middle of a loop. */
  private static void warmUp() {
    RadixHarness harness = new RadixHarness(1000, 2000, 20_000);
    harness.run();
  }

  private static void fill(long[] words, int length, int partitions) {
    long state = 42;
    for (int number = 0; number < length; number++) {
      state += 0x9e3779b97f4a7c15L;
      long bits = state;
      bits = (bits ^ (bits >>> 30)) * 0xbf58476d1ce4e5b9L;
      bits = (bits ^ (bits >>> 27)) * 0x94d049bb133111ebL;
      bits ^= bits >>> 31;
      words[number] = (bits >>> 32) % partitions << 40 | number;
    }
  }

  private static long digest(long[] words, int start, int length) {
    long digest = 0;
    for (int number = start; number < start + length; number++) {
      digest = (Long.rotateLeft(digest, 5) ^ words[number]) * 0x9e3779b97f4a7c15L;
    }
    return digest;
  }
}
