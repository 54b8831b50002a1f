//go:build linux

package quotakernel

import (
	"bytes"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// largeRegisters reports whether the processor has AMX. Its registers do not fit into the buffer of user-mode Linux
// 6.1, and the kernel of the machine refuses to restore a part of them (EFAULT).
func largeRegisters() bool {
	content, _ := os.ReadFile("/proc/cpuinfo")
	return bytes.Contains(content, []byte(" amx_tile"))
}

// hideExtendedRegisters makes ptrace(PTRACE_GETREGSET, NT_X86_XSTATE) fail for programs that this thread starts.
// User-mode Linux then saves the registers of SSE only. Threads must not use AVX: see withoutVectors.
func hideExtendedRegisters() error {
	const (
		load, equal, end = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET
		// Offsets in struct seccomp_data.
		number, firstArgument, thirdArgument = 0, 16, 32
		extendedState                        = 0x202
		allow, fail                          = 0x7fff0000, 0x00050000
	)
	program := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_PTRACE, Jf: 5},
		{Code: load, K: firstArgument},
		{Code: equal, K: unix.PTRACE_GETREGSET, Jf: 3},
		{Code: load, K: thirdArgument},
		{Code: equal, K: extendedState, Jf: 1},
		{Code: end, K: fail | uint32(unix.EINVAL)},
		{Code: end, K: allow},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}

// withoutVectors is the setting of Go's runtime that avoids AVX.
const withoutVectors = "GODEBUG=cpu.all=off"

// withoutCryptoVectors is the same setting of OpenSSL, for GlusterFS.
const withoutCryptoVectors = "OPENSSL_ia32cap=~0x1000000000000000:0"

// withoutLibraryVectors is the same setting of glibc, for mkfs.xfs and GlusterFS.
const withoutLibraryVectors = "GLIBC_TUNABLES=glibc.cpu.hwcaps=" +
	"-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-EVEX,-FMA,-FMA4"
