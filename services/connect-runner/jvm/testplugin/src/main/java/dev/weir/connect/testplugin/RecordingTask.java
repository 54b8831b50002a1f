package dev.weir.connect.testplugin;

import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collection;
import java.util.Map;

/** A task of RecordingSink. */
public class RecordingTask extends SinkTask {
    private Path file;
    private String reject;

    @Override
    public String version() {
        return "1";
    }

    @Override
    public void start(Map<String, String> props) {
        file = Path.of(props.get(RecordingSink.DIR), props.get("task.id"));
        reject = props.getOrDefault(RecordingSink.REJECT, "");
    }

    @Override
    public void put(Collection<SinkRecord> records) {
        StringBuilder lines = new StringBuilder();
        for (SinkRecord record : records) {
            if (!reject.isEmpty() && reject.equals(record.value())) {
                context.errantRecordReporter().report(record, new ConnectException("it is to be rejected"));
                continue;
            }
            lines.append(record.kafkaPartition()).append('\t').append(record.value()).append('\n');
        }
        if (lines.isEmpty()) {
            return;
        }
        try {
            Files.writeString(file, lines, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new ConnectException("write records", e);
        }
    }

    @Override
    public void stop() {
    }
}
