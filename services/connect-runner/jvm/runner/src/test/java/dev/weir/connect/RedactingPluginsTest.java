package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.kafka.common.config.ConfigData;
import org.apache.kafka.common.config.provider.ConfigProvider;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

class RedactingPluginsTest {
    private final Redactor redactor = new Redactor();
    private int calls;

    /** Returns another value each time, as a vault with dynamic credentials does. */
    private final ConfigProvider vault = new ConfigProvider() {
        @Override
        public ConfigData get(String path) {
            return get(path, Set.of("password"));
        }

        @Override
        public ConfigData get(String path, Set<String> keys) {
            calls++;
            Map<String, String> data = new HashMap<>();
            keys.forEach(key -> data.put(key, "s3cret-" + calls));
            return new ConfigData(data, 1_000L);
        }

        @Override
        public void configure(Map<String, ?> configs) {
        }

        @Override
        public void close() {
        }
    };

    @Test
    @DisplayName("every value of a config provider is redacted")
    void redactsEachValue() {
        redactor.learnConfig(Map.of("db.password", "${vault:db:password}", "other.password", "${vault:password}"));
        ConfigProvider provider = new RedactingPlugins.RedactingProvider("vault", vault, redactor);
        assertEquals("s3cret-1", provider.get("db", Set.of("password")).data().get("password"));
        assertEquals(1_000L, provider.get("db", Set.of("password")).ttl());
        provider.get("");
        assertEquals("[hidden], [hidden], s3cret-9", redactor.redact("s3cret-1, s3cret-2, s3cret-9"));
        assertEquals("jdbc:${vault:db:password}@host", redactor.restorePlaceholders("url", "jdbc:s3cret-1@host"));
        assertEquals("${vault:password}", redactor.restorePlaceholders("x", "s3cret-3"));
        assertEquals(3, calls, "no additional calls of the provider");
    }
}
