package dev.weir.connect;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;

/** Ends this process: sends the event with the result, closes the connector or task within a time limit, and exits. */
final class Outcome {
    private static final long CLOSE_AFTER_FAILURE_MS = 15_000;
    private static final Logger log = LoggerFactory.getLogger(Outcome.class);

    private final Channel channel;
    private final Redactor redactor;
    private final AtomicBoolean decided = new AtomicBoolean();

    private final String defaultReason;

    Outcome(Channel channel, Redactor redactor, String defaultReason) {
        this.defaultReason = defaultReason;
        this.channel = channel;
        this.redactor = redactor;
    }

    /**
     * Ends with an error. Later calls are ignored. It may be called on any thread, even on one that close waits for.
     */
    void fail(String reason, Throwable cause, Runnable close) {
        if (!decided.compareAndSet(false, true)) {
            return;
        }
        if (cause instanceof OutOfMemoryError || RunnerException.OUT_OF_MEMORY.equals(reason)) {
            // There is no memory to close anything.
            channel.send("failed",
                    Map.of("reason", RunnerException.OUT_OF_MEMORY, "message", RunnerException.outOfMemory(cause)));
            Runtime.getRuntime().halt(1);
        }
        String message = RunnerException.oneLine(redactor.redact(RunnerException.describe(cause)));
        // Redact again: joining lines may complete a secret that was split across lines.
        channel.send("failed", Map.of("reason", reason, "message", redactor.redact(message)));
        log.error("Run failed: {}: {}", reason, message, cause);
        run(close, CLOSE_AFTER_FAILURE_MS);
        exit(1);
    }

    /** Ends after a request to stop. */
    void stopped(Runnable close) {
        if (!decided.compareAndSet(false, true)) {
            return;
        }
        Throwable failure = run(close, Long.MAX_VALUE);
        if (failure != null) {
            String message = redactor.redact(RunnerException.describe(failure));
            channel.send("failed",
                    Map.of("reason", RunnerException.reasonOf(failure, defaultReason), "message", message));
            exit(1);
        }
        channel.send("stopped", Map.of("clean", true));
        exit(0);
    }

    /** Ends with a result. */
    void result(Map<String, ?> fields) {
        if (!decided.compareAndSet(false, true)) {
            return;
        }
        channel.send("result", new HashMap<>(fields));
        exit(0);
    }

    /** Runs close within a time limit. Returns its failure; null if it succeeded. */
    private static Throwable run(Runnable close, long limitMs) {
        CountDownLatch done = new CountDownLatch(1);
        AtomicReference<Throwable> failure = new AtomicReference<>(new TimeoutException("close did not end in time"));
        Thread thread = new Thread(() -> {
            try {
                close.run();
                failure.set(null);
            } catch (Throwable t) {
                log.warn("Closing failed", t);
                failure.set(t);
            } finally {
                done.countDown();
            }
        }, "close");
        thread.setDaemon(true);
        thread.start();
        try {
            done.await(limitMs, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            failure.compareAndSet(null, e);
        }
        return failure.get();
    }

    private static void exit(int code) {
        org.apache.logging.log4j.LogManager.shutdown();
        // Halt: shutdown hooks and threads of a plugin must not delay the exit.
        Runtime.getRuntime().halt(code);
    }
}
