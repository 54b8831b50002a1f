package decide

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	storagev1ac "k8s.io/client-go/applyconfigurations/storage/v1"

	"github.com/weir-dev/weir/apis/contract"
	kadaluv1alpha1 "github.com/weir-dev/weir/apis/kadalu/v1alpha1"
)

// Parameters of a StorageClass.
const (
	// ParameterStorage is the name of the KadaluStorage.
	ParameterStorage = "storage_name"
	// ParameterNamespace is its namespace.
	ParameterNamespace = "storage_namespace"
)

// ClassParameters are all parameters of a StorageClass.
var ClassParameters = []string{ParameterStorage, ParameterNamespace}

// ClassOf returns the name of the StorageClass of a storage.
func ClassOf(name string) string { return "kadalu.external." + name }

// Class returns the StorageClass of a storage.
func Class(s Storage) *storagev1ac.StorageClassApplyConfiguration {
	policy := corev1.PersistentVolumeReclaimDelete
	return storagev1ac.StorageClass(ClassOf(s.Name)).
		WithLabels(map[string]string{
			contract.LabelName:      Manager,
			contract.LabelInstance:  s.Name,
			contract.LabelPartOf:    contract.PartOf,
			contract.LabelManagedBy: Manager,
		}).
		WithProvisioner(Driver).
		WithParameters(map[string]string{ParameterStorage: s.Name, ParameterNamespace: s.Namespace}).
		WithReclaimPolicy(policy).
		WithVolumeBindingMode(storagev1.VolumeBindingImmediate).
		WithAllowVolumeExpansion(s.Native)
}

// ClassConflict returns why a StorageClass with the name of the storage's class is not the one of the storage.
func ClassConflict(s Storage, class *storagev1.StorageClass) (reason kadaluv1alpha1.StorageReason, message string) {
	switch {
	case class == nil:
		return "", ""
	case class.Labels[contract.LabelManagedBy] != Manager:
		return kadaluv1alpha1.ReasonNameConflict, "StorageClass " + class.Name + " exists and is not managed by " + Manager +
			"; rename or delete it"
	case class.Parameters[ParameterNamespace] != s.Namespace:
		return kadaluv1alpha1.ReasonNameConflict, "StorageClass " + class.Name + " belongs to KadaluStorage " +
			class.Parameters[ParameterNamespace] + "/" + s.Name + "; rename one of the two storages"
	}
	return "", ""
}
