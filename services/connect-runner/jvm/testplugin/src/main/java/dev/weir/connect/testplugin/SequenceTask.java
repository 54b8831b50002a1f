package dev.weir.connect.testplugin;

import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.errors.ConnectException;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTask;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A task of SequenceSource. */
public class SequenceTask extends SourceTask {
    private final CountDownLatch stopped = new CountDownLatch(1);
    private AbstractConfig config;
    private String id;
    private Map<String, ?> partition;
    private long next;

    @Override
    public String version() {
        return "1";
    }

    @Override
    public void start(Map<String, String> props) {
        config = new AbstractConfig(SequenceSource.CONFIG, props);
        id = props.get("task.id");
        partition = Map.of("task", id);
        Map<String, Object> offset = context.offsetStorageReader().offset(partition);
        next = offset == null ? 0 : ((Number) offset.get("next")).longValue();
        if (props.get("nothing") != null) {
            throw new ConnectException("the task got '" + props.get("nothing") + "' instead of null");
        }
        if (!props.getOrDefault("url", "").isEmpty() && props.get("url").contains("${")) {
            throw new ConnectException("the task got a placeholder instead of a password");
        }
    }

    @Override
    public List<SourceRecord> poll() throws InterruptedException {
        long count = config.getLong(SequenceSource.COUNT);
        long failAt = config.getLong(SequenceSource.FAIL_AT);
        if (count >= 0 && next >= count) {
            stopped.await(100, TimeUnit.MILLISECONDS);
            return null;
        }
        List<SourceRecord> records = new ArrayList<>();
        while (records.size() < config.getInt(SequenceSource.BATCH) && (count < 0 || next < count)) {
            if (next == failAt) {
                if (!records.isEmpty()) {
                    return records;
                }
                fail();
            }
            next++;
            records.add(new SourceRecord(partition, Map.of("next", next), config.getString(SequenceSource.TOPIC), null,
                    Schema.STRING_SCHEMA, id, Schema.STRING_SCHEMA, id + "-" + (next - 1)));
        }
        long pause = config.getLong(SequenceSource.PAUSE_MS);
        if (pause > 0) {
            stopped.await(pause, TimeUnit.MILLISECONDS);
        }
        return records;
    }

    private void fail() {
        switch (config.getString(SequenceSource.FAIL_WITH)) {
            case "memory" -> {
                List<byte[]> hoard = new ArrayList<>();
                while (true) {
                    hoard.add(new byte[8 << 20]);
                }
            }
            case "direct-memory" -> {
                List<ByteBuffer> hoard = new ArrayList<>();
                while (true) {
                    hoard.add(ByteBuffer.allocateDirect(8 << 20));
                }
            }
            case "exit" -> Runtime.getRuntime().halt(42);
            case "exit-3" -> Runtime.getRuntime().halt(3);
            default -> throw new ConnectException("the source is gone; its password was "
                    + config.getPassword(SequenceSource.PASSWORD).value()
                    + config.getString(SequenceSource.PLAIN_SECRET));
        }
    }

    @Override
    public void stop() {
        stopped.countDown();
        long stubborn = config.getLong(SequenceSource.STOP_SECONDS);
        try {
            new CountDownLatch(1).await(stubborn, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
