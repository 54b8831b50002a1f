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
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"user\" password=\"correct horse\";"));
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
    @DisplayName("values of config providers become placeholders again, also inside of longer values")
    void restoresPlaceholders() {
        redactor.learnResolved("s3cret", "${file:/f:a}");
        redactor.learnResolved("s3cret-and-more", "${file:/f:b}");
        assertEquals("url://${file:/f:b}/${file:/f:a}", redactor.restorePlaceholders("url://s3cret-and-more/s3cret"));
        assertEquals("[hidden]", redactor.redact("s3cret"));
    }

    @Test
    @DisplayName("only values that contain placeholders are redacted")
    void redactsResolvedPlaceholders() {
        redactor.learnResolved(Map.of("name", "user-${file:/f:a}", "plain", "orders"), Map.of("name", "user-0815", "plain", "orders"));
        assertEquals("[hidden] orders", redactor.redact("user-0815 orders"));
    }
}
