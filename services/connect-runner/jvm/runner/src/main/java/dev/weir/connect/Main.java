package dev.weir.connect;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/** Started by connect-runner's Go entry point, which is the only one to talk to it. */
public final class Main {
    /** System property with the path of the pipe that events are written to. */
    static final String EVENTS = "weir.events";
    /** Liveness asks that the JVM gets around to this: a process that only collects garbage does not. */
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
        this.outcome = new Outcome(channel, redactor);
    }

    /**
     * Reads the settings from standard input and runs until told to stop.
     *
     * @param args none
     * @throws IOException when the Go entry point is not at the other end
     */
    public static void main(String[] args) throws IOException {
        Channel channel = new Channel(System.in, new FileOutputStream(System.getProperty(EVENTS)));
        // A plugin that reads standard input would eat commands.
        System.setIn(InputStream.nullInputStream());
        Settings settings = channel.readSettings();
        new Main(channel, settings, new Redactor()).run();
    }

    private void run() {
        try {
            Logging.configure(settings.logging(), redactor);
            daemon("heartbeat", this::beat);
            daemon("commands", this::obey);
            switch (settings.mode()) {
                case "connector" -> connector();
                case "task" -> task();
                case "validate" -> validate();
                case "offsets" -> offsets();
                default -> throw new IllegalArgumentException("unknown mode " + settings.mode());
            }
        } catch (Throwable t) {
            String otherwise = switch (settings.mode()) {
                case "connector" -> RunnerException.CONNECTOR_FAILED;
                case "task" -> RunnerException.TASK_FAILED;
                case "offsets" -> RunnerException.OFFSETS_FAILED;
                default -> RunnerException.CONFIG_INVALID;
            };
            outcome.fail(RunnerException.reasonOfStart(t, otherwise), t, close.get());
        }
        // Only Outcome ends this process: else it would end by itself when the last task has closed, before saying how.
        while (true) {
            LockSupport.park();
        }
    }

    private void connector() {
        Map<String, String> config = connectorConfig();
        Pod pod = Pod.build(settings, config, redactor, true);
        ConnectorRun run = new ConnectorRun(settings, config, pod, channel, redactor, outcome);
        close.set(run::stop);
        ValidateRun.require(pod.herder(), config, redactor);
        run.start();
    }

    private void task() {
        TaskRun.Config config = taskConfig();
        Pod pod = Pod.build(settings, config.connector(), redactor, true);
        redactor.learnConfig(config.task());
        TaskRun run = new TaskRun(settings, config, pod, channel, outcome);
        close.set(run::stop);
        run.start();
    }

    private void validate() {
        Map<String, String> config = connectorConfig();
        Pod pod = Pod.build(settings, config, redactor, false);
        Map<String, List<String>> errors = ValidateRun.validate(pod.herder(), config, redactor);
        if (Boolean.getBoolean(Rehearsal.PROPERTY)) {
            Rehearsal.run();
        }
        outcome.result(Map.of("errors", errors));
    }

    private void offsets() {
        Map<String, String> config = connectorConfig();
        Pod pod = Pod.build(settings, config, redactor, true);
        close.set(pod::stop);
        outcome.result(OffsetsRun.run(settings, config, pod));
    }

    private Map<String, String> connectorConfig() {
        Map<String, String> config = read(settings.connectorConfigFile(), new TypeReference<Map<String, String>>() { },
                RunnerException.CONFIG_INVALID, "read connector configuration");
        Map<String, String> named = new HashMap<>(config);
        named.put("name", settings.name());
        return named;
    }

    private TaskRun.Config taskConfig() {
        TaskRun.Config config = read(settings.taskConfigFile(), new TypeReference<TaskRun.Config>() { },
                RunnerException.TASK_CONFIG_STALE, "read task configuration");
        if (config.connector() == null || config.task() == null) {
            throw new RunnerException(RunnerException.TASK_CONFIG_STALE, "read task configuration: connector or task is missing from it");
        }
        return config;
    }

    private static <T> T read(String file, TypeReference<T> type, String reason, String act) {
        try {
            return Channel.JSON.readValue(Files.readAllBytes(Path.of(file)), type);
        } catch (JsonProcessingException e) {
            // Jackson quotes the text around the error: that may hold a secret.
            throw new RunnerException(reason, act + ": " + file + " is not the JSON that is wanted, near line "
                    + (e.getLocation() == null ? "?" : e.getLocation().getLineNr()));
        } catch (IOException e) {
            throw new RunnerException(reason, act + ": " + file + " cannot be read");
        }
    }

    private void beat() {
        while (true) {
            channel.send("heartbeat", Map.of());
            try {
                Thread.sleep(HEARTBEAT_MS);
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private void obey() {
        try {
            Metrics metrics = new Metrics(ManagementFactory.getPlatformMBeanServer(), labels());
            // On a thread of its own: a metric that hangs must not keep a stop waiting.
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
        // The entry point is gone, and with it everyone who could stop this process in good order.
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
        // Not a static field: the log is configured by this class.
        return LoggerFactory.getLogger(Main.class);
    }
}
