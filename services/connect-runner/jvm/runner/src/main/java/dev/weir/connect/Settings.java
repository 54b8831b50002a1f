package dev.weir.connect;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;

import java.util.List;
import java.util.Map;

/**
 * The settings from the Go process: the first line on standard input, as JSON. No configuration value is part of a
 * command line, which every process can read.
 *
 * @param mode                connector, task, validate or offsets
 * @param name                name of the connector
 * @param namespace           namespace of the pod; empty outside of Kubernetes
 * @param taskId              id of the task; used in mode task only
 * @param zone                zone of the node, for client.rack; empty if unknown
 * @param workerConfigFile    path of worker.properties
 * @param connectorConfig     the connector's configuration; null in mode task
 * @param task                the configurations of the connector and the task; in mode task only
 * @param pluginPath          directories with plugins, in addition to the worker's plugin.path
 * @param sinkGroup           "namespaced" for connect-namespace-name, "connect" for connect-name
 * @param staticMembership    whether a sink's task is a static member of its consumer group
 * @param offsetsTopic        default of offset.storage.topic
 * @param offsetsAction       list, alter, reset, fence or removeMembers; in mode offsets only
 * @param offsetsFile         path of the offsets to write, in the form of Connect's REST API; for alter only
 * @param fenceTasks          number of tasks whose producers are fenced; for exactly-once sources in mode offsets
 * @param remainingTasks      number of tasks after a scale-down; for removeMembers only
 * @param previousTasks       number of tasks before a scale-down; for removeMembers only
 * @param stopTimeoutMs       default time limit for the last flush and offset commit of a task
 * @param reconfigureDelayMs  debounce interval for reconfiguration requests
 * @param logging             levels, file and format of the log
 */
@JsonIgnoreProperties(ignoreUnknown = true)
record Settings(
        String mode,
        String name,
        String namespace,
        int taskId,
        String zone,
        String workerConfigFile,
        Map<String, String> connectorConfig,
        TaskRun.Config task,
        List<String> pluginPath,
        String sinkGroup,
        boolean staticMembership,
        String offsetsTopic,
        String offsetsAction,
        String offsetsFile,
        int fenceTasks,
        int remainingTasks,
        int previousTasks,
        long stopTimeoutMs,
        long reconfigureDelayMs,
        Log logging) {

    /**
     * @param level  level of the root logger
     * @param levels levels of single loggers
     * @param file   file for a copy of the log; empty for none
     * @param json   whether log lines are JSON objects
     */
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Log(String level, Map<String, String> levels, String file, boolean json) {
    }
}
