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
 * The line-JSON channel to the Go entry point: events go out on a pipe of their own, so that what a plugin prints can never
 * be taken for an event; commands come in on standard input.
 */
final class Channel {
    static final ObjectMapper JSON = new ObjectMapper();

    private final BufferedReader in;
    private final OutputStream out;

    Channel(InputStream in, OutputStream out) {
        this.in = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        this.out = out;
    }

    /** Reads the next command; null when the Go entry point is gone. */
    JsonNode read() throws IOException {
        String line = in.readLine();
        return line == null ? null : JSON.readTree(line);
    }

    Settings readSettings() throws IOException {
        String line = in.readLine();
        if (line == null) {
            throw new IOException("no settings on standard input: the JVM is started by connect-runner");
        }
        return JSON.readValue(line, Settings.class);
    }

    /** Sends an event. Losing the reader is not an error here: the end of standard input already ends this process. */
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
            // Nobody is left to tell.
        }
    }
}
