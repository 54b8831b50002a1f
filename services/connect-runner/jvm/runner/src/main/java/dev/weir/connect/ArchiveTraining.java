package dev.weir.connect;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Loads the classes of a source task and a sink task without a broker. The class data archive of scripts/archive
 * contains the classes that the JVM has used: pods share them, and start faster. Validation alone uses neither clients
 * nor tasks.
 */
final class ArchiveTraining {
    /** System property that enables it. */
    static final String PROPERTY = "weir.trainArchive";
    /** The time in which the threads of the tasks and clients reach their loops. */
    private static final long RUN_MS = 2_000;

    /** Requests that clients send only to a broker that answers. */
    private static final List<String> REQUESTS = List.of("ApiVersions", "Metadata", "InitProducerId", "Produce",
            "FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetFetch", "OffsetCommit",
            "ListOffsets", "Fetch", "CreateTopics", "DescribeTopicPartitions", "DescribeConfigs", "DescribeCluster");
    private static final List<String> PARTS = List.of("common.requests.%sRequest", "common.requests.%sResponse",
            "common.message.%sRequestData", "common.message.%sResponseData");
    /** Other classes that need a broker. */
    private static final List<String> CLASSES = List.of(
            "clients.Metadata", "clients.MetadataSnapshot", "clients.MetadataCache", "clients.NodeApiVersions",
            "clients.ApiVersions", "clients.FetchSessionHandler", "clients.consumer.ConsumerRecords",
            "clients.consumer.internals.AbstractFetch", "clients.consumer.internals.AbstractCoordinator",
            "clients.consumer.internals.CompletedFetch", "clients.consumer.internals.ConsumerCoordinator",
            "clients.consumer.internals.FetchBuffer", "clients.consumer.internals.FetchCollector",
            "clients.consumer.internals.OffsetFetcher", "clients.consumer.internals.OffsetFetcherUtils",
            "clients.consumer.internals.SubscriptionState", "clients.producer.RecordMetadata",
            "clients.producer.internals.ProduceRequestResult", "clients.producer.internals.ProducerBatch",
            "clients.producer.internals.RecordAccumulator", "clients.producer.internals.Sender",
            "clients.producer.internals.TransactionManager", "clients.admin.CreateTopicsResult",
            "clients.admin.DescribeTopicsResult", "clients.admin.DescribeConfigsResult", "clients.admin.ConfigEntry",
            "clients.admin.TopicDescription", "clients.admin.ListOffsetsResult", "common.record.DefaultRecord",
            "common.record.DefaultRecordBatch", "common.record.MemoryRecords", "common.record.MemoryRecordsBuilder",
            "common.record.RecordBatchIterator", "common.record.ByteBufferLogInputStream",
            "common.utils.ByteBufferOutputStream", "common.network.NetworkReceive", "common.network.NetworkSend",
            "connect.storage.KafkaOffsetBackingStore", "connect.storage.ConnectorOffsetBackingStore",
            "connect.storage.OffsetStorageReaderImpl", "connect.storage.OffsetStorageWriter",
            "connect.storage.OffsetUtils", "connect.util.KafkaBasedLog", "connect.util.SharedTopicAdmin",
            "connect.util.TopicAdmin", "connect.runtime.SubmittedRecords",
            "connect.runtime.ExactlyOnceWorkerSourceTask",
            "connect.runtime.InternalSinkRecord");

    private ArchiveTraining() {
    }

    /**
     * Runs the tasks for a moment. The caller ends the process.
     *
     * @param connector the configuration of a source whose class ends in Source
     */
    static void run(Settings settings, Map<String, String> connector, Pod source, Channel channel, Outcome outcome,
            Redactor redactor) {
        task(settings, connector, source, channel, outcome);
        Map<String, String> sink = new HashMap<>(connector);
        sink.put("connector.class", sink.get("connector.class").replaceFirst("Source$", "Sink"));
        sink.put("topics", sink.remove("topic"));
        sink.remove("file");
        task(settings, sink, Pod.build(settings, sink, redactor, false), channel, outcome);
        clients();
        load();
        new Metrics(ManagementFactory.getPlatformMBeanServer(), Map.of()).text();
        try {
            Thread.sleep(RUN_MS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void task(Settings settings, Map<String, String> connector, Pod pod, Channel channel,
            Outcome outcome) {
        Map<String, String> task = new HashMap<>(connector);
        task.put("task.class", "org.apache.kafka.connect.file." + connector.get("connector.class") + "Task");
        new TaskRun(settings, new TaskRun.Config(connector, task), pod, channel, outcome).start();
    }

    private static void clients() {
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

    private static void load() {
        for (String request : REQUESTS) {
            for (String part : PARTS) {
                load("org.apache.kafka." + String.format(part, request));
            }
        }
        CLASSES.forEach(name -> load("org.apache.kafka." + name));
    }

    /** Loads a class with those that it declares. A class that this version of Kafka does not have is left out. */
    private static void load(String name) {
        try {
            for (Class<?> declared : Class.forName(name).getDeclaredClasses()) {
                load(declared.getName());
            }
        } catch (ClassNotFoundException | LinkageError e) {
            // The archive works without it.
        }
    }
}
