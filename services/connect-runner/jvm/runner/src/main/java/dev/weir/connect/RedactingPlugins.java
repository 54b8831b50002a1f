package dev.weir.connect;

import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigData;
import org.apache.kafka.common.config.provider.ConfigProvider;
import org.apache.kafka.connect.runtime.WorkerConfig;
import org.apache.kafka.connect.runtime.isolation.Plugins;

import java.io.IOException;
import java.util.Map;
import java.util.Set;

/**
 * Connect's plugins with config providers that pass every value to the redactor before they return it. A separate query
 * for the redactor would not work: a provider may return another value each time.
 */
final class RedactingPlugins extends Plugins {
    private final Redactor redactor;

    RedactingPlugins(Map<String, String> worker, Redactor redactor) {
        super(worker);
        this.redactor = redactor;
    }

    @Override
    public ConfigProvider newConfigProvider(AbstractConfig config, String prefix, ClassLoaderUsage usage) {
        ConfigProvider provider = super.newConfigProvider(config, prefix, usage);
        String name = prefix.substring(WorkerConfig.CONFIG_PROVIDERS_CONFIG.length() + 1);
        return provider == null ? null : new RedactingProvider(name, provider, redactor);
    }

    /** A provider that is already configured. */
    record RedactingProvider(String name, ConfigProvider provider, Redactor redactor) implements ConfigProvider {
        @Override
        public ConfigData get(String path) {
            return learn(path, provider.get(path));
        }

        @Override
        public ConfigData get(String path, Set<String> keys) {
            return learn(path, provider.get(path, keys));
        }

        private ConfigData learn(String path, ConfigData found) {
            String prefix = "${" + name + ":" + (path == null || path.isEmpty() ? "" : path + ":");
            found.data().forEach((key, value) -> redactor.learnResolved(value, prefix + key + "}"));
            return found;
        }

        @Override
        public void configure(Map<String, ?> configs) {
            provider.configure(configs);
        }

        @Override
        public void close() throws IOException {
            provider.close();
        }
    }
}
