package dev.weir.connect;

import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.connect.runtime.WorkerConfig;
import org.apache.kafka.connect.runtime.distributed.DistributedConfig;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** worker.properties with connect-runner's defaults. */
final class WorkerProperties {
    /** Worker property for a sink's consumer group: namespaced (connect-namespace-name) or connect (connect-name). */
    static final String SINK_GROUP = "weir.sink.group";
    static final String SINK_GROUP_CONNECT = "connect";

    // Prefixes of settings of Connect's workers and of plugins.
    private static final List<String> PREFIXES = List.of("producer.", "consumer.", "admin.", "key.converter.",
            "value.converter.", "header.converter.", "config.providers.", "offset.storage.", "config.storage.",
            "status.storage.", "metrics.context.",
            "listeners.", "metric.reporters.", "internal.", "weir.");
    // A setting of Connect's standalone mode. Connect would treat it as a setting of the offsets topic.
    private static final String OFFSETS_FILE = "offset.storage.file.filename";

    private final Map<String, String> properties;
    private final Settings settings;

    private WorkerProperties(Map<String, String> properties, Settings settings) {
        this.properties = properties;
        this.settings = settings;
    }

    static WorkerProperties load(Settings settings) {
        Path file = Path.of(settings.workerConfigFile());
        if (!Files.isReadable(file)) {
            throw new RunnerException(RunnerException.WORKER_CONFIG_INVALID,
                    "read worker configuration: " + file + " is not readable");
        }
        try {
            return of(Utils.propsToStringMap(Utils.loadProps(file.toString())), settings);
        } catch (IOException | IllegalArgumentException e) {
            throw new RunnerException(RunnerException.WORKER_CONFIG_INVALID, "read worker configuration " + file, e);
        }
    }

    static WorkerProperties of(Map<String, String> given, Settings settings) {
        Map<String, String> properties = new HashMap<>(given);
        properties.remove(OFFSETS_FILE);
        String group = "connect" + (settings.namespace().isEmpty() ? "" : "-" + settings.namespace());
        // Connect requires these names, although there is no group of workers and no topic for configurations or
        // status.
        properties.putIfAbsent(DistributedConfig.GROUP_ID_CONFIG, group);
        properties.putIfAbsent(DistributedConfig.OFFSET_STORAGE_TOPIC_CONFIG, settings.offsetsTopic());
        properties.putIfAbsent(DistributedConfig.CONFIG_TOPIC_CONFIG, "unused");
        properties.putIfAbsent(DistributedConfig.STATUS_STORAGE_TOPIC_CONFIG, "unused");
        String stopTimeout = Long.toString(settings.stopTimeoutMs());
        properties.putIfAbsent(WorkerConfig.TASK_SHUTDOWN_GRACEFUL_TIMEOUT_MS_CONFIG, stopTimeout);
        properties.putIfAbsent(WorkerConfig.OFFSET_COMMIT_TIMEOUT_MS_CONFIG, stopTimeout);
        String path = pluginPath(properties.remove(WorkerConfig.PLUGIN_PATH_CONFIG), settings.pluginPath());
        if (!path.isEmpty()) {
            properties.put(WorkerConfig.PLUGIN_PATH_CONFIG, path);
        }
        return new WorkerProperties(properties, settings);
    }

    Map<String, String> asMap() {
        return properties;
    }

    /**
     * Adds the defaults of a sink: consumer group and static membership. worker.properties and the connector override
     * them.
     */
    void forSink() {
        String consumer = "consumer.";
        properties.putIfAbsent(consumer + ConsumerConfig.GROUP_ID_CONFIG, sinkGroup());
        if (settings.mode().equals("task") && settings.staticMembership()) {
            // A value in worker.properties is overridden: tasks with the same id would fence each other.
            properties.put(consumer + CommonClientConfigs.GROUP_INSTANCE_ID_CONFIG,
                    memberId(settings.name(), settings.taskId()));
        }
        if (!settings.zone().isEmpty()) {
            properties.putIfAbsent(consumer + CommonClientConfigs.CLIENT_RACK_CONFIG, settings.zone());
        }
    }

    /** Returns the group.instance.id of a sink task. */
    static String memberId(String connector, int task) {
        return connector + "-tasks-" + task;
    }

    String sinkGroup() {
        String choice = properties.getOrDefault(SINK_GROUP, settings.sinkGroup());
        boolean plain = SINK_GROUP_CONNECT.equals(choice) || settings.namespace().isEmpty();
        return "connect-" + (plain ? "" : settings.namespace() + "-") + settings.name();
    }

    /** Returns the unknown names, which are usually typing errors. */
    Set<String> unknown(Set<String> worker) {
        Set<String> known = new HashSet<>(worker);
        known.addAll(ProducerConfig.configNames());
        known.addAll(ConsumerConfig.configNames());
        known.addAll(AdminClientConfig.configNames());
        Set<String> unknown = new TreeSet<>();
        for (String key : properties.keySet()) {
            if (!known.contains(key) && PREFIXES.stream().noneMatch(key::startsWith)) {
                unknown.add(key);
            }
        }
        return unknown;
    }

    private static String pluginPath(String given, List<String> more) {
        List<String> path = new ArrayList<>();
        if (given != null) {
            for (String entry : given.split(",")) {
                path.add(entry.trim());
            }
        }
        path.addAll(more);
        // Connect logs a stack trace for each missing directory, and an image may lack some of them.
        return String.join(",",
                path.stream().distinct().filter(p -> !p.isEmpty() && Files.isDirectory(Path.of(p))).toList());
    }
}
