package dev.weir.connect;

import org.apache.kafka.common.config.ConfigTransformer;
import org.apache.kafka.common.config.types.Password;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Knows the secrets of this process, redacts them in texts and restores the placeholders of config providers.
 *
 * <p>A value is a secret if its key has the type PASSWORD or a secret name. Secrets are redacted and restored
 * everywhere, also inside other values. Other values of config providers, for example a user name, are redacted only as
 * whole words and restored only as whole values: a user "postgres" must not change the class
 * io.debezium.connector.postgresql.X.
 *
 * <p>Values shorter than {@value #MIN_LENGTH} characters are neither redacted nor restored, because they are parts of
 * many words.
 */
final class Redactor {
    static final String HIDDEN = "[hidden]";
    static final int MIN_LENGTH = 4;

    private static final Pattern SECRET_NAME = Pattern.compile("(?i).*(password|passphrase|secret|token|credential|jaas"
            + "|user\\.?info|api\\.?key|private\\.?key|keystore\\.key).*");
    private static final Pattern QUOTED = Pattern.compile(
            "(?i)[\\w.]*(?:password|secret|token|passphrase|key)[\\w.]*\\s*=\\s*(?:\"([^\"]*)\"|'([^']*)'|([^\\s;]+))");
    /** Keys whose values are names of classes, connectors or topics. */
    private static final Pattern NAME_KEY =
            Pattern.compile("name|(?:.*\\.)?(?:class|type|converter|topics?|topics\\.regex)");
    private static final Pattern USER_NAME = Pattern.compile("(?i)user(?:_?name)?\\s*=\\s*[\"']?$");
    private static final String WORD_CHARACTERS = "[\\p{Alnum}_.$/-]";

    /** A value of a config provider and its placeholder. */
    private record Resolved(String value, String placeholder) {
    }

    private final Set<String> secretKeys = ConcurrentHashMap.newKeySet();
    private final Set<String> secretPlaceholders = ConcurrentHashMap.newKeySet();
    // Replaced as a whole, longest first: each line of the log reads them, and they seldom change.
    private volatile List<String> secrets = List.of();
    private volatile Map<String, Pattern> words = Map.of();
    private volatile List<Resolved> resolved = List.of();

    /** Declares the values of a key as secrets, because its type is PASSWORD. */
    void secretKey(String key) {
        secretKeys.add(key);
    }

    /** Learns the secrets of a configuration and the placeholders that stand for secrets. */
    void learnConfig(Map<String, ?> config) {
        config.forEach((key, value) -> {
            if (value instanceof Password password) {
                learn(password.value());
            } else if (value instanceof String text && isSecret(key)) {
                learnPlaceholders(text);
                if (!ConfigTransformer.DEFAULT_PATTERN.matcher(text).find()) {
                    learn(text);
                }
            }
        });
    }

    /** Learns a value of a config provider and its placeholder. */
    void learnResolved(String value, String placeholder) {
        if (value == null || value.length() < MIN_LENGTH) {
            return;
        }
        if (secretPlaceholders.contains(placeholder)) {
            learn(value);
        } else {
            addWord(value);
        }
        restore(new Resolved(value, placeholder));
    }

    /** Learns the values of a resolved configuration whose original values have placeholders. */
    void learnResolved(Map<String, String> raw, Map<String, String> resolved) {
        raw.forEach((key, value) -> {
            if (value != null && ConfigTransformer.DEFAULT_PATTERN.matcher(value).find()) {
                if (isSecret(key)) {
                    learn(resolved.get(key));
                } else {
                    addWord(resolved.get(key));
                }
            }
        });
    }

    /** Learns a secret, and the passwords inside it if it is a JAAS configuration. */
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

    /** Returns the text without secrets. */
    String redact(String text) {
        String out = text;
        for (String secret : secrets) {
            if (out.contains(secret)) {
                out = out.replace(secret, HIDDEN);
            }
        }
        for (Map.Entry<String, Pattern> word : words.entrySet()) {
            if (out.contains(word.getKey())) {
                out = word.getValue().matcher(out).replaceAll(Matcher.quoteReplacement(HIDDEN));
            }
        }
        return out;
    }

    /**
     * Returns the value of a task config with placeholders in place of values of config providers. Names of classes,
     * connectors and topics do not change.
     */
    String restorePlaceholders(String key, String value) {
        if (NAME_KEY.matcher(key).matches()) {
            return value;
        }
        String out = value;
        for (Resolved r : resolved) {
            if (secretPlaceholders.contains(r.placeholder)) {
                out = out.replace(r.value, r.placeholder);
            }
        }
        if (!out.equals(value)) {
            return out;
        }
        return resolved.stream().filter(r -> r.value.equals(value)).map(Resolved::placeholder).findFirst()
                .orElse(value);
    }

    private boolean isSecret(String key) {
        return secretKeys.contains(key) || SECRET_NAME.matcher(key).matches();
    }

    /** The user name in a JAAS configuration is not a secret. */
    private void learnPlaceholders(String text) {
        Matcher matcher = ConfigTransformer.DEFAULT_PATTERN.matcher(text);
        while (matcher.find()) {
            if (!USER_NAME.matcher(text.substring(0, matcher.start())).find()
                    && secretPlaceholders.add(matcher.group())) {
                resolved.stream().filter(r -> r.placeholder.equals(matcher.group())).forEach(r -> learn(r.value));
            }
        }
    }

    private static boolean isTrivial(String value) {
        return value == null || value.length() < MIN_LENGTH || value.equals("true") || value.equals("false");
    }

    private synchronized void add(String secret) {
        if (isTrivial(secret) || secrets.contains(secret)) {
            return;
        }
        List<String> next = new ArrayList<>(secrets);
        next.add(secret);
        next.sort(Comparator.comparingInt(String::length).reversed());
        secrets = List.copyOf(next);
    }

    private synchronized void addWord(String value) {
        if (isTrivial(value) || words.containsKey(value)) {
            return;
        }
        Map<String, Pattern> next = new TreeMap<>(Comparator.comparingInt(String::length).reversed()
                .thenComparing(Comparator.naturalOrder()));
        next.putAll(words);
        next.put(value, Pattern.compile("(?<!" + WORD_CHARACTERS + ")" + Pattern.quote(value) + "(?!" + WORD_CHARACTERS
                + ")"));
        words = Collections.unmodifiableMap(next);
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
