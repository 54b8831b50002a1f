package desired

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"

	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// supporting holds the objects that the pods of a connector need. Services that the spec does not ask for are nil.
type supporting struct {
	serviceAccount   *corev1ac.ServiceAccountApplyConfiguration
	role             *rbacv1ac.RoleApplyConfiguration
	roleBinding      *rbacv1ac.RoleBindingApplyConfiguration
	connectorSecret  *corev1ac.SecretApplyConfiguration
	taskConfigs      *corev1ac.SecretApplyConfiguration
	budget           *policyv1ac.PodDisruptionBudgetApplyConfiguration
	connectorService *corev1ac.ServiceApplyConfiguration
	taskService      *corev1ac.ServiceApplyConfiguration
	taskHeadless     *corev1ac.ServiceApplyConfiguration
}

// supporting returns the objects that the pods need.
func (b Builder) supporting() supporting {
	c, e := b.state.Connector, b.spec
	connector, tasks := observed.ConnectorName(c.Name), observed.TasksName(c.Name)
	owner := func() *metav1ac.OwnerReferenceApplyConfiguration { return OwnerReference(observed.ConnectorOwner(c)) }
	connectorLabels, taskLabels := Labels(c, contract.TypeConnector), Labels(c, contract.TypeTask)
	objects := supporting{
		serviceAccount: corev1ac.ServiceAccount(connector, c.Namespace).
			WithLabels(connectorLabels).WithOwnerReferences(owner()).
			// The connector's pod requests its token explicitly.
			WithAutomountServiceAccountToken(false),
		// The connector's pod may read and patch one Secret. connect-scheduler creates this Secret.
		role: rbacv1ac.Role(connector, c.Namespace).WithLabels(connectorLabels).WithOwnerReferences(owner()).
			WithRules(rbacv1ac.PolicyRule().
				WithAPIGroups("").WithResources("secrets").WithResourceNames(tasks).WithVerbs("get", "patch")),
		roleBinding: rbacv1ac.RoleBinding(connector, c.Namespace).
			WithLabels(connectorLabels).
			WithOwnerReferences(owner()).
			WithRoleRef(rbacv1ac.RoleRef().WithAPIGroup("rbac.authorization.k8s.io").WithKind("Role").WithName(connector)).
			WithSubjects(rbacv1ac.Subject().WithKind("ServiceAccount").WithName(connector).WithNamespace(c.Namespace)),
		// The files are in a Secret because the connector configuration and JVM options may contain passwords.
		connectorSecret: corev1ac.Secret(connector, c.Namespace).
			WithLabels(connectorLabels).
			WithOwnerReferences(owner()).
			WithData(b.connectorFiles()),
		taskConfigs: corev1ac.Secret(tasks, c.Namespace).WithLabels(taskLabels).WithOwnerReferences(owner()),
		budget: policyv1ac.PodDisruptionBudget(tasks, c.Namespace).WithLabels(taskLabels).WithOwnerReferences(owner()).
			WithSpec(policyv1ac.PodDisruptionBudgetSpec().
				WithSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(c.Name, contract.TypeTask))).
				WithMaxUnavailable(e.MaxUnavailable).
				// Otherwise tasks that fail would block the drain of their nodes.
				WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow)),
	}
	if e.Connector.ServiceSpec != nil {
		objects.connectorService = service(connector, c, contract.TypeConnector, e.Connector.ServiceSpec)
	}
	if e.Task.ServiceSpec != nil {
		objects.taskService = service(tasks, c, contract.TypeTask, e.Task.ServiceSpec)
		objects.taskHeadless = service(observed.HeadlessName(c.Name), c, contract.TypeTask, &corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, Ports: headlessPorts(e.Task.ServiceSpec.Ports), PublishNotReadyAddresses: true,
		})
	}
	return objects
}

// service returns the Service of the user with the selector of the pods.
func service(
	name string, c *connectv1.KafkaConnector, podType string, own *corev1.ServiceSpec,
) *corev1ac.ServiceApplyConfiguration {
	own = own.DeepCopy()
	own.Selector = Selector(c.Name, podType)
	for i := range own.Ports {
		if own.Ports[i].Protocol == "" {
			own.Ports[i].Protocol = corev1.ProtocolTCP
		}
		// The API server sets this default. Without it the desired and the observed object would always differ.
		if own.Ports[i].TargetPort == (intstr.IntOrString{}) {
			own.Ports[i].TargetPort = intstr.FromInt32(own.Ports[i].Port)
		}
	}
	return corev1ac.Service(name, c.Namespace).
		WithLabels(Labels(c, podType)).
		WithOwnerReferences(OwnerReference(observed.ConnectorOwner(c))).
		WithSpec(convert[corev1ac.ServiceSpecApplyConfiguration](own))
}

// headlessPorts returns the ports without node ports, which a headless Service cannot have.
func headlessPorts(ports []corev1.ServicePort) []corev1.ServicePort {
	found := make([]corev1.ServicePort, len(ports))
	for i, p := range ports {
		p.NodePort = 0
		found[i] = p
	}
	return found
}
