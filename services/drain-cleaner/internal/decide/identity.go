package decide

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	drainv1alpha1 "github.com/weir-dev/weir/apis/drain/v1alpha1"
)

// Identify returns the Kafka node id of a pod, or a fault if it is unknown. It is unknown if the brokers advertise the
// pod with another id than its name or label: a decision about the wrong broker is worse than a delay.
func Identify(by *drainv1alpha1.BrokerID, pod *Pod, c *Cluster) (int32, Fault) {
	if by == nil {
		by = &drainv1alpha1.BrokerID{}
	}
	advertised, isAdvertised := advertisedID(pod, c)
	var id int32
	switch by.From {
	case drainv1alpha1.BrokerIDAdvertisedListener:
		if !isAdvertised {
			return 0, unknownID(
				"no broker, or more than one, advertises the pod's IP or a host name that starts with the pod's name")
		}
		return advertised, Fault{}
	case drainv1alpha1.BrokerIDLabel:
		value, ok := pod.Labels[by.Label]
		n, err := strconv.ParseInt(value, 10, 32)
		if !ok || err != nil || n < 0 {
			return 0, unknownID(fmt.Sprintf(
				"the pod's label %s=%q is not a node id; set it, or change spec.brokerId", by.Label, value))
		}
		id = int32(n)
	default:
		ordinal, ok := ordinal(pod.Name)
		n := int64(ordinal)
		if by.Offset != nil {
			n += int64(*by.Offset)
		}
		if !ok || n < 0 || n > 1<<31-1 {
			return 0, unknownID(fmt.Sprintf(
				"the pod name %s with the offset does not give a node id; set spec.brokerId", pod.Name))
		}
		id = int32(n)
	}
	if isAdvertised && advertised != id {
		return 0, unknownID(fmt.Sprintf(
			"spec.brokerId gives node id %d, but the brokers advertise the pod as %d; change spec.brokerId", id, advertised))
	}
	return id, Fault{}
}

func unknownID(message string) Fault {
	return Fault{Reason: drainv1alpha1.ReasonBrokerIDUnknown, Message: message}
}

// ordinal returns the number after the last hyphen of a pod name.
func ordinal(name string) (int32, bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 || at == len(name)-1 || strings.Trim(name[at+1:], "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(name[at+1:], 10, 32)
	return int32(n), err == nil
}

// advertisedID returns the id of the only broker whose advertised host is the pod.
func advertisedID(pod *Pod, c *Cluster) (id int32, found bool) {
	for _, b := range c.Brokers {
		if !isHostOf(b.Host, pod) {
			continue
		}
		if found {
			return 0, false
		}
		id, found = b.ID, true
	}
	return id, found
}

func isHostOf(host string, pod *Pod) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		own, err := netip.ParseAddr(pod.IP)
		return err == nil && ip.Unmap() == own.Unmap()
	}
	first, _, _ := strings.Cut(host, ".")
	return first == pod.Name
}
