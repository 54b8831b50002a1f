package decide

import (
	"cmp"
	"encoding/json"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
)

// effective is what the user wants, once the defaults of the KafkaConnect are filled in.
type effective struct {
	connector, task   connectv1.WorkloadSpec
	workerSecret      string
	downloadPlugins   []string
	plugins           []connectv1.Plugin
	logging           connectv1.LoggingConfig
	pullPolicy        corev1.PullPolicy
	pullSecrets       []corev1.LocalObjectReference
	maxUnavailable    intstr.IntOrString
	storage           *connectv1.StorageSpec
	storageOwner      string
	connectorTemplate connectv1.WorkloadTemplate
	taskTemplate      connectv1.WorkloadTemplate
	tasksMax          int
	connectorConfig   map[string]string
	connectorReplicas int32
	tasksRun          bool
}

// defaultMaxUnavailable restarts small connectors a task at a time and large ones faster.
var defaultMaxUnavailable = intstr.FromString("25%")

func effectiveOf(c *connectv1.KafkaConnector, connect *connectv1.KafkaConnect) effective {
	spec, defaults := c.Spec, connectv1.KafkaConnectSpec{}
	storage, owner := spec.Storage, c.Name
	if connect != nil {
		defaults = connect.Spec
		storage, owner = connect.Spec.Storage, connect.Name
	}
	config, tasksMax := connectorConfig(c)
	return effective{
		connector:         workload(spec.Connector, defaults.Connector, defaults.Image),
		task:              workload(spec.Task, defaults.Task, defaults.Image),
		workerSecret:      cmp.Or(name(spec.WorkerConfigSecret), name(defaults.WorkerConfigSecret)),
		downloadPlugins:   orSlice(spec.DownloadPlugins, defaults.DownloadPlugins),
		plugins:           orSlice(spec.Plugins, defaults.Plugins),
		logging:           logging(spec.LoggingConfig, defaults.LoggingConfig),
		pullPolicy:        cmp.Or(spec.ImagePullPolicy, defaults.ImagePullPolicy),
		pullSecrets:       orSlice(spec.ImagePullSecrets, defaults.ImagePullSecrets),
		maxUnavailable:    *cmp.Or(spec.MaxUnavailable, defaults.MaxUnavailable, &defaultMaxUnavailable),
		storage:           storage,
		storageOwner:      owner,
		connectorTemplate: template(layers(defaults.Template, spec.Template, func(t *connectv1.TemplateSpec) *connectv1.WorkloadTemplate { return t.Connector })),
		taskTemplate:      template(layers(defaults.Template, spec.Template, func(t *connectv1.TemplateSpec) *connectv1.WorkloadTemplate { return t.Task })),
		tasksMax:          tasksMax,
		connectorConfig:   config,
		connectorReplicas: map[bool]int32{true: 0, false: 1}[spec.State == connectv1.StateStopped],
		tasksRun:          spec.State != connectv1.StatePaused && spec.State != connectv1.StateStopped,
	}
}

// connectorConfig is the configuration that the connector starts with, and its tasks.max.
func connectorConfig(c *connectv1.KafkaConnector) (map[string]string, int) {
	config := maps.Clone(c.Spec.ConnectorConfig)
	if config == nil {
		config = map[string]string{}
	}
	// tasks.max is a whole number, or absent: the CRD's rules see to it.
	tasksMax, err := strconv.Atoi(config["tasks.max"])
	if err != nil {
		tasksMax = 1
	}
	if c.Spec.TasksMax != nil {
		tasksMax = int(*c.Spec.TasksMax)
	}
	config["name"] = c.Name
	config["tasks.max"] = strconv.Itoa(tasksMax)
	return config, tasksMax
}

func workload(own, shared *connectv1.WorkloadSpec, image string) connectv1.WorkloadSpec {
	var merged connectv1.WorkloadSpec
	for _, w := range []*connectv1.WorkloadSpec{own, shared} {
		if w == nil {
			continue
		}
		merged.Image = cmp.Or(merged.Image, w.Image)
		merged.Requests = orMap(merged.Requests, w.Requests)
		merged.Limits = orMap(merged.Limits, w.Limits)
		merged.ServiceSpec = cmp.Or(merged.ServiceSpec, w.ServiceSpec)
	}
	merged.Image = cmp.Or(merged.Image, image)
	return merged
}

func logging(own, shared *connectv1.LoggingConfig) connectv1.LoggingConfig {
	merged := *cmp.Or(own, shared, &connectv1.LoggingConfig{})
	merged.DefaultLoggerLevel = cmp.Or(merged.DefaultLoggerLevel, "INFO")
	return merged
}

// layers are the templates of one kind of pod, the ones that win last: those of the KafkaConnect below those of the
// connector, and what holds for all pods below what holds for this kind.
func layers(shared, own *connectv1.TemplateSpec, kind func(*connectv1.TemplateSpec) *connectv1.WorkloadTemplate) []connectv1.WorkloadTemplate {
	var found []connectv1.WorkloadTemplate
	for _, t := range []*connectv1.TemplateSpec{shared, own} {
		if t == nil {
			continue
		}
		found = append(found, t.WorkloadTemplate)
		if special := kind(t); special != nil {
			found = append(found, *special)
		}
	}
	return found
}

// template lays templates over each other: labels, annotations and env key by key, every other field as a whole.
func template(layers []connectv1.WorkloadTemplate) connectv1.WorkloadTemplate {
	merged := connectv1.WorkloadTemplate{Metadata: &connectv1.TemplateMetadata{Labels: map[string]string{}, Annotations: map[string]string{}},
		Pod: &connectv1.PodTemplate{}, Container: &connectv1.ContainerTemplate{}}
	for _, layer := range layers {
		if layer.Metadata != nil {
			maps.Copy(merged.Metadata.Labels, layer.Metadata.Labels)
			maps.Copy(merged.Metadata.Annotations, layer.Metadata.Annotations)
		}
		if p := layer.Pod; p != nil {
			merged.Pod = &connectv1.PodTemplate{
				SecurityContext:               cmp.Or(p.SecurityContext, merged.Pod.SecurityContext),
				Affinity:                      cmp.Or(p.Affinity, merged.Pod.Affinity),
				Tolerations:                   orSlice(p.Tolerations, merged.Pod.Tolerations),
				NodeSelector:                  orMap(p.NodeSelector, merged.Pod.NodeSelector),
				TopologySpreadConstraints:     orSlice(p.TopologySpreadConstraints, merged.Pod.TopologySpreadConstraints),
				PriorityClassName:             cmp.Or(p.PriorityClassName, merged.Pod.PriorityClassName),
				TerminationGracePeriodSeconds: cmp.Or(p.TerminationGracePeriodSeconds, merged.Pod.TerminationGracePeriodSeconds),
				Volumes:                       orSlice(p.Volumes, merged.Pod.Volumes),
			}
		}
		if c := layer.Container; c != nil {
			merged.Container = &connectv1.ContainerTemplate{
				Env:          overlayEnv(merged.Container.Env, c.Env),
				VolumeMounts: orSlice(c.VolumeMounts, merged.Container.VolumeMounts),
				JVMOptions:   orSlice(c.JVMOptions, merged.Container.JVMOptions),
			}
		}
	}
	return merged
}

func overlayEnv(below, above []corev1.EnvVar) []corev1.EnvVar {
	var merged []corev1.EnvVar
	for _, v := range below {
		if !hasEnv(above, v.Name) {
			merged = append(merged, v)
		}
	}
	return append(merged, above...)
}

func hasEnv(env []corev1.EnvVar, name string) bool {
	for _, v := range env {
		if v.Name == name {
			return true
		}
	}
	return false
}

// generation identifies the configuration that task configs are computed from.
func (e effective) generation() string { return contract.TaskConfigHash(encode(e.connectorConfig)) }

// candidateKey identifies a configuration that the plugin has to accept. How many tasks there may be is nothing to ask about.
func (e effective) candidateKey() string {
	config := maps.Clone(e.connectorConfig)
	delete(config, "tasks.max")
	return contract.TaskConfigHash(encode(config))
}

func name(reference *corev1.LocalObjectReference) string {
	if reference == nil {
		return ""
	}
	return reference.Name
}

func orSlice[T any](first, second []T) []T {
	if len(first) > 0 {
		return first
	}
	return second
}

func orMap[K comparable, V any](first, second map[K]V) map[K]V {
	if len(first) > 0 {
		return first
	}
	return second
}

// encode is for values that always have a JSON form; maps come out with their keys in order.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("encode " + err.Error())
	}
	return data
}

// WorkerSecretOf is the name of a connector's worker Secret; empty where none is named.
func WorkerSecretOf(c *connectv1.KafkaConnector, connect *connectv1.KafkaConnect) string {
	return effectiveOf(c, connect).workerSecret
}
