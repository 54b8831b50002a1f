package dev.weir.connect;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryUsage;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

import javax.management.Attribute;
import javax.management.JMException;
import javax.management.MBeanAttributeInfo;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/**
 * Kafka's JMX metrics in the Prometheus text format. The attribute put-batch-avg-time-ms of the bean
 * kafka.connect:type=sink-task-metrics,connector=c,task=0 becomes the metric
 * kafka_connect_sink_task_metrics_put_batch_avg_time_ms{connector="c",task="0"}. An attribute with a string value
 * becomes a label, and the metric has the value 1.
 */
final class Metrics {
    private static final String[] DOMAINS = {"kafka.connect", "kafka.consumer", "kafka.producer"};

    private final MBeanServer server;
    private final Map<String, String> labels;

    Metrics(MBeanServer server, Map<String, String> labels) {
        this.server = server;
        // Sorted, so that the labels of a sample always have the same order.
        this.labels = new TreeMap<>(labels);
    }

    String text() {
        // Prometheus requires all samples of a metric in one group.
        Map<String, List<String>> families = new TreeMap<>();
        for (String domain : DOMAINS) {
            try {
                for (ObjectName bean : server.queryNames(new ObjectName(domain + ":*"), null)) {
                    addBean(bean, families);
                }
            } catch (JMException e) {
                throw new IllegalStateException("query metrics of " + domain, e);
            }
        }
        addJvm(families);
        StringBuilder out = new StringBuilder();
        families.forEach((name, samples) -> {
            out.append("# TYPE ").append(name).append(" untyped\n");
            samples.forEach(sample -> out.append(sample).append('\n'));
        });
        return out.toString();
    }

    private void addBean(ObjectName bean, Map<String, List<String>> families) {
        String type = bean.getKeyProperty("type");
        if (type == null || type.equals("app-info") || type.equals("kafka-metrics-count")) {
            return;
        }
        Map<String, String> all = new TreeMap<>(labels);
        bean.getKeyPropertyList().forEach((key, value) -> {
            if (!key.equals("type")) {
                all.put(name(key), unquote(value));
            }
        });
        String prefix = name(bean.getDomain() + "_" + type + "_");
        try {
            MBeanAttributeInfo[] infos = server.getMBeanInfo(bean).getAttributes();
            String[] names = new String[infos.length];
            for (int i = 0; i < infos.length; i++) {
                names[i] = infos[i].getName();
            }
            for (Attribute attribute : server.getAttributes(bean, names).asList()) {
                String metric = prefix + name(attribute.getName());
                if (attribute.getValue() instanceof Number number) {
                    add(families, metric, all, number.doubleValue());
                } else if (attribute.getValue() instanceof String text) {
                    Map<String, String> withText = new TreeMap<>(all);
                    withText.put(name(attribute.getName()), text);
                    add(families, metric, withText, 1);
                }
            }
        } catch (JMException e) {
            // The bean was removed between the two calls.
        }
    }

    private void addJvm(Map<String, List<String>> families) {
        MemoryUsage heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
        MemoryUsage other = ManagementFactory.getMemoryMXBean().getNonHeapMemoryUsage();
        add(families, "weir_connect_runner_jvm_heap_used_bytes", labels, heap.getUsed());
        add(families, "weir_connect_runner_jvm_heap_max_bytes", labels, heap.getMax());
        add(families, "weir_connect_runner_jvm_nonheap_used_bytes", labels, other.getUsed());
        add(families, "weir_connect_runner_jvm_threads", labels, ManagementFactory.getThreadMXBean().getThreadCount());
        long[] gc = {0, 0};
        ManagementFactory.getGarbageCollectorMXBeans().forEach(bean -> {
            gc[0] += Math.max(0, bean.getCollectionTime());
            gc[1] += Math.max(0, bean.getCollectionCount());
        });
        add(families, "weir_connect_runner_jvm_gc_seconds_total", labels, gc[0] / 1000.0);
        add(families, "weir_connect_runner_jvm_gc_collections_total", labels, gc[1]);
    }

    private static void add(Map<String, List<String>> families, String metric, Map<String, String> labels,
            double value) {
        StringBuilder sample = new StringBuilder(metric).append('{');
        labels.forEach((key, label) -> sample.append(sample.charAt(sample.length() - 1) == '{' ? "" : ",")
                .append(key).append("=\"").append(escape(label)).append('"'));
        families.computeIfAbsent(metric, m -> new ArrayList<>())
                .add(sample.append("} ").append(number(value)).toString());
    }

    static String number(double value) {
        if (Double.isInfinite(value)) {
            return value > 0 ? "+Inf" : "-Inf";
        }
        return Double.toString(value);
    }

    private static String name(String text) {
        return text.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9_]", "_");
    }

    private static String unquote(String value) {
        try {
            return value.startsWith("\"") ? ObjectName.unquote(value) : value;
        } catch (IllegalArgumentException e) {
            return value;
        }
    }

    private static String escape(String label) {
        return label.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
    }
}
