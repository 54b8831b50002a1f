package decide

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/weir-dev/weir/apis/contract"
)

// objects are all that stands around the pods.
type objects struct {
	serviceAccount   *corev1ac.ServiceAccountApplyConfiguration
	role             *rbacv1ac.RoleApplyConfiguration
	roleBinding      *rbacv1ac.RoleBindingApplyConfiguration
	connectorSecret  *corev1ac.SecretApplyConfiguration
	connectorConfig  *corev1ac.ConfigMapApplyConfiguration
	taskRunnerConfig *corev1ac.ConfigMapApplyConfiguration
	taskConfigs      *corev1ac.SecretApplyConfiguration
	budget           *policyv1ac.PodDisruptionBudgetApplyConfiguration
	connectorService *corev1ac.ServiceApplyConfiguration
	taskService      *corev1ac.ServiceApplyConfiguration
	taskHeadless     *corev1ac.ServiceApplyConfiguration
}

func surroundings(s State, e effective) objects {
	c := s.Connector
	connector, tasks := ConnectorName(c.Name), TasksName(c.Name)
	owner := func() *metav1ac.OwnerReferenceApplyConfiguration {
		return ownerReference("KafkaConnector", c.Name, c.UID)
	}
	connectorLabels, taskLabels := labelsOf(c, contract.TypeConnector), labelsOf(c, contract.TypeTask)
	connectorKind, taskKind := e.kinds(c.Name)
	made := objects{
		serviceAccount: corev1ac.ServiceAccount(connector, c.Namespace).WithLabels(connectorLabels).WithOwnerReferences(owner()).
			// Pods ask for the token themselves.
			WithAutomountServiceAccountToken(false),
		// The connector's pod may write one Secret, and nothing else. The Secret is made here, so it need not create any.
		role: rbacv1ac.Role(connector, c.Namespace).WithLabels(connectorLabels).WithOwnerReferences(owner()).
			WithRules(rbacv1ac.PolicyRule().WithAPIGroups("").WithResources("secrets").WithResourceNames(tasks).WithVerbs("get", "patch")),
		roleBinding: rbacv1ac.RoleBinding(connector, c.Namespace).WithLabels(connectorLabels).WithOwnerReferences(owner()).
			WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(connector)).
			WithSubjects(rbacv1ac.Subject().WithKind("ServiceAccount").WithName(connector).WithNamespace(c.Namespace)),
		// A connector's configuration may hold passwords, so it is nothing for a ConfigMap.
		connectorSecret: corev1ac.Secret(connector, c.Namespace).WithLabels(connectorLabels).WithOwnerReferences(owner()).
			WithData(map[string][]byte{path.Base(contract.ConnectorConfigFile): encode(e.connectorConfig)}),
		connectorConfig: corev1ac.ConfigMap(connector, c.Namespace).WithLabels(connectorLabels).WithOwnerReferences(owner()).
			WithData(map[string]string{path.Base(contract.RunnerConfigFile): string(encode(runnerConfig(e, connectorKind)))}),
		taskRunnerConfig: corev1ac.ConfigMap(tasks, c.Namespace).WithLabels(taskLabels).WithOwnerReferences(owner()).
			WithData(map[string]string{path.Base(contract.RunnerConfigFile): string(encode(runnerConfig(e, taskKind)))}),
		taskConfigs: corev1ac.Secret(tasks, c.Namespace).WithLabels(taskLabels).WithOwnerReferences(owner()),
		budget: policyv1ac.PodDisruptionBudget(tasks, c.Namespace).WithLabels(taskLabels).WithOwnerReferences(owner()).
			WithSpec(policyv1ac.PodDisruptionBudgetSpec().
				WithSelector(metav1ac.LabelSelector().WithMatchLabels(selector(c.Name, contract.TypeTask))).
				WithMaxUnavailable(e.maxUnavailable)),
	}
	if e.connector.ServiceSpec != nil {
		made.connectorService = service(connector, s, contract.TypeConnector, e.connector.ServiceSpec)
	}
	if e.task.ServiceSpec != nil {
		made.taskService = service(tasks, s, contract.TypeTask, e.task.ServiceSpec)
		headless := &corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: headlessPorts(e.task.ServiceSpec.Ports), PublishNotReadyAddresses: true}
		made.taskHeadless = service(HeadlessName(c.Name), s, contract.TypeTask, headless)
	}
	return made
}

// service is the Service that the user describes, with the pods' own selector.
func service(name string, s State, kind string, spec *corev1.ServiceSpec) *corev1ac.ServiceApplyConfiguration {
	spec = spec.DeepCopy()
	spec.Selector = selector(s.Connector.Name, kind)
	for i := range spec.Ports {
		if spec.Ports[i].Protocol == "" {
			spec.Ports[i].Protocol = corev1.ProtocolTCP
		}
		// The API would default it; left out, what is applied would never equal what is there.
		if spec.Ports[i].TargetPort == (intstr.IntOrString{}) {
			spec.Ports[i].TargetPort = intstr.FromInt32(spec.Ports[i].Port)
		}
	}
	return corev1ac.Service(name, s.Connector.Namespace).
		WithLabels(labelsOf(s.Connector, kind)).
		WithOwnerReferences(ownerReference("KafkaConnector", s.Connector.Name, s.Connector.UID)).
		WithSpec(convert[corev1ac.ServiceSpecApplyConfiguration](spec))
}

// headlessPorts are the ports without those numbers that only a Service with an address of its own has.
func headlessPorts(ports []corev1.ServicePort) []corev1.ServicePort {
	found := make([]corev1.ServicePort, len(ports))
	for i, p := range ports {
		p.NodePort = 0
		found[i] = p
	}
	return found
}

// secretDiffers tells whether a Secret is other than wanted. What is seen of a Secret are the hashes of its values, so the hashes
// are compared.
func secretDiffers(c *collector, live *corev1.Secret, want *corev1ac.SecretApplyConfiguration) []*corev1ac.SecretApplyConfiguration {
	hashed := *want
	hashed.Data = make(map[string][]byte, len(want.Data))
	for key, value := range want.Data {
		hashed.Data[key] = []byte(contract.TaskConfigHash(value))
	}
	if len(differing(c, live, &hashed, corev1ac.ExtractSecret)) == 0 {
		return nil
	}
	return []*corev1ac.SecretApplyConfiguration{want}
}
