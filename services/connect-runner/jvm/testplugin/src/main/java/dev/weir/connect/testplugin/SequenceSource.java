package dev.weir.connect.testplugin;

import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.source.ExactlyOnceSupport;
import org.apache.kafka.connect.source.SourceConnector;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A source whose tasks write their id and consecutive numbers, starting at the stored offset. Settings inject failures.
 */
public class SequenceSource extends SourceConnector {
    static final String TOPIC = "topic";
    static final String COUNT = "count";
    static final String BATCH = "batch";
    static final String PAUSE_MS = "pause.ms";
    static final String FAIL_AT = "fail.at";
    static final String FAIL_WITH = "fail.with";
    static final String PASSWORD = "sequence.password";
    static final String PLAIN_SECRET = "plain.setting";
    static final String PADDING = "padding.bytes";
    static final String STOP_SECONDS = "stop.seconds";
    static final String CONTROL = "control.file";
    static final String WITH_NULL = "with.null";

    static final ConfigDef CONFIG = new ConfigDef()
            .define(TOPIC, Type.STRING, Importance.HIGH, "topic that is written")
            .define(COUNT, Type.LONG, -1L, Importance.LOW, "records of each task; -1 for no end")
            .define(BATCH, Type.INT, 100, ConfigDef.Range.atLeast(1), Importance.LOW, "records of a poll")
            .define(PAUSE_MS, Type.LONG, 0L, Importance.LOW, "pause after a poll")
            .define(FAIL_AT, Type.LONG, -1L, Importance.LOW, "number at which a task fails")
            .define(FAIL_WITH, Type.STRING, "exception", Importance.LOW,
            "exception, memory, direct-memory, exit or exit-3")
            .define(PASSWORD, Type.PASSWORD, "", Importance.LOW, "a secret")
            .define(PLAIN_SECRET, Type.STRING, "", Importance.LOW, "a secret in a setting that does not look like one")
            .define(PADDING, Type.INT, 0, Importance.LOW, "bytes of padding in each task's config")
            .define(STOP_SECONDS, Type.LONG, 0L, Importance.LOW, "how long a task takes to end its last poll")
            .define(CONTROL, Type.STRING, "", Importance.LOW,
                    "file with the revisions of the tasks, separated by commas; read again when it changes; "
                            + "'fail' raises an error")
            .define(WITH_NULL, Type.BOOLEAN, false, Importance.LOW,
                    "whether task configs have a null value, which a Connect worker refuses");

    private Map<String, String> config;
    private volatile String control = "";
    private final CountDownLatch stopped = new CountDownLatch(1);

    @Override
    public String version() {
        return "1";
    }

    @Override
    public void start(Map<String, String> props) {
        config = props;
        if (!config.getOrDefault(CONTROL, "").isEmpty()) {
            control = readControl();
            Thread watcher = new Thread(this::watch, "watch-control");
            watcher.setDaemon(true);
            watcher.start();
        }
        if (config.getOrDefault(FAIL_WITH, "").equals("start")) {
            throw new ConnectException("the connector cannot start with password " + config.get(PASSWORD));
        }
    }

    private void watch() {
        try {
            while (!stopped.await(20, TimeUnit.MILLISECONDS)) {
                String now = readControl();
                if (now.equals(control)) {
                    continue;
                }
                control = now;
                if (now.equals("fail")) {
                    context().raiseError(new ConnectException("the control file says so"));
                } else {
                    // Several requests, which must be debounced.
                    for (int i = 0; i < 20; i++) {
                        context().requestTaskReconfiguration();
                    }
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private String readControl() {
        try {
            Path file = Path.of(config.get(CONTROL));
            return Files.exists(file) ? Files.readString(file).trim() : "";
        } catch (IOException e) {
            throw new ConnectException(e);
        }
    }

    @Override
    public Class<? extends Task> taskClass() {
        return SequenceTask.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int maxTasks) {
        String[] revisions = control.isEmpty() ? new String[maxTasks] : control.split(",");
        List<Map<String, String>> tasks = new ArrayList<>();
        for (int i = 0; i < revisions.length; i++) {
            Map<String, String> task = new HashMap<>(config);
            // tasks.max is not part of the published connector config and must not be part of the task config.
            task.remove("tasks.max");
            task.put("task.id", Integer.toString(i));
            if (Boolean.parseBoolean(config.get(WITH_NULL))) {
                task.put("nothing", null);
            }
            task.put("revision", revisions[i] == null ? "" : revisions[i]);
            task.put("padding", "x".repeat(Integer.parseInt(config.getOrDefault(PADDING, "0"))));
            if (!config.getOrDefault(PASSWORD, "").isEmpty()) {
                task.put("url", "sequence://user:" + config.get(PASSWORD) + "@nowhere/");
            }
            tasks.add(task);
        }
        return tasks;
    }

    @Override
    public ExactlyOnceSupport exactlyOnceSupport(Map<String, String> props) {
        return ExactlyOnceSupport.SUPPORTED;
    }

    @Override
    public boolean alterOffsets(Map<String, String> props, Map<Map<String, ?>, Map<String, ?>> offsets) {
        return true;
    }

    @Override
    public void stop() {
        stopped.countDown();
    }

    @Override
    public ConfigDef config() {
        return CONFIG;
    }
}
