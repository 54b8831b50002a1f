package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.kafka.common.config.ConfigData;
import org.apache.kafka.common.config.provider.ConfigProvider;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

class WatchedPluginsTest {
    private final Redactor redactor = new Redactor();
    private int asked;

    /** Hands out another value each time, as a vault of dynamic credentials does. */
    private final ConfigProvider vault = new ConfigProvider() {
        @Override
        public ConfigData get(String path) {
            return get(path, Set.of("password"));
        }

        @Override
        public ConfigData get(String path, Set<String> keys) {
            asked++;
            Map<String, String> data = new HashMap<>();
            keys.forEach(key -> data.put(key, "s3cret-" + asked));
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
    @DisplayName("each value that a config provider hands out is known from then on")
    void learnsEachValue() {
        ConfigProvider watched = new WatchedPlugins.Watched("vault", vault, redactor);
        assertEquals("s3cret-1", watched.get("db", Set.of("password")).data().get("password"));
        assertEquals(1_000L, watched.get("db", Set.of("password")).ttl());
        watched.get("");
        assertEquals("[hidden], [hidden], s3cret-9", redactor.redact("s3cret-1, s3cret-2, s3cret-9"));
        assertEquals("jdbc:${vault:db:password}@host", redactor.restorePlaceholders("jdbc:s3cret-1@host"));
        assertEquals("${vault:password}", redactor.restorePlaceholders("s3cret-3"));
        assertEquals(3, asked, "the provider is asked no more often than Connect asks it");
    }
}
