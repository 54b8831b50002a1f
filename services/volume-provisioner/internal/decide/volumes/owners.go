package volumes

import (
	"strings"
	"sync"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/observed"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Owners returns the sets of existing volumes: according to the PersistentVolume of a claim, and to the work of the
// agents, which stays when a set is deleted.
func Owners(s *observed.State) spec.Owners {
	// Few decisions need the directories.
	directories := sync.OnceValue(func() map[string]string { return directoryOwners(s) })
	return spec.Owners{
		Claim: func(claim string) string {
			v := spec.Volume{Namespace: s.Set.Namespace, Claim: claim}
			if pv := Find(s, v); pv != nil && Managed(pv) {
				return spec.ID(v.Namespace, pv.Annotations[storagev1alpha1.AnnotationSet])
			}
			return directories()[v.ID()]
		},
		Directory: func(path string) string { return directories()[path] },
	}
}

// directoryOwners returns the set of each directory by its path and by the id of the volume. Paths start with a slash
// and ids do not. A path that several sets have on different nodes belongs to none.
func directoryOwners(s *observed.State) map[string]string {
	owners := map[string]string{}
	for _, agent := range s.Agents {
		for _, d := range agent.Spec.Directories {
			namespace, _, _ := strings.Cut(d.ID, "/")
			owner := spec.ID(namespace, d.SetName)
			for _, key := range []string{d.ID, spec.Join(d.BasePath, d.Path)} {
				if known, ok := owners[key]; ok && known != owner {
					owner = ""
				}
				owners[key] = owner
			}
		}
	}
	return owners
}
