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
 * Connect's plugins, whose config providers tell the redactor every value before anybody else gets it. Asking a provider
 * for the redactor's sake would not do: some hand out another value each time, and all may after a while.
 */
final class WatchedPlugins extends Plugins {
    private final Redactor redactor;

    WatchedPlugins(Map<String, String> worker, Redactor redactor) {
        super(worker);
        this.redactor = redactor;
    }

    @Override
    public ConfigProvider newConfigProvider(AbstractConfig config, String prefix, ClassLoaderUsage usage) {
        ConfigProvider provider = super.newConfigProvider(config, prefix, usage);
        String name = prefix.substring(WorkerConfig.CONFIG_PROVIDERS_CONFIG.length() + 1);
        return provider == null ? null : new Watched(name, provider, redactor);
    }

    /** A provider that is configured already. */
    record Watched(String name, ConfigProvider provider, Redactor redactor) implements ConfigProvider {
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
