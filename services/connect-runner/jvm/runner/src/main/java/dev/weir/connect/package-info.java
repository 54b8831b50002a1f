/** The Java part of connect-runner: runs one connector or one task of Kafka Connect without a Connect worker. */
package dev.weir.connect;
