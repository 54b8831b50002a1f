package spec

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	connectv1 "github.com/weir-dev/weir/apis/connect/v1"
)

func connectorTemplate(t *connectv1.TemplateSpec) *connectv1.WorkloadTemplate { return t.Connector }

func taskTemplate(t *connectv1.TemplateSpec) *connectv1.WorkloadTemplate { return t.Task }

// templates returns the templates that apply to one type of pod, in ascending order of precedence: the template of the
// KafkaConnect before the template of the connector, and the part for all pods before the part for this type.
func templates(
	defaults, own *connectv1.TemplateSpec, forType func(*connectv1.TemplateSpec) *connectv1.WorkloadTemplate,
) []connectv1.WorkloadTemplate {
	var found []connectv1.WorkloadTemplate
	for _, t := range []*connectv1.TemplateSpec{defaults, own} {
		if t == nil {
			continue
		}
		found = append(found, t.WorkloadTemplate)
		if specific := forType(t); specific != nil {
			found = append(found, *specific)
		}
	}
	return found
}

// mergeTemplates merges labels, annotations and environment variables by key. It takes every other field as a whole
// from the last template that sets it.
func mergeTemplates(templates []connectv1.WorkloadTemplate) connectv1.WorkloadTemplate {
	merged := connectv1.WorkloadTemplate{
		Metadata: &connectv1.TemplateMetadata{Labels: map[string]string{}, Annotations: map[string]string{}},
		Pod:      &connectv1.PodTemplate{}, Container: &connectv1.ContainerTemplate{},
	}
	for _, t := range templates {
		if t.Metadata != nil {
			maps.Copy(merged.Metadata.Labels, t.Metadata.Labels)
			maps.Copy(merged.Metadata.Annotations, t.Metadata.Annotations)
		}
		if p := t.Pod; p != nil {
			merged.Pod = &connectv1.PodTemplate{
				SecurityContext:           cmp.Or(p.SecurityContext, merged.Pod.SecurityContext),
				Affinity:                  cmp.Or(p.Affinity, merged.Pod.Affinity),
				Tolerations:               orSlice(p.Tolerations, merged.Pod.Tolerations),
				NodeSelector:              orMap(p.NodeSelector, merged.Pod.NodeSelector),
				TopologySpreadConstraints: orSlice(p.TopologySpreadConstraints, merged.Pod.TopologySpreadConstraints),
				PriorityClassName:         cmp.Or(p.PriorityClassName, merged.Pod.PriorityClassName),
				TerminationGracePeriodSeconds: cmp.Or(
					p.TerminationGracePeriodSeconds, merged.Pod.TerminationGracePeriodSeconds),
				Volumes: orSlice(p.Volumes, merged.Pod.Volumes),
			}
		}
		if c := t.Container; c != nil {
			merged.Container = &connectv1.ContainerTemplate{
				Env:          mergeEnv(merged.Container.Env, c.Env),
				VolumeMounts: orSlice(c.VolumeMounts, merged.Container.VolumeMounts),
				JVMOptions:   orSlice(c.JVMOptions, merged.Container.JVMOptions),
			}
		}
	}
	return merged
}

// mergeEnv returns all variables of above, and the variables of below that above does not set.
func mergeEnv(below, above []corev1.EnvVar) []corev1.EnvVar {
	var merged []corev1.EnvVar
	for _, v := range below {
		if !slices.ContainsFunc(above, func(other corev1.EnvVar) bool { return other.Name == v.Name }) {
			merged = append(merged, v)
		}
	}
	return append(merged, above...)
}
