// Package fakerunner simulates connect-runner in pods on simulated nodes, for tests, demonstrations and benchmarks
// only. It publishes the task configs of connector pods, finishes one-shot pods, and makes tasks fail on request. It
// does not copy records.
package fakerunner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"

	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/pkg/apply"
	"github.com/weir-dev/weir/pkg/controller"
)

// manager is connect-runner's field manager.
const manager = "connect-runner"

// Keys of connectorConfig that control the fake runner.
const (
	// keyTasks is the number of task configs to publish. Default: tasks.max.
	keyTasks = "fake.tasks"
	// keyTask is the prefix of the keys of one task: fake.task.1.topic sets the key topic of task 1.
	keyTask = "fake.task."
	// keyRaw is published unchanged in place of every task config.
	keyRaw = "fake.raw"
	// keyInvalid makes the validation fail with this message.
	keyInvalid = "fake.invalid"
	// keyValidationFails makes the first attempt of the validation fail with this message, as if Kafka were unreachable.
	keyValidationFails = "fake.validation.fails"
	// keyExactlyOnce makes the connector an exactly-once source.
	keyExactlyOnce = "fake.exactly.once"
	// keySink makes the connector a sink.
	keySink = "fake.sink"
)

// maxPlainBytes is the size up to which connect-runner publishes the plain format.
const maxPlainBytes = 512 << 10

// Options of a fake runner.
type Options struct {
	// Namespace is the only namespace to watch. Default: all namespaces.
	Namespace string
	// AsPod writes with a token of the connector pod's ServiceAccount, and so with the permissions of connect-runner.
	AsPod bool
	// Log receives a line for each published set of task configs.
	Log *slog.Logger
}

// Run simulates connect-runner until ctx ends.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create the client: %w", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(o.Namespace),
		informers.WithTweakListOptions(func(list *metav1.ListOptions) { list.LabelSelector = contract.LabelConnector }))
	runner := &runner{kube: kube, rest: config, options: o,
		pods: factory.Core().V1().Pods().Lister(), secrets: factory.Core().V1().Secrets().Lister()}
	c := controller.New("fake-runner", runner, controller.Options{
		Workers: 8, Log: o.Log, Metrics: prometheus.NewRegistry(),
	})
	secretLabel := controller.FromLabel[*corev1.Secret](contract.LabelConnector)
	err = errors.Join(
		controller.Watch(c, factory.Core().V1().Pods().Informer(), connectorPods),
		controller.Watch(c, factory.Core().V1().Secrets().Informer(), secretLabel),
	)
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	return c.Run(ctx)
}

// connectorPods maps the pods of connectors and one-shot pods to their connector.
func connectorPods(pod *corev1.Pod) []controller.Key {
	if pod.Labels[contract.LabelType] == contract.TypeTask {
		return nil
	}
	return controller.FromLabel[*corev1.Pod](contract.LabelConnector)(pod)
}

type runner struct {
	kube    kubernetes.Interface
	rest    *rest.Config
	options Options
	pods    corev1listers.PodLister
	secrets corev1listers.SecretLister
	// published holds the UIDs of the pods that have published. Like connect-runner, a pod publishes its task configs
	// once.
	published sync.Map
}

// Reconcile finishes one-shot pods. It publishes task configs once the connector's pod is ready and its Secret exists.
func (r *runner) Reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	for _, operation := range oneShots {
		if err := r.finishOneShot(ctx, key, operation); err != nil {
			return controller.Result{}, err
		}
	}
	pod, err := r.pods.Pods(key.Namespace).Get(key.Name + "-connector-0")
	if err != nil || pod.DeletionTimestamp != nil || !isReady(pod) {
		return controller.Result{}, nil //nolint:nilerr // the pod's next event starts a reconcile
	}
	secret, err := r.secrets.Secrets(key.Namespace).Get(key.Name + "-tasks")
	generation := envValue(pod, contract.EnvConfigGeneration)
	if err != nil {
		return controller.Result{}, nil //nolint:nilerr // the Secret's next event starts a reconcile
	}
	if _, done := r.published.Load(pod.UID); done {
		return controller.Result{}, nil
	}
	if secret.Annotations[contract.AnnotationGeneration] == generation {
		r.published.Store(pod.UID, true)
		return controller.Result{}, nil
	}
	config, err := r.readConfig(ctx, pod.Namespace, strings.TrimSuffix(pod.Name, "-0"))
	if err != nil {
		return controller.Result{}, err
	}
	client := r.kube
	if r.options.AsPod {
		if client, err = r.asPod(ctx, pod); err != nil {
			return controller.Result{}, err
		}
	}
	desired, err := publication(secret, generation, config, envValue(pod, contract.EnvTaskFormat))
	if err != nil {
		return controller.Result{}, err
	}
	if _, err := apply.Object(ctx, client.CoreV1().Secrets(key.Namespace), manager, desired); err != nil {
		return controller.Result{}, fmt.Errorf("publish task configs of %s: %w", key, err)
	}
	r.published.Store(pod.UID, true)
	r.options.Log.Info("published task configs",
		"connector", key.String(), "tasks", desired.Annotations[contract.AnnotationTaskCount])
	return controller.Result{}, nil
}

// readConfig reads the connector configuration from the Secret that is mounted in a pod.
func (r *runner) readConfig(ctx context.Context, namespace, secret string) (map[string]string, error) {
	files, err := r.kube.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", secret, err)
	}
	var config map[string]string
	if err := json.Unmarshal(files.Data[path.Base(contract.ConnectorConfigFile)], &config); err != nil {
		return nil, fmt.Errorf("parse connector.json of Secret %s: %w", secret, err)
	}
	return config, nil
}

// asPod returns a client with the ServiceAccount of the connector's pod.
func (r *runner) asPod(ctx context.Context, pod *corev1.Pod) (kubernetes.Interface, error) {
	token, err := r.kube.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("get a token of ServiceAccount %s: %w", pod.Spec.ServiceAccountName, err)
	}
	config := rest.AnonymousClientConfig(r.rest)
	config.BearerToken = token.Status.Token
	return kubernetes.NewForConfig(config)
}

// publication returns the Secret with the task configs, as connect-runner writes it.
func publication(
	secret *corev1.Secret, generation string, config map[string]string, format string,
) (*corev1ac.SecretApplyConfiguration, error) {
	count, err := strconv.Atoi(config[keyTasks])
	if err != nil {
		count, _ = strconv.Atoi(config["tasks.max"])
	}
	configs := make([]contract.TaskConfig, count)
	for id := range configs {
		configs[id] = taskConfig(config, id)
	}
	encoded, err := contract.EncodeTaskConfigs(configs)
	if format == contract.TaskFormatCompact && encoded.Size() > maxPlainBytes {
		encoded, err = contract.EncodeCompactTaskConfigs(configs)
	}
	if err != nil {
		return nil, err
	}
	data, hashes := encoded.Data(), encoded.Hashes
	if raw := []byte(config[keyRaw]); len(raw) > 0 {
		for id := range count {
			data[contract.TaskConfigKey(id)], hashes[id] = raw, contract.TaskConfigHash(raw)
		}
	}
	annotations := map[string]string{
		contract.AnnotationGeneration:      generation,
		contract.AnnotationTaskCount:       strconv.Itoa(count),
		contract.AnnotationTaskConfigsHash: contract.TaskConfigsHash(hashes),
	}
	annotations[contract.AnnotationConnectorType] = contract.ConnectorTypeSource
	if config[keySink] != "" {
		annotations[contract.AnnotationConnectorType] = contract.ConnectorTypeSink
	}
	if config[keyExactlyOnce] != "" {
		annotations[contract.AnnotationExactlyOnce] = "true"
	}
	return corev1ac.Secret(secret.Name, secret.Namespace).WithAnnotations(annotations).WithData(data), nil
}

func taskConfig(config map[string]string, id int) contract.TaskConfig {
	task := contract.TaskConfig{
		Connector: map[string]string{},
		Task:      map[string]*string{"task.id": new(strconv.Itoa(id))},
	}
	for key, value := range config {
		if own, ok := strings.CutPrefix(key, keyTask+strconv.Itoa(id)+"."); ok {
			task.Task[own] = &value
		}
		if !strings.HasPrefix(key, "fake.") && key != "tasks.max" {
			task.Connector[key] = value
		}
	}
	return task
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func envValue(pod *corev1.Pod, name string) string {
	for _, v := range pod.Spec.Containers[0].Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
