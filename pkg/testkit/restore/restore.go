// Package restore writes stored objects to a control plane.
package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/restmapper"

	"github.com/weir-dev/weir/pkg/testkit"
)

// Objects writes objects of another control plane as they are, with their UIDs, owners, managed fields and status. It
// writes to etcd, because the API server does not accept these fields. Call it in testkit.WithPreparation: controllers
// would act on a part of the objects. The definitions of custom resources must exist.
func Objects(ctx context.Context, cp *testkit.ControlPlane, objects ...*unstructured.Unstructured) error {
	groups, err := restmapper.GetAPIGroupResources(cp.Client().Discovery())
	if err != nil {
		return fmt.Errorf("list the resources: %w", err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	connection, err := grpc.NewClient("unix://"+filepath.Join(cp.Dir(), "etcd.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	for _, object := range objects {
		key, err := storageKey(mapper, object)
		if err != nil {
			return fmt.Errorf("restore %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		object = object.DeepCopy()
		object.SetResourceVersion("")
		value, err := json.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("restore %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		// The fields 1 and 2 of etcdserverpb.PutRequest.
		request := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
		request = protowire.AppendBytes(protowire.AppendTag(request, 2, protowire.BytesType), value)
		var response []byte
		err = connection.Invoke(ctx, "/etcdserverpb.KV/Put", request, &response, grpc.ForceCodec(encoded{}))
		if err != nil {
			return fmt.Errorf("restore %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// storageKey returns the key in etcd.
func storageKey(mapper meta.RESTMapper, object *unstructured.Unstructured) (string, error) {
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return "", err
	}
	resource := mapping.Resource
	directory := resource.Resource
	switch builtIn := !strings.Contains(resource.Group, ".") || strings.HasSuffix(resource.Group, ".k8s.io"); {
	case !builtIn:
		directory = resource.Group + "/" + resource.Resource
	case directory == "nodes":
		directory = "minions"
	case directory == "services":
		directory = "services/specs"
	}
	namespace := object.GetNamespace()
	if (namespace == "") != (mapping.Scope.Name() == meta.RESTScopeNameRoot) {
		return "", fmt.Errorf("namespace %q does not match the scope %s", namespace, mapping.Scope.Name())
	}
	return path.Join("/registry", directory, namespace, object.GetName()), nil
}

// encoded is a codec for messages that are in wire format.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (encoded) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = data
	return nil
}
