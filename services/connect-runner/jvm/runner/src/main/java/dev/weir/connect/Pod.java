package dev.weir.connect;

import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.connect.connector.Connector;
import org.apache.kafka.connect.connector.policy.ConnectorClientConfigOverridePolicy;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.json.JsonConverterConfig;
import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.Worker;
import org.apache.kafka.connect.runtime.WorkerConfig;
import org.apache.kafka.connect.runtime.WorkerConfigTransformer;
import org.apache.kafka.connect.runtime.distributed.DistributedConfig;
import org.apache.kafka.connect.runtime.isolation.LoaderSwap;
import org.apache.kafka.connect.runtime.isolation.PluginUtils;
import org.apache.kafka.connect.runtime.isolation.Plugins;
import org.apache.kafka.connect.storage.KafkaOffsetBackingStore;
import org.apache.kafka.connect.storage.MemoryOffsetBackingStore;
import org.apache.kafka.connect.storage.OffsetBackingStore;
import org.apache.kafka.connect.util.ConnectUtils;
import org.apache.kafka.connect.util.SharedTopicAdmin;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/**
 * Kafka Connect's Worker for one connector or task, built as in ConnectDistributed, but without a cluster of workers.
 */
final class Pod {
    private static final Logger log = LoggerFactory.getLogger(Pod.class);
    private static final long ABORT_SECONDS = 30;

    private final PodHerder herder;
    private final boolean sink;
    private final AutoCloseable admin;
    private final Map<String, Object> adminProps;

    private Pod(PodHerder herder, boolean sink, AutoCloseable admin, Map<String, Object> adminProps) {
        this.herder = herder;
        this.sink = sink;
        this.admin = admin;
        this.adminProps = adminProps;
    }

    /**
     * Builds the worker for a connector.
     *
     * @param connector the connector's configuration, with placeholders
     * @param broker    whether to connect to Kafka; validation needs no broker
     * @throws RunnerException for invalid worker properties, a missing plugin or an unreachable broker
     */
    static Pod build(Settings settings, Map<String, String> connector, Redactor redactor, boolean broker) {
        WorkerProperties properties = WorkerProperties.load(settings);
        redactor.learnConfig(properties.asMap());
        redactor.learnConfig(connector);
        Plugins plugins = PluginFinder.find(properties.asMap(), connector, redactor);
        Connector instance = newConnector(plugins, connector);
        boolean sink = ConnectUtils.isSinkConnector(instance);
        if (sink) {
            properties.forSink();
        }
        WorkerConfig config = workerConfig(properties, broker, redactor);
        Set<String> unknown = properties.unknown(config.values().keySet());
        if (!unknown.isEmpty()) {
            log.warn("worker.properties has settings that Kafka Connect does not know; "
                    + "they are passed to clients and plugins: {}",
                    unknown);
        }
        String clusterId = clusterId(config);
        ConnectorClientConfigOverridePolicy policy = plugins.newPlugin(
                config.getString(WorkerConfig.CONNECTOR_CLIENT_POLICY_CLASS_CONFIG), config,
                ConnectorClientConfigOverridePolicy.class);
        String workerId = settings.namespace() + "/" + settings.name()
                + (settings.mode().equals("task") ? "-tasks-" + settings.taskId() : "-connector");
        String clientIdBase = settings.name() + "-";
        SharedTopicAdmin admin = null;
        Map<String, Object> adminProps = new HashMap<>();
        OffsetBackingStore offsets = new NoOffsets();
        if (!sink && broker) {
            adminProps.putAll(config.originals());
            ConnectUtils.addMetricsContextProperties(adminProps, config, clusterId);
            adminProps.put(CommonClientConfigs.CLIENT_ID_CONFIG, clientIdBase + "shared-admin");
            admin = new SharedTopicAdmin(adminProps);
            offsets = new KafkaOffsetBackingStore(admin, () -> clientIdBase, plugins.newInternalConverter(
                    true, JsonConverter.class.getName(), Map.of(JsonConverterConfig.SCHEMAS_ENABLE_CONFIG, "false")));
        }
        offsets.configure(config);
        Worker worker = new Worker(workerId, Time.SYSTEM, plugins, config, offsets, policy);
        learnSecrets(worker.configTransformer(), plugins, instance, connector, redactor);
        if (sink && broker) {
            adminProps.putAll(groupAdminProps(config, worker.configTransformer().transform(connector)));
        }
        return new Pod(new ExactlyOnceChecks(worker, clusterId, policy), sink, admin, adminProps);
    }

    PodHerder herder() {
        return herder;
    }

    boolean isSink() {
        return sink;
    }

    /**
     * Aborts the open transaction of a killed predecessor. The task's producer would do so too, but only after the
     * worker has read the offsets topic to its end, which waits until open transactions time out.
     */
    void abortTransaction(String transactionalId) {
        try (Admin client = Admin.create(adminProps)) {
            client.fenceProducers(List.of(transactionalId)).all().get(ABORT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | java.util.concurrent.TimeoutException e) {
            log.warn("Aborting the last transaction of {} failed; the start may wait until it times out",
                    transactionalId, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Returns an admin client with the settings that Connect uses for a sink's consumer group. */
    Admin groupAdmin() {
        return Admin.create(adminProps);
    }

    void stop() {
        try {
            herder.stop();
        } finally {
            if (admin != null) {
                Utils.closeQuietly(admin, "admin client");
            }
        }
    }

    /** As in Connect's Worker: worker settings, those with the prefix admin., and the connector's overrides. */
    private static Map<String, Object> groupAdminProps(WorkerConfig config, Map<String, String> connector) {
        Map<String, Object> props = new HashMap<>(config.originals());
        props.keySet().removeIf(key -> key.startsWith("admin.") || key.startsWith("producer.")
                || key.startsWith("consumer."));
        props.putAll(config.originalsWithPrefix("admin."));
        connector.forEach((key, value) -> {
            if (key.startsWith(ConnectorConfig.CONNECTOR_CLIENT_ADMIN_OVERRIDES_PREFIX)) {
                props.put(key.substring(ConnectorConfig.CONNECTOR_CLIENT_ADMIN_OVERRIDES_PREFIX.length()), value);
            }
        });
        return props;
    }

    private static Connector newConnector(Plugins plugins, Map<String, String> connector) {
        String name = connector.get(ConnectorConfig.CONNECTOR_CLASS_CONFIG);
        if (name == null || name.isBlank()) {
            throw new RunnerException(RunnerException.CONFIG_INVALID,
                    "connector.class is missing from the connector's configuration");
        }
        try {
            return plugins.newConnector(name,
                    PluginUtils.connectorVersionRequirement(connector.get(ConnectorConfig.CONNECTOR_VERSION)));
        } catch (Exception | LinkageError e) {
            // Connect's message lists all known plugins, which is too long for one line.
            String detail = RunnerException.describe(e).replaceFirst(", available connectors are: .*", "");
            throw new RunnerException(RunnerException.PLUGIN_INVALID, "load the connector class " + name
                    + " (add its plugin with downloadPlugins, plugins or an image): " + detail);
        }
    }

    private static WorkerConfig workerConfig(WorkerProperties properties, boolean broker, Redactor redactor) {
        try {
            // First without logging: Connect could log a resolved placeholder before the redactor knows its value.
            Map<String, String> resolved = new AbstractConfig(new ConfigDef(), properties.asMap(), false)
                    .originalsStrings();
            redactor.learnResolved(properties.asMap(), resolved);
            redactor.learnConfig(resolved);
            DistributedConfig config = new DistributedConfig(resolved);
            redactor.learnConfig(config.values());
            return broker ? config : new Offline(config);
        } catch (ConfigException e) {
            throw new RunnerException(RunnerException.WORKER_CONFIG_INVALID, "read worker configuration", e);
        }
    }

    private static String clusterId(WorkerConfig config) {
        try {
            return config.kafkaClusterId();
        } catch (Exception e) {
            for (Throwable t = e; t != null; t = t.getCause()) {
                if (t instanceof ConfigException) {
                    throw new RunnerException(RunnerException.WORKER_CONFIG_INVALID, "connect to Kafka", e);
                }
                if (t instanceof TimeoutException) {
                    throw new RunnerException(RunnerException.KAFKA_UNREACHABLE,
                            "connect to Kafka at " + config.getList(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG), e);
                }
            }
            throw new RunnerException(RunnerException.KAFKA_UNREACHABLE, "connect to Kafka", e);
        }
    }

    private static void learnSecrets(WorkerConfigTransformer transformer, Plugins plugins, Connector instance,
            Map<String, String> connector, Redactor redactor) {
        // Definitions may use classes of the plugin.
        try (LoaderSwap swap = plugins.withClassLoader(instance.getClass().getClassLoader())) {
            ConfigDef definition = instance.config();
            if (definition != null) {
                definition.configKeys().values().stream().filter(key -> key.type == ConfigDef.Type.PASSWORD)
                        .forEach(key -> redactor.secretKey(key.name));
            }
        }
        redactor.learnConfig(connector);
        try {
            // The config providers pass their values to the redactor.
            redactor.learnConfig(transformer.transform(connector));
        } catch (RuntimeException e) {
            throw new RunnerException(RunnerException.CONFIG_INVALID,
                    "resolve the placeholders of the connector's configuration", e);
        }
    }

    /** The worker's configuration for validation. Connect's own class asks a broker for the cluster id. */
    private static final class Offline extends WorkerConfig {
        private final DistributedConfig real;

        Offline(DistributedConfig real) {
            super(baseConfigDef(), real.originalsStrings());
            this.real = real;
        }

        @Override
        public String kafkaClusterId() {
            return "unknown";
        }

        @Override
        public boolean exactlyOnceSourceEnabled() {
            return real.exactlyOnceSourceEnabled();
        }

        @Override
        public boolean connectorOffsetsTopicsPermitted() {
            return real.connectorOffsetsTopicsPermitted();
        }

        @Override
        public String groupId() {
            return real.groupId();
        }
    }

    /** Sinks store their offsets in their consumer group. */
    private static final class NoOffsets extends MemoryOffsetBackingStore {
        @Override
        public Set<Map<String, Object>> connectorPartitions(String connectorName) {
            return Set.of();
        }
    }
}
