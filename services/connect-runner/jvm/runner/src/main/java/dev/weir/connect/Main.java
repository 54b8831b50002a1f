package dev.weir.connect;

import com.fasterxml.jackson.databind.JsonNode;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/** The main class. connect-runner's Go process starts it and is its only client. */
public final class Main {
    /** System property with the path of the pipe for events. */
    static final String EVENTS = "weir.events";
    /** Liveness depends on heartbeats: a process that only collects garbage sends none. */
    private static final long HEARTBEAT_MS = 2_000;

    private final Channel channel;
    private final Settings settings;
    private final Redactor redactor;
    private final Outcome outcome;
    private final AtomicReference<Runnable> close = new AtomicReference<>(() -> { });

    private Main(Channel channel, Settings settings, Redactor redactor) {
        this.channel = channel;
        this.settings = settings;
        this.redactor = redactor;
        this.outcome = new Outcome(channel, redactor, defaultReason());
    }

    /**
     * Reads the settings from standard input and runs until the stop command.
     *
     * @param args none
     * @throws IOException if the Go process is not at the other end of the pipe
     */
    public static void main(String[] args) throws IOException {
        Channel channel = new Channel(System.in, new FileOutputStream(System.getProperty(EVENTS)));
        // Plugins must not read commands.
        System.setIn(InputStream.nullInputStream());
        Settings settings = channel.readSettings();
        new Main(channel, settings, new Redactor()).run();
    }

    private void run() {
        try {
            Logging.configure(settings.logging(), redactor);
            daemon("heartbeat", this::sendHeartbeats);
            daemon("commands", this::readCommands);
            switch (settings.mode()) {
                case "connector" -> connector();
                case "task" -> task();
                case "validate" -> validate();
                case "offsets" -> offsets();
                default -> throw new IllegalArgumentException("unknown mode " + settings.mode());
            }
        } catch (Throwable t) {
            outcome.fail(RunnerException.reasonOfStart(t, defaultReason()), t, close.get());
        }
        // Only Outcome ends this process. Otherwise it would exit when the last task has closed, before it reports.
        while (true) {
            LockSupport.park();
        }
    }

    private String defaultReason() {
        return switch (settings.mode()) {
            case "connector" -> RunnerException.CONNECTOR_FAILED;
            case "task" -> RunnerException.TASK_FAILED;
            case "offsets" -> RunnerException.OFFSETS_FAILED;
            default -> RunnerException.CONFIG_INVALID;
        };
    }

    private void connector() {
        Map<String, String> config = settings.connectorConfig();
        Pod pod = Pod.build(settings, config, redactor, true);
        ConnectorRun run = new ConnectorRun(settings, config, pod, channel, redactor, outcome);
        close.set(run::stop);
        ValidateRun.require(pod.herder(), config, redactor);
        run.start();
    }

    private void task() {
        TaskRun.Config config = settings.task();
        Pod pod = Pod.build(settings, config.connector(), redactor, true);
        redactor.learnConfig(config.task());
        TaskRun run = new TaskRun(settings, config, pod, channel, outcome);
        close.set(run::stop);
        run.start();
    }

    private void validate() {
        Map<String, String> config = settings.connectorConfig();
        Pod pod = Pod.build(settings, config, redactor, false);
        Map<String, List<String>> errors = ValidateRun.validate(pod.herder(), config, redactor);
        if (Boolean.getBoolean(ArchiveTraining.PROPERTY)) {
            ArchiveTraining.run(settings, config, pod, channel, outcome, redactor);
        }
        outcome.result(Map.of("errors", errors));
    }

    private void offsets() {
        Map<String, String> config = settings.connectorConfig();
        Pod pod = Pod.build(settings, config, redactor, true);
        close.set(pod::stop);
        outcome.result(OffsetsRun.run(settings, config, pod));
    }

    private void sendHeartbeats() {
        while (true) {
            channel.send("heartbeat", Map.of());
            try {
                Thread.sleep(HEARTBEAT_MS);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private void readCommands() {
        try {
            Metrics metrics = new Metrics(ManagementFactory.getPlatformMBeanServer(), labels());
            // A separate thread: a metric that hangs must not delay a stop.
            ExecutorService scrapes = Executors.newSingleThreadExecutor(body -> thread("metrics", body));
            for (JsonNode command = channel.read(); command != null; command = channel.read()) {
                switch (command.path("command").asText()) {
                    case "stop" -> daemon("stop", () -> outcome.stopped(close.get()));
                    case "metrics" -> {
                        long id = command.path("id").asLong();
                        scrapes.execute(() -> channel.send("metrics", Map.of("id", id, "text", metrics.text())));
                    }
                    default -> log().warn("Unknown command {}", command.path("command").asText());
                }
            }
        } catch (IOException | RuntimeException e) {
            log().error("Reading commands failed", e);
        }
        // The Go process has exited, so no process could stop this one gracefully.
        Runtime.getRuntime().halt(1);
    }

    private Map<String, String> labels() {
        Map<String, String> labels = new TreeMap<>();
        labels.put("connector", settings.name());
        if (settings.mode().equals("task")) {
            labels.put("task", Integer.toString(settings.taskId()));
        }
        return labels;
    }

    private static void daemon(String name, Runnable body) {
        thread(name, body).start();
    }

    private static Thread thread(String name, Runnable body) {
        Thread thread = new Thread(body, name);
        thread.setDaemon(true);
        return thread;
    }

    private static Logger log() {
        // Not a static field: this class configures the log.
        return LoggerFactory.getLogger(Main.class);
    }
}
