package dev.weir.connect;

import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.WorkerConfig;
import org.apache.kafka.connect.runtime.isolation.PluginDiscoveryMode;
import org.apache.kafka.connect.runtime.isolation.PluginUtils;
import org.apache.kafka.connect.runtime.isolation.Plugins;
import org.apache.maven.artifact.versioning.VersionRange;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.io.IOException;
import java.net.MalformedURLException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipFile;

/**
 * Finds plugins. Connect's default scans every class of every plugin, which takes most of the start time. This class
 * first uses service manifests, which take a fraction of the time. It uses Connect's default if a plugin that the
 * configuration names has no manifest, or if worker.properties sets plugin.discovery.
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
            String missing = withoutManifest(plugins, worker, connector);
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

    /**
     * Returns the first plugin that the configuration names and that has no service manifest in one of its locations;
     * null if there is none. A location without a manifest may have the newest version.
     */
    private static String withoutManifest(Plugins plugins, Map<String, String> worker, Map<String, String> connector) {
        String name = connector.get(ConnectorConfig.CONNECTOR_CLASS_CONFIG);
        Set<String> classes = new TreeSet<>();
        try {
            VersionRange version =
                    PluginUtils.connectorVersionRequirement(connector.get(ConnectorConfig.CONNECTOR_VERSION));
            classes.add(plugins.newConnector(name, version).getClass().getName());
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
                classes.add(plugins.pluginClass(other).getName());
            } catch (ClassNotFoundException | LinkageError e) {
                return other;
            }
        }
        return inLocationWithoutManifest(plugins, worker.get(WorkerConfig.PLUGIN_PATH_CONFIG), classes);
    }

    private static String inLocationWithoutManifest(Plugins plugins, String path, Set<String> classes) {
        if (path == null) {
            return null;
        }
        Map<String, Set<String>> found = new HashMap<>();
        Stream.of(plugins.connectors(), plugins.converters(), plugins.headerConverters(), plugins.transformations(),
                        plugins.predicates(), plugins.connectorClientConfigPolicies())
                .flatMap(Collection::stream)
                .forEach(plugin -> found.computeIfAbsent(plugin.className(), c -> new HashSet<>())
                        .add(plugin.location()));
        for (Path location : PluginUtils.pluginLocations(path, false)) {
            for (String name : classes) {
                // Classes that are not listed, for example of config providers, come from the class path or have one
                // version.
                if (found.containsKey(name) && !found.get(name).contains(urlOf(location)) && contains(location, name)) {
                    return name + " in " + location;
                }
            }
        }
        return null;
    }

    /** Returns a location in the form of PluginDesc. */
    private static String urlOf(Path location) {
        try {
            return location.toUri().toURL().toString();
        } catch (MalformedURLException e) {
            return location.toString();
        }
    }

    /** Reports whether a plugin location has the file of a class. */
    private static boolean contains(Path location, String name) {
        String entry = name.replace('.', '/') + ".class";
        try {
            for (Path url : PluginUtils.pluginUrls(location)) {
                if (Files.isDirectory(url)) {
                    if (Files.exists(url.resolve(entry))) {
                        return true;
                    }
                    continue;
                }
                try (ZipFile jar = new ZipFile(url.toFile())) {
                    if (jar.getEntry(entry) != null) {
                        return true;
                    }
                }
            }
        } catch (IOException e) {
            log.debug("Reading plugin location {} failed", location, e);
        }
        return false;
    }
}
