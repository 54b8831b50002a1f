package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.apache.kafka.connect.runtime.distributed.DistributedConfig;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

class WorkerPropertiesTest {
    private static final Map<String, String> MINIMUM = Map.of("bootstrap.servers", "localhost:9092",
            "key.converter", "org.apache.kafka.connect.storage.StringConverter",
            "value.converter", "org.apache.kafka.connect.storage.StringConverter");

    private static Settings settings(String mode, String namespace, String zone, String group, boolean isStatic,
            String file) {
        return new Settings(mode, "orders", namespace, 3, zone, file, Map.of(), null, List.of(), group, isStatic,
                "connect-ns-offsets", "", "",
                0, 0, 0, 290_000, 0, null);
    }

    private static WorkerProperties of(Map<String, String> more, Settings settings) {
        Map<String, String> all = new HashMap<>(MINIMUM);
        all.putAll(more);
        return WorkerProperties.of(all, settings);
    }

    @Test
    @DisplayName("settings of a worker cluster are optional")
    void addsDefaults() {
        DistributedConfig config =
                new DistributedConfig(of(Map.of(), settings("task", "ns", "", "namespaced", true, "")).asMap());
        assertEquals("connect-ns", config.groupId());
        assertEquals("connect-ns-offsets", config.offsetsTopic());
        assertEquals(290_000L, config.getLong("task.shutdown.graceful.timeout.ms"));
        assertEquals(290_000L, config.getLong("offset.flush.timeout.ms"));
    }

    @Test
    @DisplayName("offset.storage.topic of worker.properties has precedence over the default topic")
    void keepsTheOffsetsTopic() {
        assertEquals("mine", of(Map.of("offset.storage.topic", "mine"),
                settings("task", "ns", "", "namespaced", true, ""))
                .asMap().get("offset.storage.topic"));
    }

    @Test
    @DisplayName("offset.storage.file.filename is dropped")
    void dropsTheOffsetsFile() {
        assertNull(of(Map.of("offset.storage.file.filename", "/tmp/x"),
                settings("task", "ns", "", "namespaced", true, ""))
                .asMap().get("offset.storage.file.filename"));
    }

    @Test
    @DisplayName("sink tasks are static members of a namespaced group, with the rack of their zone")
    void sinksAreStaticMembers() {
        WorkerProperties p = of(Map.of("consumer.group.instance.id", "same-for-all"),
                settings("task", "ns", "z1", "namespaced", true, ""));
        p.forSink();
        assertEquals("connect-ns-orders", p.asMap().get("consumer.group.id"));
        assertEquals("orders-tasks-3", p.asMap().get("consumer.group.instance.id"));
        assertEquals("z1", p.asMap().get("consumer.client.rack"));
    }

    @Test
    @DisplayName("the group name can be set by flag, by weir.sink.group or by consumer.group.id")
    void groupIsConfigurable() {
        assertEquals("connect-orders", of(Map.of(), settings("task", "ns", "", "connect", true, "")).sinkGroup());
        assertEquals("connect-orders",
                of(Map.of("weir.sink.group", "connect"), settings("task", "ns", "", "namespaced", true, ""))
                        .sinkGroup());
        assertEquals("connect-ns-orders",
                of(Map.of("weir.sink.group", "namespaced"), settings("task", "ns", "", "connect", true, ""))
                        .sinkGroup());
        assertEquals("connect-orders", of(Map.of(), settings("task", "", "", "namespaced", true, "")).sinkGroup());
        WorkerProperties named = of(Map.of("consumer.group.id", "mine", "consumer.client.rack", "r"),
                settings("task", "ns", "z", "namespaced", false, ""));
        named.forSink();
        assertEquals("mine", named.asMap().get("consumer.group.id"));
        assertEquals("r", named.asMap().get("consumer.client.rack"));
        assertFalse(named.asMap().containsKey("consumer.group.instance.id"));
    }

    @Test
    @DisplayName("names that others knows are found; names of clients, topics and plugins are not among them")
    void findsUnknownNames() {
        WorkerProperties p = of(Map.of("request.timeout.ms", "1", "sasl.jaas.config", "x", "producer.anything", "x",
                "offset.storage.anything", "x", "bootstrap.server", "typo", "database.history.consumer.x", "y"),
                settings("task", "ns", "", "namespaced", true, ""));
        Set<String> unknown = p.unknown(new DistributedConfig(p.asMap()).values().keySet());
        assertEquals(Set.of("bootstrap.server", "database.history.consumer.x"), unknown);
    }

    @Test
    @DisplayName("directories of plugins that do not exist are left out of plugin.path")
    void leavesOutMissingDirectories(@TempDir Path dir) {
        WorkerProperties p = of(Map.of("plugin.path", " /nonexistent/a , " + dir),
                settings("task", "ns", "", "namespaced", true, ""));
        assertEquals(dir.toString(), p.asMap().get("plugin.path"));
    }

    @Test
    @DisplayName("a file that is missing or malformed is an invalid worker configuration")
    void refusesBadFiles(@TempDir Path dir) throws IOException {
        Path file = dir.resolve("worker.properties");
        Settings settings = settings("task", "ns", "", "namespaced", true, file.toString());
        RunnerException missing = assertThrows(RunnerException.class, () -> WorkerProperties.load(settings));
        assertEquals(RunnerException.WORKER_CONFIG_INVALID, missing.reason());
        Files.writeString(file, "key=\\uZZZZ");
        RunnerException malformed = assertThrows(RunnerException.class, () -> WorkerProperties.load(settings));
        assertEquals(RunnerException.WORKER_CONFIG_INVALID, malformed.reason());
        assertTrue(RunnerException.describe(malformed).startsWith("read worker configuration"));
    }
}
