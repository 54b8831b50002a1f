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

// RESTConfig returns a new client configuration of an administrator.
func (cp *ControlPlane) RESTConfig() *rest.Config {
	config := cp.unauthenticated()
	config.BearerToken = cp.token
	return config
}

// User returns the client configuration of a user, authenticated by a client certificate. RBAC grants all its rights.
func (cp *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	cert, key, err := cp.authority.client(name, groups...)
	if err != nil {
		return nil, err
	}
	config := cp.unauthenticated()
	config.CertData, config.KeyData = cert, key
	return config, nil
}

// ServiceAccount returns the client configuration of a service account, with a token that is valid for a day.
func (cp *ControlPlane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)},
	}
	issued, err := cp.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token for service account %s/%s: %w", namespace, name, err)
	}
	config := cp.unauthenticated()
	config.BearerToken = issued.Status.Token
	return config, nil
}

// unauthenticated returns a client configuration without credentials and without client-side rate limit.
func (cp *ControlPlane) unauthenticated() *rest.Config {
	return &rest.Config{
		Host:            cp.url,
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.authority.pem},
		QPS:             -1,
		UserAgent:       "weir-testkit",
	}
}

// Kubeconfig returns the path of a kubeconfig file of an administrator.
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
