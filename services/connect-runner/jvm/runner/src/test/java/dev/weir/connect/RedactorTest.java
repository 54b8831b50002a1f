package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.kafka.common.config.types.Password;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.util.Map;

class RedactorTest {
    private final Redactor redactor = new Redactor();

    @ParameterizedTest(name = "{0}={1} hides the value: {2}")
    @CsvSource({
        "ssl.keystore.password, tr0ub4dor, true",
        "consumer.ssl.key.password, tr0ub4dor, true",
        "basic.auth.user.info, user:tr0ub4dor, true",
        "api.key, tr0ub4dor, true",
        "aws.secret.access.key, tr0ub4dor, true",
        "topic, tr0ub4dor, false",
        "key.converter, tr0ub4dor, false",
        "password, abc, false",
        "password.enabled, true, false",
    })
    void redactsSecretNames(String key, String value, boolean hidden) {
        redactor.learnConfig(Map.of(key, value));
        assertEquals(hidden ? "was " + Redactor.HIDDEN : "was " + value, redactor.redact("was " + value));
    }

    @Test
    @DisplayName("the password inside a JAAS configuration is also redacted by itself")
    void redactsJaasPasswords() {
        redactor.learnConfig(Map.of("sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"user\" "
                        + "password=\"correct horse\";"));
        assertEquals("login with [hidden] failed", redactor.redact("login with correct horse failed"));
    }

    @Test
    @DisplayName("values of type PASSWORD are redacted")
    void redactsPasswordType() {
        redactor.learnConfig(Map.of("setting", new Password("battery staple")));
        assertEquals("[hidden]!", redactor.redact("battery staple!"));
    }

    @Test
    @DisplayName("a secret that contains another is redacted completely")
    void redactsTheLongestFirst() {
        redactor.learn("pass");
        redactor.learn("password-long");
        assertEquals("[hidden] and [hidden]", redactor.redact("password-long and pass"));
    }

    @Test
    @DisplayName("secrets of config providers become placeholders also inside other values")
    void restoresSecretsInsideOtherValues() {
        redactor.secretKey("typed");
        redactor.learnConfig(Map.of("typed", "${file:/f:a}", "db.password", "${file:/f:b}"));
        redactor.learnResolved("s3cret", "${file:/f:a}");
        redactor.learnResolved("s3cret-and-more", "${file:/f:b}");
        assertEquals("url://${file:/f:b}/${file:/f:a}",
                redactor.restorePlaceholders("url", "url://s3cret-and-more/s3cret"));
        assertEquals("[hidden]@host", redactor.redact("s3cret@host"));
    }

    @ParameterizedTest(name = "{0}={1} is published as {2}")
    @CsvSource({
        "task.class, io.debezium.connector.postgresql.PostgresConnectorTask, "
                + "io.debezium.connector.postgresql.PostgresConnectorTask",
        "task.class, postgres, postgres",
        "transforms.a.type, postgres, postgres",
        "topic, postgres, postgres",
        "name, postgres, postgres",
        "url, jdbc:postgresql://host/postgres, jdbc:postgresql://host/postgres",
        "user, postgres, ${file:/f:user}",
        "connection.url, jdbc:postgresql://u:hunter2hunter2@host, jdbc:postgresql://u:${file:/f:password}@host",
        "topic, hunter2hunter2, hunter2hunter2",
    })
    void restoresOtherValuesOnlyAsAWhole(String key, String value, String expected) {
        redactor.learnConfig(Map.of("database.user", "${file:/f:user}", "database.password", "${file:/f:password}"));
        redactor.learnResolved("postgres", "${file:/f:user}");
        redactor.learnResolved("hunter2hunter2", "${file:/f:password}");
        assertEquals(expected, redactor.restorePlaceholders(key, value));
    }

    @Test
    @DisplayName("other values of config providers are redacted as whole words")
    void redactsOtherValuesAsWords() {
        redactor.learnResolved("postgres", "${file:/f:user}");
        assertEquals("user [hidden] of io.debezium.connector.postgresql.PostgresConnector",
                redactor.redact("user postgres of io.debezium.connector.postgresql.PostgresConnector"));
        assertEquals("user=\"[hidden]\", class x.postgres.Y", redactor.redact("user=\"postgres\", class x.postgres.Y"));
    }

    @Test
    @DisplayName("a value becomes a secret when a secret key turns out to use its placeholder")
    void upgradesToSecret() {
        redactor.learnResolved("s3cret", "${file:/f:a}");
        redactor.learnConfig(Map.of("ssl.key.password", "${file:/f:a}"));
        assertEquals("x[hidden]x", redactor.redact("xs3cretx"));
    }

    @Test
    @DisplayName("the user name in a JAAS configuration is not a secret, the password is")
    void jaasUserNameIsNotASecret() {
        redactor.learnConfig(Map.of("sasl.jaas.config",
                "Login required username=\"${file:/f:user}\" password=\"${file:/f:pw}\";"));
        redactor.learnResolved("postgres", "${file:/f:user}");
        redactor.learnResolved("hunter2", "${file:/f:pw}");
        assertEquals("postgresql ${file:/f:pw}x", redactor.restorePlaceholders("a", "postgresql hunter2x"));
    }

    @Test
    @DisplayName("only values that contain placeholders are redacted")
    void redactsResolvedPlaceholders() {
        redactor.learnResolved(Map.of("user", "user-${file:/f:a}", "plain", "orders"),
                Map.of("user", "user-0815", "plain", "orders"));
        assertEquals("[hidden] orders", redactor.redact("user-0815 orders"));
    }
}
