package dev.weir.connect;

import org.apache.kafka.common.metrics.PluginMetrics;
import org.apache.kafka.common.metrics.internals.PluginMetricsImpl;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.runtime.AbstractHerder;
import org.apache.kafka.connect.runtime.CloseableConnectorContext;
import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.SinkConnectorConfig;
import org.apache.kafka.connect.runtime.SourceConnectorConfig;
import org.apache.kafka.connect.runtime.TargetState;
import org.apache.kafka.connect.runtime.TooManyTasksException;
import org.apache.kafka.connect.runtime.Worker;
import org.apache.kafka.connect.storage.ClusterConfigState;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/** Runs the connector and sends its task configs to the Go process. */
final class ConnectorRun implements PodHerder.Events {
    private static final Logger log = LoggerFactory.getLogger(ConnectorRun.class);
    private static final long RETRY_MIN_MS = 250;
    private static final long RETRY_MAX_MS = 60_000;

    private final String name;
    private final Map<String, String> config;
    private final Pod pod;
    private final Channel channel;
    private final Redactor redactor;
    private final Outcome outcome;
    private final Debouncer debouncer;
    private final ScheduledExecutorService thread =
            Executors.newSingleThreadScheduledExecutor(r -> new Thread(r, "task-configs"));
    private List<Map<String, String>> published;
    private long retryMs = RETRY_MIN_MS;

    ConnectorRun(Settings settings, Map<String, String> config, Pod pod, Channel channel, Redactor redactor,
            Outcome outcome) {
        this.name = settings.name();
        this.config = config;
        this.pod = pod;
        this.channel = channel;
        this.redactor = redactor;
        this.outcome = outcome;
        this.debouncer = new Debouncer(thread, settings.reconfigureDelayMs(), this::publishAgain);
    }

    void start() {
        pod.herder().listen(this);
        pod.herder().start();
        pod.herder().configs().putConnectorConfig(name, config, TargetState.STARTED);
        startConnector();
    }

    void stop() {
        thread.shutdownNow();
        pod.stop();
    }

    @Override
    public void running() {
        // The connector is ready when the Go process has published its task configs.
    }

    @Override
    public void failed(Throwable cause) {
        String reason = RunnerException.reasonOfStart(cause, RunnerException.CONNECTOR_FAILED);
        new Thread(() -> outcome.fail(reason, cause, this::stop), "exit").start();
    }

    @Override
    public void reconfigure() {
        debouncer.request();
    }

    @Override
    public void reload() {
        log.info("Restarting the connector: a value of a config provider has expired");
        thread.execute(() -> {
            try {
                pod.herder().worker().stopAndAwaitConnector(name);
                startConnector();
            } catch (Throwable t) {
                failed(t);
            }
        });
    }

    private void startConnector() {
        Worker worker = pod.herder().worker();
        ClusterConfigState state = pod.herder().configs().snapshot();
        Context context = new Context(worker.metrics().connectorPluginMetrics(name));
        worker.startConnector(name, state.connectorConfig(name), context, pod.herder(), TargetState.STARTED,
                (error, started) -> {
            if (error != null) {
                failed(error.getCause() == null ? error : error.getCause());
                return;
            }
            thread.execute(() -> {
                try {
                    publish(System.currentTimeMillis());
                } catch (Throwable t) {
                    failed(t);
                }
            });
        });
    }

    private void publishAgain(long requestedAt) {
        try {
            publish(requestedAt);
            retryMs = RETRY_MIN_MS;
        } catch (TooManyTasksException e) {
            // The worker has already failed the connector.
            log.error("The connector returned more task configs than tasks.max", e);
        } catch (Throwable t) {
            // As in Connect, the tasks keep their configs meanwhile.
            log.error("Computing task configs failed; will retry in {} ms", retryMs, t);
            thread.schedule(() -> publishAgain(requestedAt), retryMs, TimeUnit.MILLISECONDS);
            retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
        }
    }

    private void publish(long requestedAt) {
        List<Map<String, String>> tasks = taskConfigs();
        if (tasks.equals(published)) {
            log.info("The task configs are unchanged");
            return;
        }
        Map<String, String> connector = new HashMap<>(config);
        // Without tasks.max, a change of the number of tasks does not restart the tasks that stay.
        connector.remove(ConnectorConfig.TASKS_MAX_CONFIG);
        List<Map<String, Object>> configs = new ArrayList<>();
        for (Map<String, String> task : tasks) {
            // Connect's tasks refuse null values. A missing key has the same meaning.
            task.values().removeIf(Objects::isNull);
            configs.add(Map.of("connector", connector, "task", task));
        }
        boolean exactlyOnce = !pod.isSink() && pod.herder().worker().config().exactlyOnceSourceEnabled();
        channel.send("taskConfigs", Map.of("configs", configs, "requestedAt", requestedAt, "exactlyOnce", exactlyOnce,
                "sink", pod.isSink()));
        published = tasks;
        log.info("Publishing task configs for {} tasks", tasks.size());
    }

    private List<Map<String, String>> taskConfigs() {
        Worker worker = pod.herder().worker();
        ClusterConfigState state = pod.herder().configs().snapshot();
        Map<String, String> resolved = state.connectorConfig(name);
        ConnectorConfig connectorConfig = pod.isSink()
                ? new SinkConnectorConfig(pod.herder().plugins(), resolved)
                : new SourceConnectorConfig(pod.herder().plugins(), resolved, worker.isTopicCreationEnabled());
        List<Map<String, String>> tasks =
                AbstractHerder.reverseTransform(name, state, worker.connectorTaskConfigs(name, connectorConfig));
        for (Map<String, String> task : tasks) {
            // Connect's tasks refuse null values. A missing key has the same meaning.
            task.values().removeIf(Objects::isNull);
            // Connect restores a placeholder only under the same key, but connectors also build values from other
            // values.
            task.replaceAll((key, value) -> value.equals(config.get(key)) ? value
                    : redactor.restorePlaceholders(key, value));
        }
        return tasks;
    }

    /** The context of the connector plugin. */
    private final class Context implements CloseableConnectorContext {
        private final PluginMetricsImpl metrics;
        private volatile boolean closed;

        Context(PluginMetricsImpl metrics) {
            this.metrics = metrics;
        }

        @Override
        public void requestTaskReconfiguration() {
            checkOpen();
            reconfigure();
        }

        @Override
        public void raiseError(Exception e) {
            checkOpen();
            pod.herder().onFailure(name, e);
        }

        @Override
        public PluginMetrics pluginMetrics() {
            return metrics;
        }

        @Override
        public void close() {
            Utils.closeQuietly(metrics, "metrics of the connector plugin");
            closed = true;
        }

        private void checkOpen() {
            if (closed) {
                throw new ConnectException("this instance of connector " + name + " has been shut down");
            }
        }
    }
}
