package dev.weir.connect;

import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;

/** Answers any number of requests that come within a delay by one action, which gets the time of the first. */
final class Burst {
    private final ScheduledExecutorService thread;
    private final long delayMs;
    private final LongConsumer action;
    private long firstRequest = -1;

    Burst(ScheduledExecutorService thread, long delayMs, LongConsumer action) {
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
            thread.schedule(this::answer, delayMs, TimeUnit.MILLISECONDS);
        } catch (RejectedExecutionException e) {
            // Stopping: nobody is left to answer to.
            firstRequest = -1;
        }
    }

    private void answer() {
        long requestedAt;
        synchronized (this) {
            requestedAt = firstRequest;
            // A request that comes from now on may have been made for a later state, and gets an answer of its own.
            firstRequest = -1;
        }
        action.accept(requestedAt);
    }
}
