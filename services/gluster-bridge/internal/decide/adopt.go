package decide

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
)

// kadaluDriver is the name of kadalu's CSI driver.
const kadaluDriver = "kadalu"

// Attributes of kadalu's PersistentVolumes.
const (
	kadaluStorage = "hostvol"
	kadaluType    = "type"
	kadaluKind    = "pvtype"
	kadaluPath    = "path"
)

// annotationProvisionedBy names the driver that deletes the volume.
const annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"

// Adopt returns the PersistentVolumes that replace those of kadalu's driver: the driver of a PersistentVolume cannot be
// changed. They have the names and the claims of the existing ones. The error names each PersistentVolume that cannot
// be adopted, and the field.
func Adopt(pvs []corev1.PersistentVolume, storages []kadaluv1alpha1.KadaluStorage) ([]corev1.PersistentVolume, error) {
	var adopted []corev1.PersistentVolume
	var problems []error
	handles := map[string]string{}
	for i := range pvs {
		pv := &pvs[i]
		if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != kadaluDriver {
			continue
		}
		replacement, err := replace(pv, storages)
		if err != nil {
			problems = append(problems, fmt.Errorf("PersistentVolume %s: %w", pv.Name, err))
			continue
		}
		handle := replacement.Spec.CSI.VolumeHandle
		if other := handles[handle]; other != "" {
			problems = append(problems, fmt.Errorf("PersistentVolume %s: it has the same data as PersistentVolume %s; remove "+
				"one of them", pv.Name, other))
		}
		handles[handle] = pv.Name
		adopted = append(adopted, *replacement)
	}
	if len(adopted) == 0 && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("there are no PersistentVolumes with spec.csi.driver %s; use the output of "+
			"kubectl get pv,kadalustorages -A -o yaml", kadaluDriver))
	}
	slices.SortFunc(adopted, func(a, b corev1.PersistentVolume) int { return cmp.Compare(a.Name, b.Name) })
	return adopted, errors.Join(problems...)
}

func replace(pv *corev1.PersistentVolume, storages []kadaluv1alpha1.KadaluStorage) (*corev1.PersistentVolume, error) {
	attributes := pv.Spec.CSI.VolumeAttributes
	if kind := attributes[kadaluType]; kind != TypeExternal {
		return nil, fmt.Errorf("volumeAttributes.%s %q: only %s is supported; the GlusterFS volumes of other types run in "+
			"pods of kadalu", kadaluType, kind, TypeExternal)
	}
	if kind := attributes[kadaluKind]; kind != "" && kind != "subvol" {
		return nil, fmt.Errorf("volumeAttributes.%s %q: must be subvol; copy the data of a block volume into a new claim",
			kadaluKind, kind)
	}
	s, err := storageNamed(attributes[kadaluStorage], storages)
	if err != nil {
		return nil, err
	}
	id := VolumeID{Namespace: s.Namespace, Storage: s.Name}
	data := strings.Trim(attributes[kadaluPath], "/")
	switch {
	case data == "" && s.Native:
		return nil, fmt.Errorf("volumeAttributes.%s is missing, and KadaluStorage %s has directories; set "+
			"kadalu-format: false", kadaluPath, s.ID())
	case data != "" && !s.Native:
		return nil, fmt.Errorf("volumeAttributes.%s %q: KadaluStorage %s has kadalu-format: false; set it to true",
			kadaluPath, data, s.ID())
	case data != "":
		id.Directory = path.Base(data)
		if !ValidDirectory(id.Directory) || DataPath(id.Directory) != data {
			return nil, fmt.Errorf("volumeAttributes.%s %q: is not the directory of a volume in kadalu's layout",
				kadaluPath, data)
		}
	}
	if _, err := ParseVolumeID(id.String()); err != nil {
		return nil, fmt.Errorf("volume id %q: %w", id, err)
	}
	annotations := maps.Clone(pv.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	annotations[annotationProvisionedBy] = Driver
	out := &corev1.PersistentVolume{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{
			Name: pv.Name, Labels: pv.Labels, Annotations: annotations,
		},
		Spec: *pv.Spec.DeepCopy(),
	}
	out.Spec.CSI = &corev1.CSIPersistentVolumeSource{
		Driver: Driver, VolumeHandle: id.String(), ReadOnly: pv.Spec.CSI.ReadOnly, VolumeAttributes: Context(s, id),
	}
	if out.Spec.ClaimRef != nil {
		// The UID binds it to the existing claim only.
		out.Spec.ClaimRef.ResourceVersion = ""
	}
	return out, nil
}

// storageNamed returns the storage that kadalu calls by its name alone.
func storageNamed(name string, storages []kadaluv1alpha1.KadaluStorage) (Storage, error) {
	var found []Storage
	for i := range storages {
		if storages[i].Name != name || storages[i].Spec.Type != TypeExternal {
			continue
		}
		s, findings := Resolve(&storages[i])
		if len(findings) > 0 {
			return s, fmt.Errorf("KadaluStorage %s: %w", s.ID(), findings[0])
		}
		found = append(found, s)
	}
	if len(found) != 1 {
		return Storage{}, fmt.Errorf("volumeAttributes.%s %q: matches %d KadaluStorages of type %s in the input; it must "+
			"match exactly one", kadaluStorage, name, len(found), TypeExternal)
	}
	return found[0], nil
}
