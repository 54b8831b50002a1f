package dev.weir.connect;

import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.connector.policy.ConnectorClientConfigOverridePolicy;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.runtime.AbstractHerder;
import org.apache.kafka.connect.runtime.HerderRequest;
import org.apache.kafka.connect.runtime.RestartRequest;
import org.apache.kafka.connect.runtime.TargetState;
import org.apache.kafka.connect.runtime.Worker;
import org.apache.kafka.connect.runtime.rest.InternalRequestSignature;
import org.apache.kafka.connect.runtime.rest.entities.ConnectorInfo;
import org.apache.kafka.connect.runtime.rest.entities.ConnectorStateInfo;
import org.apache.kafka.connect.runtime.rest.entities.Message;
import org.apache.kafka.connect.runtime.rest.entities.TaskInfo;
import org.apache.kafka.connect.storage.MemoryConfigBackingStore;
import org.apache.kafka.connect.storage.MemoryStatusBackingStore;
import org.apache.kafka.connect.storage.StatusBackingStore;
import org.apache.kafka.connect.util.Callback;
import org.apache.kafka.connect.util.ConnectorTaskId;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * The herder of a pod with one connector or one task. Connect's Worker reports to it. Operations of a cluster of
 * workers are refused: Kubernetes performs them.
 */
class PodHerder extends AbstractHerder {
    /** Receives the events of the connector or task. */
    interface Events {
        /** The connector or task is running. */
        void running();

        /** The connector or task has failed. It does not run again in this process. */
        void failed(Throwable cause);

        /** The connector requested new task configs. */
        void reconfigure();

        /** A value of a config provider has expired; the configuration must be resolved again. */
        void reload();
    }

    private final MemoryConfigBackingStore configs;
    private final ScheduledExecutorService reloads = Executors.newSingleThreadScheduledExecutor(r -> {
        Thread thread = new Thread(r, "config-reload");
        thread.setDaemon(true);
        return thread;
    });
    private volatile Events events;
    /** The connector or task that has started and has not shut down. */
    private final Set<String> running = ConcurrentHashMap.newKeySet();

    PodHerder(Worker worker, String clusterId, ConnectorClientConfigOverridePolicy policy) {
        this(worker, clusterId, policy, new MemoryStatusBackingStore(),
                new MemoryConfigBackingStore(worker.configTransformer()));
    }

    private PodHerder(Worker worker, String clusterId, ConnectorClientConfigOverridePolicy policy,
            StatusBackingStore status,
            MemoryConfigBackingStore configs) {
        super(worker, worker.workerId(), clusterId, status, configs, policy, Time.SYSTEM);
        this.configs = configs;
    }

    Worker worker() {
        return worker;
    }

    MemoryConfigBackingStore configs() {
        return configs;
    }

    void listen(Events listener) {
        this.events = listener;
    }

    @Override
    public void start() {
        startServices();
        ready();
    }

    @Override
    public void stop() {
        reloads.shutdownNow();
        worker.stopAndAwaitConnectors();
        worker.stopAndAwaitTasks();
        stopServices();
        // The worker only logs that a connector or task has not stopped in time.
        if (!running.isEmpty()) {
            throw new ConnectException(running
                    + " did not stop within the graceful shutdown timeout, its stop or last poll "
                    + "hangs; uncommitted records are processed again");
        }
    }

    @Override
    public void onStartup(String connector) {
        super.onStartup(connector);
        running.add("connector " + connector);
        events.running();
    }

    @Override
    public void onStartup(ConnectorTaskId id) {
        super.onStartup(id);
        running.add("task " + id);
        events.running();
    }

    @Override
    public void onFailure(String connector, Throwable cause) {
        super.onFailure(connector, cause);
        running.remove("connector " + connector);
        events.failed(cause);
    }

    @Override
    public void onFailure(ConnectorTaskId id, Throwable cause) {
        super.onFailure(id, cause);
        running.remove("task " + id);
        events.failed(cause);
    }

    @Override
    public void onShutdown(String connector) {
        super.onShutdown(connector);
        running.remove("connector " + connector);
    }

    @Override
    public void onShutdown(ConnectorTaskId id) {
        super.onShutdown(id);
        running.remove("task " + id);
    }

    @Override
    public void requestTaskReconfiguration(String connName) {
        events.reconfigure();
    }

    @Override
    public HerderRequest restartConnector(long delayMs, String connName, Callback<Void> cb) {
        if (events == null) {
            // validate and offsets end before a value expires.
            return () -> { };
        }
        ScheduledFuture<?> future = reloads.schedule(events::reload, delayMs, TimeUnit.MILLISECONDS);
        return () -> future.cancel(false);
    }

    @Override
    protected int generation() {
        return 0;
    }

    @Override
    protected Map<String, String> rawConfig(String connName) {
        return configs.snapshot().rawConnectorConfig(connName);
    }

    @Override
    protected void modifyConnectorOffsets(String connName, Map<Map<String, ?>, Map<String, ?>> offsets,
            Callback<Message> cb) {
        worker.modifyConnectorOffsets(connName, configs.snapshot().connectorConfig(connName), offsets, cb);
    }

    @Override
    public void healthCheck(Callback<Void> callback) {
        callback.onCompletion(null, null);
    }

    @Override
    public void connectors(Callback<Collection<String>> callback) {
        callback.onCompletion(null, connectors());
    }

    @Override
    public void connectorInfo(String connName, Callback<ConnectorInfo> callback) {
        callback.onCompletion(null, connectorInfo(connName));
    }

    @Override
    public void taskConfigs(String connName, Callback<List<TaskInfo>> callback) {
        throw refused();
    }

    @Override
    public void putConnectorConfig(String connName, Map<String, String> config, boolean allowReplace,
            Callback<Created<ConnectorInfo>> callback) {
        throw refused();
    }

    @Override
    public void putConnectorConfig(String connName, Map<String, String> config, TargetState targetState,
            boolean allowReplace,
            Callback<Created<ConnectorInfo>> callback) {
        throw refused();
    }

    @Override
    public void patchConnectorConfig(String connName, Map<String, String> patch,
            Callback<Created<ConnectorInfo>> callback) {
        throw refused();
    }

    @Override
    public void deleteConnectorConfig(String connName, Callback<Created<ConnectorInfo>> callback) {
        throw refused();
    }

    @Override
    public void putTaskConfigs(String connName, List<Map<String, String>> taskConfigs, Callback<Void> callback,
            InternalRequestSignature requestSignature) {
        throw refused();
    }

    @Override
    public void fenceZombieSourceTasks(String connName, Callback<Void> callback,
            InternalRequestSignature requestSignature) {
        throw refused();
    }

    @Override
    public void restartTask(ConnectorTaskId id, Callback<Void> cb) {
        throw refused();
    }

    @Override
    public void restartConnector(String connName, Callback<Void> cb) {
        throw refused();
    }

    @Override
    public void restartConnectorAndTasks(RestartRequest request, Callback<ConnectorStateInfo> cb) {
        throw refused();
    }

    @Override
    public void stopConnector(String connector, Callback<Void> cb) {
        throw refused();
    }

    @Override
    public void setClusterLoggerLevel(String namespace, String level) {
        throw refused();
    }

    private static ConnectException refused() {
        return new ConnectException("not supported in a pod; change the KafkaConnector instead");
    }
}
