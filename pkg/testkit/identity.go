package testkit

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

// REST is an administrator's configuration; the caller may change it.
func (cp *ControlPlane) RESTConfig() *rest.Config {
	config := cp.anyone()
	config.BearerToken = cp.token
	return config
}

// User is the configuration of a user by the name and groups of its client certificate. Unlike one who is impersonated
// it may do only what RBAC gives it.
func (cp *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	cert, key, err := cp.authority.client(name, groups...)
	if err != nil {
		return nil, err
	}
	config := cp.anyone()
	config.CertData, config.KeyData = cert, key
	return config, nil
}

// ServiceAccount is the configuration of a service account, by a token that the API server issues for a day.
func (cp *ControlPlane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)}}
	issued, err := cp.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token of service account %s/%s: %w", namespace, name, err)
	}
	config := cp.anyone()
	config.BearerToken = issued.Status.Token
	return config, nil
}

// anyone reaches the API server but is nobody yet. The limit on the client's side is off: tests are not to wait for it.
func (cp *ControlPlane) anyone() *rest.Config {
	return &rest.Config{
		Host:            cp.url,
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.authority.pem},
		QPS:             -1,
		UserAgent:       "weir-testkit",
	}
}

// Kubeconfig is the path of an administrator's kubeconfig file.
func (cp *ControlPlane) Kubeconfig() string { return cp.file("kubeconfig") }

func (cp *ControlPlane) writeKubeconfig() error {
	const name = "testkit"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: cp.url, CertificateAuthorityData: cp.authority.pem}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: cp.token}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, cp.Kubeconfig())
}
