/** The JVM part of connect-runner: one connector or one task of Kafka Connect, without a Connect worker around it. */
package dev.weir.connect;
