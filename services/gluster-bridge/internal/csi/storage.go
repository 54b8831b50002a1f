//go:build linux

package csi

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-dev/weir/services/gluster-bridge/internal/decide"
	"github.com/weir-dev/weir/services/gluster-bridge/internal/gluster"
)

// hold is the lock of a volume. It is released when the call and everything that it started have ended: a system call
// on an unavailable storage can last longer than its call.
type hold struct {
	unlock func()
	users  atomic.Int32
}

// lock locks a volume for a call, which calls release at its end.
func (c *Controller) lock(id decide.VolumeID, operation string) (*hold, error) {
	unlock, err := c.Locks.Lock(id.String(), operation)
	if err != nil {
		return nil, err
	}
	h := &hold{unlock: unlock}
	h.users.Store(1)
	return h, nil
}

func (h *hold) release() {
	if h.users.Add(-1) == 0 {
		h.unlock()
	}
}

// do runs f on a storage for a call that has locked the volume. f can run longer than do.
func (c *Controller) do(
	ctx context.Context, held *hold, s decide.Storage, f func(context.Context, *gluster.Tree) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	held.users.Add(1)
	return statusOf("storage "+s.ID(), c.Pool.Of(s.Volume).Do(ctx, f, held.release))
}

// statusOf gives an error of the outside world a status code.
func statusOf(subject string, err error) error {
	if err == nil {
		return nil
	}
	if s := (interface{ GRPCStatus() *status.Status })(nil); errors.As(err, &s) {
		return err
	}
	code := codes.Unavailable
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		code = codes.ResourceExhausted
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		code = codes.FailedPrecondition
	}
	return status.Errorf(code, "%s: %v", subject, err)
}

// storageOf returns the storage that the parameters of a StorageClass name.
func (c *Controller) storageOf(parameters map[string]string) (decide.Storage, error) {
	for name := range parameters {
		if !slices.Contains(decide.ClassParameters, name) && !strings.HasPrefix(name, "csi.storage.k8s.io/") {
			return decide.Storage{}, status.Errorf(codes.InvalidArgument,
				"parameter %q of the StorageClass is not known; use %s", name, strings.Join(decide.ClassParameters, " and "))
		}
	}
	name, namespace := parameters[decide.ParameterStorage], parameters[decide.ParameterNamespace]
	if name == "" {
		return decide.Storage{}, status.Errorf(codes.InvalidArgument,
			"parameter %s of the StorageClass is missing; set it to the name of a KadaluStorage", decide.ParameterStorage)
	}
	if namespace != "" {
		s, gone, err := c.Storages.Get(namespace + "/" + name)
		if gone {
			return s, status.Errorf(codes.InvalidArgument, "KadaluStorage %s/%s does not exist", namespace, name)
		}
		if err != nil {
			return s, status.Error(codes.FailedPrecondition, err.Error())
		}
		return s, nil
	}
	var found []decide.Storage
	for _, s := range c.Storages.All() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return decide.Storage{}, status.Errorf(codes.InvalidArgument,
			"parameter %s %q of the StorageClass matches %s KadaluStorages; set %s", decide.ParameterStorage, name,
			strconv.Itoa(len(found)), decide.ParameterNamespace)
	}
	return found[0], nil
}
