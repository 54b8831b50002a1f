package dev.weir.connect.testplugin;

import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigDef.Importance;
import org.apache.kafka.common.config.ConfigDef.Type;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A sink whose tasks append records to a file each, and report configured values to the errant record reporter. */
public class RecordingSink extends SinkConnector {
    static final String DIR = "dir";
    static final String REJECT = "reject";

    static final ConfigDef CONFIG = new ConfigDef()
            .define(DIR, Type.STRING, Importance.HIGH, "directory of the files")
            .define(REJECT, Type.STRING, "", Importance.LOW, "value that is reported as errant");

    private Map<String, String> config;

    @Override
    public String version() {
        return "1";
    }

    @Override
    public void start(Map<String, String> props) {
        config = props;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return RecordingTask.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int maxTasks) {
        List<Map<String, String>> tasks = new ArrayList<>();
        for (int i = 0; i < maxTasks; i++) {
            Map<String, String> task = new HashMap<>(config);
            task.remove("tasks.max");
            task.put("task.id", Integer.toString(i));
            tasks.add(task);
        }
        return tasks;
    }

    @Override
    public boolean alterOffsets(Map<String, String> props, Map<TopicPartition, Long> offsets) {
        return true;
    }

    @Override
    public void stop() {
    }

    @Override
    public ConfigDef config() {
        return CONFIG;
    }
}
