package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// DefaultAllowedVolumeTypes returns the types of volumes that templates may use by default. They reach no files of the
// node and no credentials of other namespaces.
func DefaultAllowedVolumeTypes() []string {
	return []string{"secret", "configMap", "emptyDir", "persistentVolumeClaim", "csi", "image"}
}

// ValidateVolumeTypes returns an error if one of the types is not the name of a field of a Kubernetes volume.
func ValidateVolumeTypes(types []string) error {
	known := volumeTypes()
	for _, t := range types {
		if !slices.Contains(known, t) {
			return fmt.Errorf("%q is not a volume type; must be one of %s", t, strings.Join(known, ", "))
		}
	}
	return nil
}

// volumeTypes returns the names of the fields of a Kubernetes volume that select its type.
func volumeTypes() []string {
	var found []string
	for i := range reflect.TypeFor[corev1.VolumeSource]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[corev1.VolumeSource]().Field(i).Tag.Get("json"), ",")
		found = append(found, name)
	}
	slices.Sort(found)
	return found
}

// templatesAreAllowed rejects templates that give the author of a connector access to nodes or to the traffic of
// other Services. The ValidatingAdmissionPolicy of the deployment rejects the same specs, but it may be missing, or
// newer than the connector.
func templatesAreAllowed(s observed.State, e Effective) *Finding {
	for _, t := range e.templates() {
		for _, v := range t.Pod.Volumes {
			for _, kind := range typesOf(v) {
				if !slices.Contains(s.Settings.AllowedVolumeTypes, kind) {
					return notAllowed("%s.pod.volumes (or the template for all pods): volume %s has the type %s; allowed types: %s",
						t.field, v.Name, kind, strings.Join(s.Settings.AllowedVolumeTypes, ", "))
				}
			}
		}
		if c := t.Pod.SecurityContext; c != nil && c.WindowsOptions != nil && c.WindowsOptions.HostProcess != nil &&
			*c.WindowsOptions.HostProcess {
			return notAllowed("%s.pod.securityContext.windowsOptions.hostProcess (or the template for all pods) is true: "+
				"such pods run on the host; remove it", t.field)
		}
	}
	for _, w := range []struct {
		field   string
		service *corev1.ServiceSpec
	}{{"connector", e.Connector.ServiceSpec}, {"task", e.Task.ServiceSpec}} {
		switch {
		case w.service == nil:
		case len(w.service.ExternalIPs) > 0:
			return notAllowed("spec.%s.serviceSpec.externalIPs %s: external IPs can redirect the traffic of other Services; "+
				"remove them or use type LoadBalancer", w.field, strings.Join(w.service.ExternalIPs, ", "))
		case w.service.Type == corev1.ServiceTypeExternalName:
			return notAllowed("spec.%s.serviceSpec.type ExternalName: use ClusterIP, NodePort or LoadBalancer", w.field)
		}
	}
	return nil
}

func notAllowed(format string, args ...any) *Finding {
	return &Finding{connectv1.ReasonTemplateNotAllowed, fmt.Sprintf(format, args...)}
}

// typesOf returns the types of a volume. A valid volume has exactly one.
func typesOf(v corev1.Volume) []string {
	data, err := json.Marshal(v.VolumeSource)
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(fields))
}
