package dev.weir.connect;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * Loads the classes of the Kafka clients without a broker. The class data archive of scripts/archive contains the
 * classes that the JVM has used, and validation alone uses no client.
 */
final class ArchiveTraining {
    /** System property that enables it. */
    static final String PROPERTY = "weir.trainArchive";

    private ArchiveTraining() {
    }

    static void run() {
        Map<String, Object> nowhere =
                Map.of("bootstrap.servers", "127.0.0.1:9", "max.block.ms", 300, "default.api.timeout.ms", 300,
                "request.timeout.ms", 200, "delivery.timeout.ms", 300, "linger.ms", 0, "group.id", "rehearsal");
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(nowhere, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>("nowhere", new byte[0]));
        }
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(nowhere, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of("nowhere"));
            consumer.poll(Duration.ofMillis(300));
        }
        try (Admin admin = Admin.create(nowhere)) {
            admin.describeCluster();
        }
    }
}
