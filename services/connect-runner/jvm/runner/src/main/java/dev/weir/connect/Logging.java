package dev.weir.connect;

import com.fasterxml.jackson.core.JsonProcessingException;

import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.Appender;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.ConsoleAppender;
import org.apache.logging.log4j.core.appender.RollingFileAppender;
import org.apache.logging.log4j.core.appender.rolling.DefaultRolloverStrategy;
import org.apache.logging.log4j.core.appender.rolling.SizeBasedTriggeringPolicy;
import org.apache.logging.log4j.core.config.AbstractConfiguration;
import org.apache.logging.log4j.core.config.Configuration;
import org.apache.logging.log4j.core.config.ConfigurationSource;
import org.apache.logging.log4j.core.config.LoggerConfig;
import org.apache.logging.log4j.core.layout.AbstractStringLayout;
import org.apache.logging.log4j.core.layout.PatternLayout;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** Configures log4j from the settings, without a file, and redacts secrets in all lines. */
final class Logging {
    private static final String PATTERN = "[%d{ISO8601}] %p %X{connector.context}%m (%c)%n%throwable";
    /** Loggers that write hundreds of lines at start. loggerLevels can enable them. */
    private static final Map<String, Level> NOISY = Map.of(
            "org.apache.kafka.common.config.AbstractConfig", Level.WARN,
            "org.apache.kafka.connect.runtime.isolation", Level.ERROR);
    private static final String FILE_SIZE = "64 MB";
    private static final String FILES_KEPT = "4";

    private Logging() {
    }

    static void configure(Settings.Log log, Redactor redactor) {
        checkLevel("defaultLoggerLevel", log.level());
        if (log.levels() != null) {
            log.levels().forEach((name, level) -> checkLevel("loggerLevels of " + name, level));
        }
        checkWritable(log.file());
        LoggerContext context = (LoggerContext) LogManager.getContext(false);
        context.start(new AbstractConfiguration(context, ConfigurationSource.NULL_SOURCE) {
            @Override
            protected void doConfigure() {
                LoggerConfig root = getRootLogger();
                root.setLevel(Level.toLevel(log.level(), Level.INFO));
                add(this, root, ConsoleAppender.newBuilder().setName("stdout")
                        .setTarget(ConsoleAppender.Target.SYSTEM_OUT)
                        .setLayout(new RedactingLayout(this, redactor, log.json())).setConfiguration(this).build());
                if (log.file() != null && !log.file().isEmpty()) {
                    add(this, root, RollingFileAppender.newBuilder().setName("file").withFileName(log.file())
                            .withFilePattern(log.file() + ".%i")
                            .withPolicy(SizeBasedTriggeringPolicy.createPolicy(FILE_SIZE))
                            .withStrategy(DefaultRolloverStrategy.newBuilder().withMax(FILES_KEPT).withConfig(this)
                                    .build())
                            .setLayout(new RedactingLayout(this, redactor, log.json())).setConfiguration(this).build());
                }
                NOISY.forEach((name, level) -> addLogger(name, new LoggerConfig(name, level, true)));
                if (log.levels() != null) {
                    log.levels().forEach((name, level) ->
                            addLogger(name, new LoggerConfig(name, Level.toLevel(level, Level.INFO), true)));
                }
            }
        });
    }

    private static void checkLevel(String field, String level) {
        if (level != null && !level.isEmpty() && Level.getLevel(level.toUpperCase(Locale.ROOT)) == null) {
            throw new RunnerException(RunnerException.CONFIG_INVALID, "loggingConfig: " + field + " is \"" + level
                    + "\"; must be OFF, FATAL, ERROR, WARN, INFO, DEBUG, TRACE or ALL");
        }
    }

    /** log4j itself only prints an error and continues without the file. */
    private static void checkWritable(String file) {
        if (file == null || file.isEmpty()) {
            return;
        }
        try {
            Path path = Path.of(file).toAbsolutePath();
            Files.createDirectories(path.getParent());
            Files.newOutputStream(path, StandardOpenOption.CREATE, StandardOpenOption.APPEND).close();
        } catch (IOException | InvalidPathException e) {
            throw new RunnerException(RunnerException.CONFIG_INVALID,
                    "loggingConfig: file " + file + " is not writable", e);
        }
    }

    private static void add(Configuration configuration, LoggerConfig root, Appender appender) {
        appender.start();
        configuration.addAppender(appender);
        root.addAppender(appender, null, null);
    }

    private static final class RedactingLayout extends AbstractStringLayout {
        private final PatternLayout plain;
        private final Redactor redactor;
        private final boolean json;

        RedactingLayout(Configuration configuration, Redactor redactor, boolean json) {
            super(configuration, StandardCharsets.UTF_8, null, null);
            this.plain = PatternLayout.newBuilder().withPattern(PATTERN).withConfiguration(configuration).build();
            this.redactor = redactor;
            this.json = json;
        }

        @Override
        public String toSerializable(LogEvent event) {
            return json ? json(event) : redactor.redact(plain.toSerializable(event));
        }

        private String json(LogEvent event) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("time", Instant.ofEpochMilli(event.getTimeMillis()).toString());
            line.put("level", event.getLevel().name());
            line.put("msg", redactor.redact(event.getMessage().getFormattedMessage()));
            line.put("logger", event.getLoggerName());
            String context = event.getContextData().getValue("connector.context");
            if (context != null) {
                line.put("context", context.trim());
            }
            if (event.getThrown() != null) {
                StringWriter trace = new StringWriter();
                event.getThrown().printStackTrace(new PrintWriter(trace));
                line.put("error", redactor.redact(trace.toString()));
            }
            try {
                return Channel.JSON.writeValueAsString(line) + "\n";
            } catch (JsonProcessingException e) {
                return "{\"level\":\"ERROR\",\"msg\":\"log line could not be written as JSON\"}\n";
            }
        }
    }
}
