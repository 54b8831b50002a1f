package dev.weir.connect;

import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;

/** Runs one action for all requests within a delay. The action gets the time of the first request. */
final class Debouncer {
    private final ScheduledExecutorService thread;
    private final long delayMs;
    private final LongConsumer action;
    private long firstRequest = -1;

    Debouncer(ScheduledExecutorService thread, long delayMs, LongConsumer action) {
        this.thread = thread;
        this.delayMs = delayMs;
        this.action = action;
    }

    synchronized void request() {
        if (firstRequest >= 0) {
            return;
        }
        firstRequest = System.currentTimeMillis();
        try {
            thread.schedule(this::run, delayMs, TimeUnit.MILLISECONDS);
        } catch (RejectedExecutionException e) {
            // The process is stopping.
            firstRequest = -1;
        }
    }

    private void run() {
        long requestedAt;
        synchronized (this) {
            requestedAt = firstRequest;
            // Later requests may be about a newer state, so they get their own action.
            firstRequest = -1;
        }
        action.accept(requestedAt);
    }
}
