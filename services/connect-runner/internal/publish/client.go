package publish

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Secrets is a client with the verbs get and patch, the only ones that the pod's ServiceAccount has.
type Secrets interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error)
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions,
		subresources ...string) (*corev1.Secret, error)
}

// NewSecrets returns a client for the Secrets of a namespace. Kubernetes' generated client knows the types of all API
// groups, and each pod would need the memory and the time to register them.
func NewSecrets(config *rest.Config, namespace string) (Secrets, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register the types of v1: %w", err)
	}
	config = rest.CopyConfig(config)
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	config.APIPath, config.GroupVersion = "/api", &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	return secrets{client, namespace, runtime.NewParameterCodec(scheme)}, nil
}

type secrets struct {
	client     rest.Interface
	namespace  string
	parameters runtime.ParameterCodec
}

func (s secrets) Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.client.Get().Namespace(s.namespace).Resource("secrets").Name(name).
		VersionedParams(&opts, s.parameters).Do(ctx).Into(secret)
	return secret, err
}

func (s secrets) Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions,
	subresources ...string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.client.Patch(pt).Namespace(s.namespace).Resource("secrets").Name(name).SubResource(subresources...).
		VersionedParams(&opts, s.parameters).Body(data).Do(ctx).Into(secret)
	return secret, err
}

// configuration is the part of a Secret that is applied. Kubernetes' own type imports the generated client.
type configuration struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metadata          `json:"metadata"`
	Data            map[string][]byte `json:"data,omitempty"`
}

type metadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	ResourceVersion string            `json:"resourceVersion"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

// GetName returns the name for apply.Object.
func (c *configuration) GetName() *string { return &c.Metadata.Name }
