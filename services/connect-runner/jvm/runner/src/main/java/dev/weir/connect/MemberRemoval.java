package dev.weir.connect;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupResult;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.connect.runtime.ConnectorConfig;

import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Removes the static members of a sink's tasks that a scale-down has deleted. A static member does not leave its group
 * when it stops, so its partitions would have no consumer until its session expires.
 */
final class MemberRemoval {
    private static final long LIMIT_SECONDS = 60;

    private MemberRemoval() {
    }

    static String run(Settings settings, Map<String, String> config, Pod pod) {
        if (!pod.isSink()) {
            return "no members to remove: the connector is not a sink";
        }
        String group = groupOf(config, pod);
        Set<MemberToRemove> members = new LinkedHashSet<>();
        for (int task = settings.remainingTasks(); task < settings.previousTasks(); task++) {
            members.add(new MemberToRemove(WorkerProperties.memberId(settings.name(), task)));
        }
        try (Admin admin = pod.groupAdmin()) {
            RemoveMembersFromConsumerGroupResult result = admin.removeMembersFromConsumerGroup(
                    group, new RemoveMembersFromConsumerGroupOptions(members));
            int removed = 0;
            for (MemberToRemove member : members) {
                removed += removed(result, member) ? 1 : 0;
            }
            return "removed " + removed + " of " + members.size() + " static members from group " + group;
        } catch (ExecutionException | TimeoutException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED, "remove static members from group " + group, e);
        } catch (InterruptedException e) {
            throw new RunnerException(RunnerException.OFFSETS_FAILED,
                    "remove static members from group " + group + ": interrupted");
        }
    }

    /** Returns false if the member has already left. */
    private static boolean removed(RemoveMembersFromConsumerGroupResult result, MemberToRemove member)
            throws ExecutionException, TimeoutException, InterruptedException {
        try {
            result.memberResult(member).get(LIMIT_SECONDS, TimeUnit.SECONDS);
            return true;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof UnknownMemberIdException || e.getCause() instanceof GroupIdNotFoundException) {
                return false;
            }
            throw e;
        }
    }

    private static String groupOf(Map<String, String> config, Pod pod) {
        String override = pod.herder().worker().configTransformer().transform(config)
                .get(ConnectorConfig.CONNECTOR_CLIENT_CONSUMER_OVERRIDES_PREFIX + ConsumerConfig.GROUP_ID_CONFIG);
        return override != null ? override
                : (String) pod.herder().worker().config().originals().get("consumer." + ConsumerConfig.GROUP_ID_CONFIG);
    }
}
