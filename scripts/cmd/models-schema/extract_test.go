package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/generated/applyconfiguration"
	applyconnectv1 "github.com/weir-dev/weir/generated/applyconfiguration/connect/v1"
	"github.com/weir-dev/weir/generated/clientset/versioned/scheme"
)

// The schema exists for the Extract functions: they return the fields and list elements that a field manager owns.
func TestExtract(t *testing.T) {
	t.Run("only the fields that the manager owns are extracted", func(t *testing.T) {
		connector := managed(`{"f:spec":{"f:state":{}}}`, "")
		connector.Spec.State = connectv1.StatePaused
		connector.Spec.ImagePullPolicy = "Always"

		got, err := applyconnectv1.ExtractKafkaConnector(connector, "me")
		if err != nil {
			t.Fatal(err)
		}
		if got.Spec == nil || got.Spec.State == nil || *got.Spec.State != connectv1.StatePaused ||
			got.Spec.ImagePullPolicy != nil {
			t.Errorf("extracted %+v", got.Spec)
		}
	})

	t.Run("list elements are identified by their key", func(t *testing.T) {
		connector := managed(`{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:type":{},"f:status":{}}}}}`,
			"status")
		connector.Status.Conditions = []metav1.Condition{{Type: "ConfigValid"}, {Type: "Ready", Status: "True"}}

		got, err := applyconnectv1.ExtractKafkaConnectorStatus(connector, "me")
		if err != nil {
			t.Fatal(err)
		}
		if got.Status == nil || len(got.Status.Conditions) != 1 || *got.Status.Conditions[0].Type != "Ready" {
			t.Errorf("extracted %+v", got.Status)
		}
	})

	t.Run("embedded core types have their merge rules", func(t *testing.T) {
		connector := managed(
			`{"f:spec":{"f:task":{"f:serviceSpec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":`+
				`{".":{},"f:port":{},"f:protocol":{}}}}}}}`,
			"",
		)
		connector.Spec.Task = &connectv1.WorkloadSpec{ServiceSpec: &corev1.ServiceSpec{Ports: []corev1.ServicePort{
			{Port: 80, Protocol: corev1.ProtocolTCP},
			{Port: 81, Protocol: corev1.ProtocolTCP},
		}}}

		got, err := applyconnectv1.ExtractKafkaConnector(connector, "me")
		if err != nil {
			t.Fatal(err)
		}
		if got.Spec == nil || got.Spec.Task == nil || got.Spec.Task.ServiceSpec == nil ||
			len(got.Spec.Task.ServiceSpec.Ports) != 1 {
			t.Errorf("extracted %+v", got.Spec)
		}
	})

	t.Run("every kind is covered", func(t *testing.T) {
		types := applyconfiguration.NewTypeConverter(scheme.Scheme)
		for kind := range scheme.Scheme.AllKnownTypes() {
			object, err := scheme.Scheme.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			if _, named := object.(metav1.Object); !named || kind.Group == "" {
				continue
			}
			object.GetObjectKind().SetGroupVersionKind(kind)
			if _, err := types.ObjectToTyped(object); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	})
}

func managed(fields, subresource string) *connectv1.KafkaConnector {
	connector := &connectv1.KafkaConnector{}
	connector.Name = "users"
	connector.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager:     "me",
		Operation:   metav1.ManagedFieldsOperationApply,
		APIVersion:  connectv1.SchemeGroupVersion.String(),
		FieldsType:  "FieldsV1",
		FieldsV1:    metav1.NewFieldsV1(fields),
		Subresource: subresource,
	}}
	return connector
}
