package dev.weir.connect;

import org.apache.kafka.connect.runtime.TargetState;
import org.apache.kafka.connect.runtime.rest.entities.ConnectorOffsets;
import org.apache.kafka.connect.runtime.rest.entities.Message;
import org.apache.kafka.connect.util.FutureCallback;

import java.io.File;
import java.io.IOException;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Lists or changes the offsets of a stopped connector, as the offsets endpoints of Connect's REST API do. */
final class OffsetsRun {
    private static final long LIMIT_SECONDS = 90;

    private OffsetsRun() {
    }

    static Map<String, ?> run(Settings settings, Map<String, String> config, Pod pod) {
        if (settings.offsetsAction().equals("removeMembers")) {
            return Map.of("message", MemberRemoval.run(settings, config, pod));
        }
        PodHerder herder = pod.herder();
        herder.start();
        herder.configs().putConnectorConfig(settings.name(), config, TargetState.STOPPED);
        boolean transactions = !pod.isSink() && herder.worker().config().exactlyOnceSourceEnabled();
        if (transactions && settings.fenceTasks() > 0 && !settings.offsetsAction().equals("list")) {
            // A task on an unreachable node could still commit and overwrite the new offsets.
            fence(settings, config, herder);
        }
        switch (settings.offsetsAction()) {
            case "list": {
                FutureCallback<ConnectorOffsets> answer = new FutureCallback<>();
                herder.connectorOffsets(settings.name(), answer);
                return Map.of("offsets", await(answer, "list offsets").offsets());
            }
            case "alter": {
                FutureCallback<Message> answer = new FutureCallback<>();
                herder.alterConnectorOffsets(settings.name(), read(settings.offsetsFile()).toMap(), answer);
                return Map.of("message", await(answer, "alter offsets").message());
            }
            case "reset": {
                FutureCallback<Message> answer = new FutureCallback<>();
                herder.resetConnectorOffsets(settings.name(), answer);
                return Map.of("message", await(answer, "reset offsets").message());
            }
            case "fence":
                if (!transactions) {
                    return Map.of("message", "nothing to fence: the connector is not an exactly-once source");
                }
                return Map.of("message", "fenced the producers of " + settings.fenceTasks() + " tasks");
            default:
                throw new RunnerException(RunnerException.OFFSETS_FAILED, "unknown action " + settings.offsetsAction());
        }
    }

    private static void fence(Settings settings, Map<String, String> config, PodHerder herder) {
        try {
            Map<String, String> resolved = herder.worker().configTransformer().transform(config);
            herder.worker().fenceZombies(settings.name(), settings.fenceTasks(), resolved)
                    .get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED, "fence the producers of the tasks", e);
        } catch (InterruptedException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED, "fence the producers of the tasks: interrupted");
        }
    }

    private static ConnectorOffsets read(String file) {
        try {
            ConnectorOffsets offsets = Channel.JSON.readValue(new File(file), ConnectorOffsets.class);
            if (offsets.offsets() == null) {
                throw new RunnerException(RunnerException.OFFSETS_FAILED,
                        "read offsets: the field 'offsets' is missing");
            }
            return offsets;
        } catch (IOException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED, "read offsets", e);
        }
    }

    private static <T> T await(FutureCallback<T> answer, String act) {
        try {
            return answer.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED, act, e.getCause());
        } catch (TimeoutException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED,
                    act + ": no response within " + LIMIT_SECONDS + " s");
        } catch (InterruptedException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED, act + ": interrupted");
        }
    }
}
