// Package broker tests the judgement of drain-cleaner against real Kafka brokers on loopback.
package broker
