import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A heap that grows when it is told to: for each byte read it takes and keeps a step more, each page
 * of it touched, and answers with `!`. Ends with its standard input, or by itself after two minutes.
 */
public final class LateHeap {
    private static final int STEP = 4 << 20;
    private static final long LIFE_MS = 120_000;

    public static void main(String[] arguments) throws IOException {
        Thread end = new Thread(LateHeap::endLate);
        end.setDaemon(true);
        end.start();
        answer();
        List<byte[]> held = new ArrayList<>();
        while (System.in.read() >= 0) {
            byte[] step = new byte[STEP];
            Arrays.fill(step, (byte) 1);
            held.add(step);
            answer();
        }
        long sum = 0;
        for (byte[] step : held) {
            sum += step[STEP - 1];
        }
        System.exit(sum == held.size() ? 0 : 1);
    }

    private static void answer() {
        System.out.write('!');
        System.out.flush();
    }

    private static void endLate() {
        try {
            Thread.sleep(LIFE_MS);
        } catch (InterruptedException ended) {
            return;
        }
        Runtime.getRuntime().halt(2);
    }
}
