package desired

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
)

// The API server sets defaults in lists that are owned as a whole. The functions of this file set the same defaults in
// the desired objects, so that they can be compared with the observed objects.

// fieldVersion is the default API version of a field reference.
const fieldVersion = "v1"

func defaultedEnv(v corev1.EnvVar) corev1.EnvVar {
	v = *v.DeepCopy()
	if v.ValueFrom != nil {
		defaultField(v.ValueFrom.FieldRef)
		defaultResource(v.ValueFrom.ResourceFieldRef)
	}
	return v
}

func defaultedVolume(v corev1.Volume) corev1.Volume {
	v = *v.DeepCopy()
	if v.DownwardAPI != nil {
		defaultItems(v.DownwardAPI.Items)
	}
	if v.Projected != nil {
		for i := range v.Projected.Sources {
			source := &v.Projected.Sources[i]
			if source.DownwardAPI != nil {
				defaultItems(source.DownwardAPI.Items)
			}
			if source.ServiceAccountToken != nil {
				source.ServiceAccountToken.ExpirationSeconds = cmp.Or(
					source.ServiceAccountToken.ExpirationSeconds,
					ptr.To[int64](3600),
				)
			}
		}
	}
	return v
}

func defaultItems(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		defaultField(items[i].FieldRef)
		defaultResource(items[i].ResourceFieldRef)
	}
}

func defaultField(ref *corev1.ObjectFieldSelector) {
	if ref != nil {
		ref.APIVersion = cmp.Or(ref.APIVersion, fieldVersion)
	}
}

func defaultResource(ref *corev1.ResourceFieldSelector) {
	if ref != nil && ref.Divisor.IsZero() {
		ref.Divisor = resource.MustParse("0")
	}
}
