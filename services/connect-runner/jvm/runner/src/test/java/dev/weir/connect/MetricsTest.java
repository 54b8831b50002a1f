package dev.weir.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

import java.util.Map;

import javax.management.MBeanServer;
import javax.management.MBeanServerFactory;
import javax.management.ObjectName;

class MetricsTest {
    /** A bean like those of Kafka. */
    public interface SampleMBean {
        double getPutBatchAvg();

        String getStatus();

        double getNothing();
    }

    /** Its values. */
    public static final class Sample implements SampleMBean {
        @Override
        public double getPutBatchAvg() {
            return 2.5;
        }

        @Override
        public String getStatus() {
            return "run\"ning\\";
        }

        @Override
        public double getNothing() {
            return Double.NaN;
        }
    }

    @Test
    @DisplayName("beans become samples with the labels of the pod and of the bean; strings become labels; "
            + "text is escaped")
    void writesPrometheusText() throws Exception {
        MBeanServer server = MBeanServerFactory.newMBeanServer();
        server.registerMBean(new Sample(),
                new ObjectName("kafka.connect:type=sink-task-metrics,connector=\"a,b\",task=1"));
        server.registerMBean(new Sample(), new ObjectName("kafka.connect:type=app-info,id=1"));
        server.registerMBean(new Sample(), new ObjectName("other:type=x"));
        String text = new Metrics(server, Map.of("connector", "c", "task", "0")).text();
        assertTrue(text.contains("kafka_connect_sink_task_metrics_putbatchavg{connector=\"a,b\",task=\"1\"} 2.5\n"),
                text);
        assertTrue(text.contains("kafka_connect_sink_task_metrics_status"
                + "{connector=\"a,b\",status=\"run\\\"ning\\\\\",task=\"1\"} 1.0\n"), text);
        assertTrue(text.contains("kafka_connect_sink_task_metrics_nothing{connector=\"a,b\",task=\"1\"} NaN\n"), text);
        assertTrue(text.contains("weir_connect_runner_jvm_heap_used_bytes{connector=\"c\",task=\"0\"}"), text);
        assertEquals(-1, text.indexOf("app_info"));
        assertEquals(-1, text.indexOf("other"));
    }
}
