package dev.weir.connect;

import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.Herder.ConfigReloadAction;
import org.apache.kafka.connect.runtime.TargetState;
import org.apache.kafka.connect.runtime.Worker;
import org.apache.kafka.connect.storage.ClusterConfigState;
import org.apache.kafka.connect.util.ConnectorTaskId;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** Runs one task. */
final class TaskRun implements PodHerder.Events {
    private static final Logger log = LoggerFactory.getLogger(TaskRun.class);

    /** The connector's configuration and the task's, with placeholders. */
    record Config(Map<String, String> connector, Map<String, String> task) {
    }

    private final String name;
    private final ConnectorTaskId id;
    private final Pod pod;
    private final Channel channel;
    private final Outcome outcome;
    private final ClusterConfigState state;
    private volatile boolean started;
    private volatile boolean stopping;

    TaskRun(Settings settings, Config config, Pod pod, Channel channel, Outcome outcome) {
        this.name = settings.name();
        this.id = new ConnectorTaskId(name, settings.taskId());
        this.pod = pod;
        this.channel = channel;
        this.outcome = outcome;
        config.task().values().removeIf(Objects::isNull);
        // The state of a cluster with this task only. Reading it resolves placeholders.
        this.state = new ClusterConfigState(ClusterConfigState.NO_OFFSET, null, Map.of(name, 1),
                Map.of(name, config.connector()), Map.of(name, TargetState.STARTED), Map.of(id, config.task()),
                Map.of(),
                Map.of(), Map.of(), Set.of(), Set.of(), pod.herder().worker().configTransformer());
    }

    void start() {
        pod.herder().listen(this);
        if (exactlyOnce()) {
            pod.abortTransaction(Worker.taskTransactionalId(pod.herder().worker().config().groupId(), name, id.task()));
        }
        pod.herder().start();
        startTask();
    }

    void stop() {
        stopping = true;
        pod.stop();
    }

    @Override
    public void running() {
        started = true;
        channel.send("running", Map.of());
    }

    @Override
    public void failed(Throwable cause) {
        String reason = started
                ? RunnerException.reasonOf(cause, RunnerException.TASK_FAILED)
                : RunnerException.reasonOfStart(cause, RunnerException.TASK_FAILED);
        // Not on the task's thread, because stop waits for that thread.
        new Thread(() -> outcome.fail(reason, cause, this::stop), "exit").start();
    }

    @Override
    public void reconfigure() {
        // Only connectors request it.
    }

    @Override
    public void reload() {
        // Connect reads the action from the task config, which may not repeat the connector's setting.
        String action = state.rawConnectorConfig(name).get(ConnectorConfig.CONFIG_RELOAD_ACTION_CONFIG);
        if (ConfigReloadAction.NONE.name().equalsIgnoreCase(action)) {
            return;
        }
        log.info("Restarting the task: a value of a config provider has expired");
        try {
            started = false;
            pod.herder().worker().stopAndAwaitTask(id);
            if (!stopping) {
                startTask();
            }
        } catch (Throwable t) {
            failed(t);
        }
    }

    private boolean exactlyOnce() {
        return !pod.isSink() && pod.herder().worker().config().exactlyOnceSourceEnabled();
    }

    private void startTask() {
        Worker worker = pod.herder().worker();
        Map<String, String> connector = state.connectorConfig(name);
        Map<String, String> task = state.taskConfig(id);
        if (pod.isSink()) {
            worker.startSinkTask(id, state, connector, task, pod.herder(), TargetState.STARTED);
        } else if (exactlyOnce()) {
            // connect-scheduler stops and fences the previous tasks before it creates this pod, and the transactional
            // producer fences a predecessor with the same id. No further check is needed.
            worker.startExactlyOnceSourceTask(id, state, connector, task, pod.herder(), TargetState.STARTED,
                    () -> { }, () -> { });
        } else {
            worker.startSourceTask(id, state, connector, task, pod.herder(), TargetState.STARTED);
        }
    }
}
