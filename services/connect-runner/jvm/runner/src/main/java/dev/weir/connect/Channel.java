package dev.weir.connect;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The channel to the Go process, one JSON object per line. Events use a separate pipe, so that the output of a plugin
 * is never read as an event. Commands arrive on standard input.
 */
final class Channel {
    static final ObjectMapper JSON = new ObjectMapper();

    private final BufferedReader in;
    private final OutputStream out;

    Channel(InputStream in, OutputStream out) {
        this.in = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        this.out = out;
    }

    /** Reads the next command; null when the Go process has exited. */
    JsonNode read() throws IOException {
        String line = in.readLine();
        return line == null ? null : JSON.readTree(line);
    }

    Settings readSettings() throws IOException {
        String line = in.readLine();
        if (line == null) {
            throw new IOException("no settings on standard input; start the JVM with connect-runner");
        }
        return JSON.readValue(line, Settings.class);
    }

    /**
     * Sends an event. A write error is ignored: when the Go process exits, the end of standard input ends this process.
     */
    void send(String event, Map<String, ?> fields) {
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("event", event);
        message.putAll(fields);
        try {
            byte[] line = JSON.writeValueAsBytes(message);
            synchronized (out) {
                out.write(line);
                out.write('\n');
                out.flush();
            }
        } catch (IOException e) {
            // The Go process has exited.
        }
    }
}
