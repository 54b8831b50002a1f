package dev.weir.connect;

import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.WorkerConfig;
import org.apache.kafka.connect.runtime.isolation.PluginDiscoveryMode;
import org.apache.kafka.connect.runtime.isolation.PluginUtils;
import org.apache.kafka.connect.runtime.isolation.Plugins;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;

/**
 * Finds plugins. Connect's default scans every class of every plugin, which takes most of the start time. This class first
 * uses service manifests, which take a fraction of the time. It uses Connect's default if a plugin that the configuration
 * names has no manifest, or if worker.properties sets plugin.discovery.
 */
final class PluginFinder {
    private static final Logger log = LoggerFactory.getLogger(PluginFinder.class);
    private static final Pattern CLASS_KEYS = Pattern.compile(
            "(key|value|header)\\.converter|(transforms|predicates)\\.[^.]+\\.type|config\\.providers\\.[^.]+\\.class|"
                    + Pattern.quote(WorkerConfig.CONNECTOR_CLIENT_POLICY_CLASS_CONFIG));

    private PluginFinder() {
    }

    static Plugins find(Map<String, String> worker, Map<String, String> connector, Redactor redactor) {
        if (!worker.containsKey(WorkerConfig.PLUGIN_DISCOVERY_CONFIG)) {
            Map<String, String> quick = new HashMap<>(worker);
            quick.put(WorkerConfig.PLUGIN_DISCOVERY_CONFIG, PluginDiscoveryMode.SERVICE_LOAD.toString());
            ClassLoader before = Thread.currentThread().getContextClassLoader();
            Plugins plugins = load(quick, redactor);
            String missing = missing(plugins, worker, connector);
            if (missing == null) {
                return plugins;
            }
            log.info("{} has no service manifest; scanning all classes of all plugins", missing);
            Thread.currentThread().setContextClassLoader(before);
        }
        return load(worker, redactor);
    }

    private static Plugins load(Map<String, String> worker, Redactor redactor) {
        Plugins plugins = new RedactingPlugins(worker, redactor);
        // WorkerConfig may instantiate classes from plugin.path.
        plugins.compareAndSwapWithDelegatingLoader();
        return plugins;
    }

    /** Returns the first plugin that the configuration names and that is not found; null if all are found. */
    private static String missing(Plugins plugins, Map<String, String> worker, Map<String, String> connector) {
        String name = connector.get(ConnectorConfig.CONNECTOR_CLASS_CONFIG);
        try {
            plugins.newConnector(name, PluginUtils.connectorVersionRequirement(connector.get(ConnectorConfig.CONNECTOR_VERSION)));
        } catch (Exception | LinkageError e) {
            return name;
        }
        Set<String> others = new TreeSet<>();
        for (Map<String, String> config : List.of(worker, connector)) {
            config.forEach((key, value) -> {
                if (value != null && !value.isBlank() && CLASS_KEYS.matcher(key).matches()) {
                    others.add(value.trim());
                }
            });
        }
        for (String other : others) {
            try {
                plugins.pluginClass(other);
            } catch (ClassNotFoundException | LinkageError e) {
                return other;
            }
        }
        return null;
    }
}
