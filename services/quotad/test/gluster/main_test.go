//go:build linux

// Package gluster tests quotad with GlusterFS on a kernel that enforces XFS project quota.
package gluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/testkit/gluster"
	quotad "github.com/weir-dev/weir/services/quotad/internal/app"
)

// asQuotad is set in a process of this test binary that is quotad.
const asQuotad = "WEIR_TEST_QUOTAD"

func TestMain(m *testing.M) {
	if os.Getenv(asQuotad) != "" {
		if err := restrict(); err != nil {
			fmt.Fprintln(os.Stderr, "give up capabilities:", err)
			os.Exit(1)
		}
		os.Exit(app.Main(quotad.Command()))
	}
	gluster.MainWithQuota(m)
}

// restrict gives up all capabilities that the systemd unit does not grant.
func restrict() error {
	unit, err := os.ReadFile("../../../../deploy/quotad/package/quotad.service")
	if err != nil {
		return err
	}
	_, after, found := bytes.Cut(unit, []byte("\nCapabilityBoundingSet="))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	if !found {
		return errors.New("the unit has no CapabilityBoundingSet")
	}
	known := map[string]int{
		"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_FOWNER": unix.CAP_FOWNER, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	for name := range strings.FieldsSeq(string(line)) {
		bit, isKnown := known[name]
		if !isKnown {
			return fmt.Errorf("capability %s is not known to this test", name)
		}
		sets[0].Permitted |= 1 << bit
	}
	sets[0].Effective = sets[0].Permitted
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)),
		uintptr(unsafe.Pointer(&sets[0])), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
