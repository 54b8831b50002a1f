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
 * Runs through what a task does with Kafka, without one: the class data archive that scripts/archive writes has all classes
 * that a JVM has used, and a configuration that is only checked uses none of the clients.
 */
final class Rehearsal {
    /** System property that asks for it. */
    static final String PROPERTY = "weir.rehearse";

    private Rehearsal() {
    }

    static void run() {
        Map<String, Object> nowhere = Map.of("bootstrap.servers", "127.0.0.1:9", "max.block.ms", 300, "default.api.timeout.ms", 300,
                "request.timeout.ms", 200, "delivery.timeout.ms", 300, "linger.ms", 0, "group.id", "rehearsal");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(nowhere, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.send(new ProducerRecord<>("nowhere", new byte[0]));
        }
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(nowhere, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of("nowhere"));
            consumer.poll(Duration.ofMillis(300));
        }
        try (Admin admin = Admin.create(nowhere)) {
            admin.describeCluster();
        }
    }
}
