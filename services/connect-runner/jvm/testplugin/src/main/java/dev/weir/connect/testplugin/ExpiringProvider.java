package dev.weir.connect.testplugin;

import org.apache.kafka.common.config.ConfigData;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.provider.ConfigProvider;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.Set;

/** A config provider that reads a properties file and returns its values with a configurable time to live. */
public class ExpiringProvider implements ConfigProvider {
    private long ttlMs;

    @Override
    public void configure(Map<String, ?> configs) {
        ttlMs = Long.parseLong(configs.get("ttl.ms").toString());
    }

    @Override
    public ConfigData get(String path) {
        return get(path, Set.of());
    }

    @Override
    public ConfigData get(String path, Set<String> keys) {
        Properties all = new Properties();
        try (Reader in = Files.newBufferedReader(Path.of(path))) {
            all.load(in);
        } catch (IOException e) {
            throw new ConfigException("the vault " + path + " is closed");
        }
        Map<String, String> found = new HashMap<>();
        keys.forEach(key -> found.put(key, all.getProperty(key)));
        return new ConfigData(found, ttlMs);
    }

    @Override
    public void close() {
    }
}
