package dev.weir.connect;

import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.connect.errors.ConnectException;

/** A failure with a termination reason of the contract. */
final class RunnerException extends RuntimeException {
    static final String TASK_FAILED = "TaskFailed";
    static final String CONNECTOR_FAILED = "ConnectorFailed";
    static final String CONFIG_INVALID = "ConfigInvalid";
    static final String WORKER_CONFIG_INVALID = "WorkerConfigInvalid";
    static final String PLUGIN_INVALID = "PluginInvalid";
    static final String TASK_CONFIG_STALE = "TaskConfigStale";
    static final String KAFKA_UNREACHABLE = "KafkaUnreachable";
    static final String OUT_OF_MEMORY = "OutOfMemory";
    static final String OFFSETS_FAILED = "OffsetsFailed";

    private final String reason;

    RunnerException(String reason, String message, Throwable cause) {
        super(message, cause);
        this.reason = reason;
    }

    RunnerException(String reason, String message) {
        this(reason, message, null);
    }

    String reason() {
        return reason;
    }

    /** Returns the reason of a failure from its causes, or the default. */
    static String reasonOf(Throwable failure, String defaultReason) {
        for (Throwable t = failure; t != null; t = next(t)) {
            if (t instanceof RunnerException e) {
                return e.reason;
            }
            if (t instanceof OutOfMemoryError) {
                return OUT_OF_MEMORY;
            }
        }
        for (Throwable t = failure; t != null; t = next(t)) {
            if (t instanceof ClassNotFoundException || t instanceof NoClassDefFoundError || missingPlugin(t)) {
                return PLUGIN_INVALID;
            }
        }
        return defaultReason;
    }

    /**
     * As reasonOf, for a failure during start, when an invalid configuration or an unreachable broker is the likely
     * cause.
     */
    static String reasonOfStart(Throwable failure, String defaultReason) {
        String reason = reasonOf(failure, "");
        if (!reason.isEmpty()) {
            return reason;
        }
        for (Throwable t = failure; t != null; t = next(t)) {
            if (t instanceof ConfigException) {
                return CONFIG_INVALID;
            }
            if (t instanceof TimeoutException) {
                return KAFKA_UNREACHABLE;
            }
        }
        return defaultReason;
    }

    /** Returns one line with the messages of all causes, without repetitions. */
    static String describe(Throwable failure) {
        StringBuilder out = new StringBuilder();
        for (Throwable t = failure; t != null; t = next(t)) {
            String message = t.getMessage();
            String part = message == null || message.isBlank() ? t.getClass().getSimpleName() : message;
            if (t.getCause() != null && part.equals(t.getCause().toString())) {
                continue;
            }
            if (out.indexOf(part) < 0) {
                out.append(out.length() == 0 ? "" : ": ").append(part);
            }
        }
        return oneLine(out.toString());
    }

    /** Returns the message for a failure whose cause is exhausted memory. */
    static String outOfMemory(Throwable failure) {
        String detail = "";
        for (Throwable t = failure; t != null; t = next(t)) {
            if (t instanceof OutOfMemoryError && t.getMessage() != null) {
                detail = oneLine(t.getMessage());
            }
        }
        if (detail.contains("direct buffer memory")) {
            return "the JVM ran out of direct buffer memory (" + detail
                    + "); raise -XX:MaxDirectMemorySize in jvmOptions, "
                    + "or the memory limit";
        }
        return "the JVM ran out of memory" + (detail.isEmpty() ? "" : " (" + detail + ")")
                + "; raise the memory limit, "
                + "or -Xmx if jvmOptions sets it";
    }

    static String oneLine(String text) {
        return text.replaceAll("\\s+", " ").trim();
    }

    private static boolean missingPlugin(Throwable t) {
        // Connect has no exception type for an unknown connector class.
        return t.getClass() == ConnectException.class && t.getMessage() != null
                && t.getMessage().startsWith("Failed to find any class that implements Connector");
    }

    private static Throwable next(Throwable t) {
        return t.getCause() == t ? null : t.getCause();
    }
}
