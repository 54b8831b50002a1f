package reconcile

import (
	"k8s.io/client-go/kubernetes"

	"github.com/weir-dev/weir/generated/clientset/versioned"
)

// actor carries out plans.
type actor struct {
	kube kubernetes.Interface
	weir versioned.Interface
}
