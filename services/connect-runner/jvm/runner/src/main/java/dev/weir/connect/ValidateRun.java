package dev.weir.connect;

import org.apache.kafka.connect.runtime.ConnectorConfig;
import org.apache.kafka.connect.runtime.rest.entities.ConfigInfo;
import org.apache.kafka.connect.runtime.rest.entities.ConfigInfos;
import org.apache.kafka.connect.util.FutureCallback;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** Validates a configuration with the connector, its converters and transforms, and the client override policy. */
final class ValidateRun {
    /** The timeout of Connect's REST API. */
    private static final long LIMIT_SECONDS = 90;
    private static final Pattern TRANSFORM_PREDICATE = Pattern.compile("transforms\\..+\\.predicate");

    private ValidateRun() {
    }

    /** Returns the messages for each invalid field, without values; empty for a valid configuration. */
    static Map<String, List<String>> validate(PodHerder herder, Map<String, String> config, Redactor redactor) {
        FutureCallback<ConfigInfos> answer = new FutureCallback<>();
        herder.validateConnectorConfig(config, answer, false);
        try {
            return errors(answer.get(LIMIT_SECONDS, TimeUnit.SECONDS), redactor);
        } catch (TimeoutException e) {
            throw new RunnerException(RunnerException.CONFIG_INVALID,
                    "validate the connector's configuration: the plugin did not respond within " + LIMIT_SECONDS
                    + " s");
        } catch (ExecutionException e) {
            throw new RunnerException(RunnerException.reasonOfStart(e.getCause(), RunnerException.CONFIG_INVALID),
                    "validate the connector's configuration", e.getCause());
        } catch (InterruptedException e) {
            throw new RunnerException(RunnerException.CONFIG_INVALID,
                    "validate the connector's configuration: interrupted");
        }
    }

    static void require(PodHerder herder, Map<String, String> config, Redactor redactor) {
        Map<String, List<String>> errors = validate(herder, config, redactor);
        if (!errors.isEmpty()) {
            throw new RunnerException(RunnerException.CONFIG_INVALID, summary(errors));
        }
    }

    static String summary(Map<String, List<String>> errors) {
        return errors.entrySet().stream().map(e -> e.getKey() + ": " + String.join(" ", e.getValue()))
                .collect(Collectors.joining("; "));
    }

    private static Map<String, List<String>> errors(ConfigInfos infos, Redactor redactor) {
        Map<String, List<String>> errors = new LinkedHashMap<>();
        for (ConfigInfo info : infos.configs()) {
            List<String> messages = new ArrayList<>();
            for (String message : info.configValue().errors()) {
                messages.add(redactor.redact(RunnerException.oneLine(message)));
            }
            if (!messages.isEmpty()) {
                errors.put(info.configValue().name(), messages);
            }
        }
        undefinedPredicates(infos).forEach(key ->
                errors.computeIfAbsent(key, k -> new ArrayList<>()).add("the predicate is not defined"));
        return errors;
    }

    /** Connect accepts a transform whose predicate is not defined, but its tasks fail. */
    private static List<String> undefinedPredicates(ConfigInfos infos) {
        Map<String, String> values = new LinkedHashMap<>();
        infos.configs().forEach(info -> values.put(info.configValue().name(), info.configValue().value()));
        String predicates = Objects.requireNonNullElse(values.get(ConnectorConfig.PREDICATES_CONFIG), "");
        List<String> defined = Arrays.asList(predicates.split(","));
        return values.entrySet().stream().filter(e -> TRANSFORM_PREDICATE.matcher(e.getKey()).matches())
                .filter(e -> e.getValue() != null && !defined.contains(e.getValue())).map(Map.Entry::getKey).toList();
    }
}
