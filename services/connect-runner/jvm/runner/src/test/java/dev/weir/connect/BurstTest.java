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

class BurstTest {
    @Test
    @DisplayName("requests of a burst are answered once, with the time of the first; later ones again")
    void answersABurstOnce() throws InterruptedException {
        ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor();
        BlockingQueue<Long> answers = new LinkedBlockingQueue<>();
        Burst burst = new Burst(thread, 100, answers::add);
        long before = System.currentTimeMillis();
        for (int i = 0; i < 1000; i++) {
            burst.request();
        }
        Long first = answers.poll(10, TimeUnit.SECONDS);
        assertTrue(first >= before);
        assertNull(answers.poll(300, TimeUnit.MILLISECONDS));
        burst.request();
        assertTrue(answers.poll(10, TimeUnit.SECONDS) >= first);
        thread.shutdownNow();
        burst.request();
        assertEquals(0, answers.size(), "after the end nobody is answered");
    }
}
