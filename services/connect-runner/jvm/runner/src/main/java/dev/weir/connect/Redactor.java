package dev.weir.connect;

import org.apache.kafka.common.config.ConfigTransformer;
import org.apache.kafka.common.config.types.Password;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Knows the secrets of this process and takes them out of every text that leaves it. A secret shorter than
 * {@value #MIN_LENGTH} characters is not hidden: it would turn common words into noise.
 */
final class Redactor {
    static final String HIDDEN = "[hidden]";
    static final int MIN_LENGTH = 4;

    private static final Pattern SECRET_KEY = Pattern.compile(
            "(?i).*(password|passphrase|secret|token|credential|jaas|user\\.?info|api\\.?key|private\\.?key|keystore\\.key).*");
    private static final Pattern QUOTED = Pattern.compile(
            "(?i)[\\w.]*(?:password|secret|token|passphrase|key)[\\w.]*\\s*=\\s*(?:\"([^\"]*)\"|'([^']*)'|([^\\s;]+))");

    /** A value of a config provider and the placeholder it stands for. */
    private record Resolved(String value, String placeholder) {
    }

    // Replaced as a whole, longest first; read for every line of the log and seldom written.
    private volatile List<String> secrets = List.of();
    private volatile List<Resolved> resolved = List.of();

    /** Learns what a configuration hides: values whose name says so, and passwords inside of JAAS configurations. */
    void learnConfig(Map<String, ?> config) {
        config.forEach((key, value) -> {
            if (value instanceof Password password) {
                learn(password.value());
            } else if (value instanceof String text && SECRET_KEY.matcher(key).matches()) {
                learn(text);
            }
        });
    }

    /** Learns a value of a config provider and the placeholder that it stands for. */
    void learnResolved(String value, String placeholder) {
        if (value == null || value.length() < MIN_LENGTH) {
            return;
        }
        learn(value);
        restore(new Resolved(value, placeholder));
    }

    /** Learns the values of a resolved configuration where the one it was made from has placeholders. */
    void learnResolved(Map<String, String> raw, Map<String, String> resolved) {
        raw.forEach((key, value) -> {
            if (value != null && ConfigTransformer.DEFAULT_PATTERN.matcher(value).find()) {
                learn(resolved.get(key));
            }
        });
    }

    void learn(String secret) {
        if (secret == null) {
            return;
        }
        add(secret);
        Matcher matcher = QUOTED.matcher(secret);
        while (matcher.find()) {
            for (int group = 1; group <= matcher.groupCount(); group++) {
                add(matcher.group(group));
            }
        }
    }

    /** The text without any secret. */
    String redact(String text) {
        String out = text;
        for (String secret : secrets) {
            if (out.contains(secret)) {
                out = out.replace(secret, HIDDEN);
            }
        }
        return out;
    }

    /**
     * The configuration with placeholders again where values of config providers stand, also as a part of a longer value:
     * the task's pod resolves them to the same text.
     */
    String restorePlaceholders(String value) {
        String out = value;
        for (Resolved r : resolved) {
            if (out.contains(r.value)) {
                out = out.replace(r.value, r.placeholder);
            }
        }
        return out;
    }

    private synchronized void add(String secret) {
        if (secret == null || secret.length() < MIN_LENGTH || secrets.contains(secret)
                || secret.equals("true") || secret.equals("false")) {
            return;
        }
        List<String> next = new ArrayList<>(secrets);
        next.add(secret);
        next.sort(Comparator.comparingInt(String::length).reversed());
        secrets = List.copyOf(next);
    }

    private synchronized void restore(Resolved entry) {
        if (resolved.contains(entry)) {
            return;
        }
        List<Resolved> next = new ArrayList<>(resolved);
        next.add(entry);
        next.sort(Comparator.comparingInt((Resolved r) -> r.value.length()).reversed());
        resolved = List.copyOf(next);
    }
}
