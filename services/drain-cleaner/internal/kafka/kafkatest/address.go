package kafkatest

import (
	"net"
	"strconv"
)

func hostPort(address string) (host string, port int32) {
	host, number, _ := net.SplitHostPort(address)
	n, _ := strconv.ParseInt(number, 10, 32)
	return host, int32(n)
}
