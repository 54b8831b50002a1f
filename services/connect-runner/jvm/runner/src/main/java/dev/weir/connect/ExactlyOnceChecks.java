package dev.weir.connect;

import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.connect.connector.policy.ConnectorClientConfigOverridePolicy;
import org.apache.kafka.connect.health.ConnectorType;
import org.apache.kafka.connect.runtime.SourceConnectorConfig;
import org.apache.kafka.connect.runtime.Worker;
import org.apache.kafka.connect.source.ConnectorTransactionBoundaries;
import org.apache.kafka.connect.source.ExactlyOnceSupport;
import org.apache.kafka.connect.source.SourceConnector;
import org.apache.kafka.connect.source.SourceTask.TransactionBoundary;

import java.util.Map;
import java.util.Objects;

/** A herder that also validates exactly-once support of sources, as Connect's DistributedHerder does. */
final class ExactlyOnceChecks extends PodHerder {
    ExactlyOnceChecks(Worker worker, String clusterId, ConnectorClientConfigOverridePolicy policy) {
        super(worker, clusterId, policy);
    }

    @Override
    protected Map<String, ConfigValue> validateSourceConnectorConfig(SourceConnector connector,
            ConfigDef definition, Map<String, String> config) {
        Map<String, ConfigValue> values = super.validateSourceConnectorConfig(connector, definition, config);
        checkSupport(connector, config, values.get(SourceConnectorConfig.EXACTLY_ONCE_SUPPORT_CONFIG));
        checkBoundary(connector, config, values.get(SourceConnectorConfig.TRANSACTION_BOUNDARY_CONFIG));
        return values;
    }

    private void checkSupport(SourceConnector connector, Map<String, String> config, ConfigValue value) {
        if (!value.errorMessages().isEmpty() || !"required".equalsIgnoreCase(Objects.toString(value.value()))) {
            return;
        }
        if (!worker().config().exactlyOnceSourceEnabled()) {
            value.addErrorMessage("worker.properties does not have exactly.once.source.support=enabled");
        }
        try {
            ExactlyOnceSupport support = connector.exactlyOnceSupport(config);
            if (support == null) {
                value.addErrorMessage("the connector does not report whether it supports exactly-once; "
                        + "use 'requested' if its documentation says so");
            } else if (support != ExactlyOnceSupport.SUPPORTED) {
                value.addErrorMessage("the connector does not support exactly-once with this configuration");
            }
        } catch (RuntimeException e) {
            value.addErrorMessage("the check for exactly-once support failed: " + RunnerException.describe(e));
        }
    }

    private static void checkBoundary(SourceConnector connector, Map<String, String> config, ConfigValue value) {
        if (!value.errorMessages().isEmpty()
                || !TransactionBoundary.CONNECTOR.toString().equalsIgnoreCase(Objects.toString(value.value()))) {
            return;
        }
        try {
            if (connector.canDefineTransactionBoundaries(config) != ConnectorTransactionBoundaries.SUPPORTED) {
                value.addErrorMessage("the connector does not define transaction boundaries with this configuration");
            }
        } catch (RuntimeException e) {
            value.addErrorMessage("the check for transaction boundaries failed: " + RunnerException.describe(e));
        }
    }

    @Override
    protected boolean connectorUsesAdmin(ConnectorType type, Map<String, String> config) {
        return super.connectorUsesAdmin(type, config) || ownOffsetsTopic(type, config);
    }

    @Override
    protected boolean connectorUsesConsumer(ConnectorType type, Map<String, String> config) {
        return super.connectorUsesConsumer(type, config) || ownOffsetsTopic(type, config);
    }

    private boolean ownOffsetsTopic(ConnectorType type, Map<String, String> config) {
        return type == ConnectorType.SOURCE && (worker().config().exactlyOnceSourceEnabled()
                || !config.getOrDefault(SourceConnectorConfig.OFFSETS_TOPIC_CONFIG, "").isBlank());
    }
}
