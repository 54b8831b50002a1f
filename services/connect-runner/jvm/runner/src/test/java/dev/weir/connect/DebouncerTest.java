package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

class DebouncerTest {
    @Test
    @DisplayName("requests within the delay run the action once, with the time of the first request")
    void runsOncePerDelay() throws InterruptedException {
        ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor();
        BlockingQueue<Long> runs = new LinkedBlockingQueue<>();
        Debouncer debouncer = new Debouncer(thread, 100, runs::add);
        long before = System.currentTimeMillis();
        for (int i = 0; i < 1000; i++) {
            debouncer.request();
        }
        Long first = runs.poll(10, TimeUnit.SECONDS);
        assertTrue(first >= before);
        assertNull(runs.poll(300, TimeUnit.MILLISECONDS));
        debouncer.request();
        assertTrue(runs.poll(10, TimeUnit.SECONDS) >= first);
        thread.shutdownNow();
        debouncer.request();
        assertEquals(0, runs.size(), "no action runs after shutdown");
    }
}
