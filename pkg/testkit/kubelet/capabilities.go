//go:build linux

package kubelet

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// capabilityNumbers are the capabilities that containers can have here, by name.
var capabilityNumbers = map[string]int{
	"AUDIT_WRITE": unix.CAP_AUDIT_WRITE, "CHOWN": unix.CAP_CHOWN, "DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE,
	"DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "FOWNER": unix.CAP_FOWNER, "FSETID": unix.CAP_FSETID,
	"KILL": unix.CAP_KILL, "MKNOD": unix.CAP_MKNOD, "NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"NET_RAW": unix.CAP_NET_RAW, "SETFCAP": unix.CAP_SETFCAP, "SETGID": unix.CAP_SETGID, "SETPCAP": unix.CAP_SETPCAP,
	"SETUID": unix.CAP_SETUID, "SYS_CHROOT": unix.CAP_SYS_CHROOT,
}

// defaultCapabilities are those of containerd.
var defaultCapabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",
	"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// keptCapabilities returns the capabilities of a container.
func keptCapabilities(c *corev1.Capabilities) ([]int, error) {
	names := slices.Clone(defaultCapabilities)
	if c != nil {
		names = slices.DeleteFunc(names, func(name string) bool {
			return slices.ContainsFunc(c.Drop, func(drop corev1.Capability) bool {
				return drop == "ALL" || strings.TrimPrefix(string(drop), "CAP_") == name
			})
		})
		for _, add := range c.Add {
			names = append(names, strings.TrimPrefix(string(add), "CAP_"))
		}
	}
	numbers := make([]int, len(names))
	for i, name := range names {
		number, found := capabilityNumbers[name]
		if !found {
			return nil, unsupported("capability " + name)
		}
		numbers[i] = number
	}
	return numbers, nil
}
