//go:build linux

package node

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// MachineIDFile is the file of the machine id, see machine-id(5).
const MachineIDFile = "/etc/machine-id"

var machineID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// MachineID reads the machine id from a file, usually MachineIDFile.
func MachineID(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the machine id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if !machineID.MatchString(id) {
		return "", fmt.Errorf("machine id %q in %s is not 32 lower-case hexadecimal digits; run systemd-machine-id-setup "+
			"on the node", id, file)
	}
	return id, nil
}
