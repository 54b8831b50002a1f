// Package spec computes the effective spec of a KafkaConnector and validates it.
package spec

import (
	"cmp"
	"encoding/json"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
	"github.com/weir-dev/weir/apis/contract"
	"github.com/weir-dev/weir/services/connect-scheduler/internal/decide/observed"
)

// Effective is the spec of a KafkaConnector merged with the defaults of its KafkaConnect. It is computed once per
// reconcile. All steps of a decision are functions of the observed state and an Effective.
type Effective struct {
	Connector, Task                 connectv1.WorkloadSpec
	ConnectorTemplate, TaskTemplate connectv1.WorkloadTemplate
	WorkerSecret                    string
	DownloadPlugins                 []string
	Plugins                         []connectv1.Plugin
	Logging                         connectv1.LoggingConfig
	PullPolicy                      corev1.PullPolicy
	PullSecrets                     []corev1.LocalObjectReference
	MaxUnavailable                  intstr.IntOrString
	// Volume is the shared volume. It is nil without storage.
	Volume *Volume
	// ConnectorConfig is the configuration with which the connector starts. It includes name and tasks.max.
	ConnectorConfig map[string]string
	// TasksMax is the maximum number of tasks.
	TasksMax int
	// RunConnector is false if spec.state is stopped.
	RunConnector bool
	// RunTasks is false if spec.state is paused or stopped.
	RunTasks bool
	// DefaultOffsetsTopic is the topic of source offsets if worker.properties sets none. The status records it.
	DefaultOffsetsTopic string

	// accepted is the generation of the accepted configuration if it differs from ConnectorConfig.
	accepted string
}

// defaultMaxUnavailable restarts the tasks of small connectors one by one, and several tasks of large connectors at
// once.
var defaultMaxUnavailable = intstr.FromString("25%")

// Of returns the effective spec of the KafkaConnector of a State. It depends on Connector, Connect and Objects.
func Of(s observed.State) Effective {
	e := Merge(s.Connector, s.Connect)
	e.DefaultOffsetsTopic = defaultOffsetsTopic(s.Connector, s.Objects.ConnectorSet)
	return e
}

// Merge returns the part of the effective spec that does not depend on the objects of the KafkaConnector. connect is
// the KafkaConnect that the spec references, or nil.
func Merge(c *connectv1.KafkaConnector, connect *connectv1.KafkaConnect) Effective {
	spec, defaults := c.Spec, connectv1.KafkaConnectSpec{}
	if connect != nil {
		defaults = connect.Spec
	}
	config, tasksMax := connectorConfig(c.Name, spec)
	return Effective{
		Connector:         workload(spec.Connector, defaults.Connector, defaults.Image),
		Task:              workload(spec.Task, defaults.Task, defaults.Image),
		ConnectorTemplate: mergeTemplates(templates(defaults.Template, spec.Template, connectorTemplate)),
		TaskTemplate:      mergeTemplates(templates(defaults.Template, spec.Template, taskTemplate)),
		WorkerSecret:      cmp.Or(name(spec.WorkerConfigSecret), name(defaults.WorkerConfigSecret)),
		DownloadPlugins:   orSlice(spec.DownloadPlugins, defaults.DownloadPlugins),
		Plugins:           orSlice(spec.Plugins, defaults.Plugins),
		Logging:           logging(spec.LoggingConfig, defaults.LoggingConfig),
		PullPolicy:        cmp.Or(spec.ImagePullPolicy, defaults.ImagePullPolicy),
		PullSecrets:       orSlice(spec.ImagePullSecrets, defaults.ImagePullSecrets),
		MaxUnavailable:    *cmp.Or(spec.MaxUnavailable, defaults.MaxUnavailable, &defaultMaxUnavailable),
		Volume:            volume(c, connect),
		ConnectorConfig:   config,
		TasksMax:          tasksMax,
		RunConnector:      spec.State != connectv1.StateStopped,
		RunTasks:          spec.State != connectv1.StatePaused && spec.State != connectv1.StateStopped,
	}
}

// volume returns the volume of the KafkaConnect if there is one, else the volume of the connector.
func volume(c *connectv1.KafkaConnector, connect *connectv1.KafkaConnect) *Volume {
	if connect != nil {
		return VolumeOf(connect)
	}
	if c.Spec.Storage == nil {
		return nil
	}
	return &Volume{c.Spec.Storage, observed.ConnectorOwner(c)}
}

// connectorConfig returns the configuration with which the connector starts, and its tasks.max.
func connectorConfig(connector string, spec connectv1.KafkaConnectorSpec) (map[string]string, int) {
	config := maps.Clone(spec.ConnectorConfig)
	if config == nil {
		config = map[string]string{}
	}
	// The validation rules of the CRD ensure that tasks.max is absent or an integer.
	tasksMax, err := strconv.Atoi(config["tasks.max"])
	if err != nil {
		tasksMax = 1
	}
	if spec.TasksMax != nil {
		tasksMax = int(*spec.TasksMax)
	}
	config["name"] = connector
	config["tasks.max"] = strconv.Itoa(tasksMax)
	return config, tasksMax
}

func workload(own, defaults *connectv1.WorkloadSpec, image string) connectv1.WorkloadSpec {
	var merged connectv1.WorkloadSpec
	for _, w := range []*connectv1.WorkloadSpec{own, defaults} {
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

func logging(own, defaults *connectv1.LoggingConfig) connectv1.LoggingConfig {
	merged := *cmp.Or(own, defaults, &connectv1.LoggingConfig{})
	merged.DefaultLoggerLevel = cmp.Or(merged.DefaultLoggerLevel, "INFO")
	return merged
}

// Generation identifies the connector configuration. Task configs are published together with the generation from
// which they were computed.
func (e Effective) Generation() string {
	return cmp.Or(e.accepted, contract.TaskConfigHash(Encode(e.ConnectorConfig)))
}

// WithGeneration returns e with the generation and tasks.max of another configuration, whose values are not known.
func (e Effective) WithGeneration(generation string, tasksMax int) Effective {
	e.accepted, e.TasksMax = generation, tasksMax
	return e
}

// WithAcceptedConfig returns e with the accepted configuration and the tasks.max of e. It reports false if config is
// not the configuration that key identifies.
func (e Effective) WithAcceptedConfig(config map[string]string, key string) (Effective, bool) {
	config = maps.Clone(config)
	if config == nil || candidateKey(config) != key {
		return e, false
	}
	config["tasks.max"] = strconv.Itoa(e.TasksMax)
	e.ConnectorConfig, e.accepted = config, ""
	return e, true
}

// IsConfigKnown reports whether ConnectorConfig is the configuration that Generation identifies.
func (e Effective) IsConfigKnown() bool { return e.accepted == "" }

// CandidateKey identifies a configuration that the connector plugin validates. It does not depend on tasks.max, which
// needs no validation.
func (e Effective) CandidateKey() string { return candidateKey(e.ConnectorConfig) }

func candidateKey(config map[string]string) string {
	config = maps.Clone(config)
	delete(config, "tasks.max")
	return contract.TaskConfigHash(Encode(config))
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

// Encode returns the JSON form of a value. Map keys are sorted, so equal values have equal forms. It panics if the
// value has no JSON form.
func Encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("encode " + err.Error())
	}
	return data
}
