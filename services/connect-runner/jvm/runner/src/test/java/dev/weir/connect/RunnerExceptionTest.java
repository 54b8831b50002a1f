package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.connect.errors.ConnectException;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import java.util.stream.Stream;

class RunnerExceptionTest {
    static Stream<Arguments> failures() {
        return Stream.of(
                Arguments.of(new ConnectException("x"), "TaskFailed", "TaskFailed"),
                Arguments.of(new ConnectException(new ConfigException("x")), "TaskFailed", "ConfigInvalid"),
                Arguments.of(new ConnectException("x", new TimeoutException("y")), "TaskFailed", "KafkaUnreachable"),
                Arguments.of(new ConnectException(new OutOfMemoryError()), "OutOfMemory", "OutOfMemory"),
                Arguments.of(new ConfigException("x").initCause(new ClassNotFoundException("y")), "PluginInvalid",
                "PluginInvalid"),
                Arguments.of(new RuntimeException(new RunnerException("TaskConfigStale", "x")), "TaskConfigStale",
                "TaskConfigStale"));
    }

    @ParameterizedTest(name = "{0} is {1} while running and {2} during start")
    @MethodSource("failures")
    void reasonDependsOnTheCauses(Throwable failure, String running, String starting) {
        assertEquals(running, RunnerException.reasonOf(failure, "TaskFailed"));
        assertEquals(starting, RunnerException.reasonOfStart(failure, "TaskFailed"));
    }

    @Test
    @DisplayName("a description is one line with the messages of all causes")
    void describesOnOneLine() {
        Throwable inner = new IllegalStateException("disk\nis  full");
        assertEquals("write records: disk is full",
                RunnerException.describe(new ConnectException("write records", inner)));
        assertEquals("disk is full", RunnerException.describe(new ConnectException(inner)),
                "a repeated message is omitted");
        assertEquals("NullPointerException", RunnerException.describe(new NullPointerException()));
    }
}
