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
    void learnsWhatTheNameOfASettingHides(String key, String value, boolean hidden) {
        redactor.learnConfig(Map.of(key, value));
        assertEquals(hidden ? "was " + Redactor.HIDDEN : "was " + value, redactor.redact("was " + value));
    }

    @Test
    @DisplayName("a password inside of a JAAS configuration is hidden by itself too")
    void learnsPasswordsOfJaas() {
        redactor.learnConfig(Map.of("sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"user\" password=\"correct horse\";"));
        assertEquals("login with [hidden] failed", redactor.redact("login with correct horse failed"));
    }

    @Test
    @DisplayName("values of the type PASSWORD are hidden whatever their name")
    void learnsPasswordType() {
        redactor.learnConfig(Map.of("setting", new Password("battery staple")));
        assertEquals("[hidden]!", redactor.redact("battery staple!"));
    }

    @Test
    @DisplayName("of two secrets one of which holds the other the longer is hidden whole")
    void hidesTheLongerFirst() {
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
    @DisplayName("of a resolved configuration only what stands for placeholders is hidden")
    void learnsWhereThePlaceholdersWere() {
        redactor.learnResolved(Map.of("name", "user-${file:/f:a}", "plain", "orders"), Map.of("name", "user-0815", "plain", "orders"));
        assertEquals("[hidden] orders", redactor.redact("user-0815 orders"));
    }
}
