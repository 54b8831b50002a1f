//go:build linux

package kubelet

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// unsupported is the error of a field that this kubelet does not implement.
type unsupported string

func (u unsupported) Error() string { return "the process kubelet does not support " + string(u) }

// variables are environment variables in their order.
type variables struct {
	names  []string
	values map[string]string
}

func (v *variables) set(name, value string) {
	if _, found := v.values[name]; !found {
		v.names = append(v.names, name)
	}
	v.values[name] = value
}

func (v *variables) list() []string {
	list := make([]string, len(v.names))
	for i, name := range v.names {
		list[i] = name + "=" + v.values[name]
	}
	return list
}

var reference = regexp.MustCompile(`\$\$|\$\(([^)]+)\)`)

// expand replaces $(NAME) by the value of a variable that is set, and $$ by $.
func (v *variables) expand(s string) string {
	return reference.ReplaceAllStringFunc(s, func(match string) string {
		if match == "$$" {
			return "$"
		}
		if value, found := v.values[match[2:len(match)-1]]; found {
			return value
		}
		return match
	})
}

// environment returns the environment variables of a container.
func (w *worker) environment(ctx context.Context, c corev1.Container, image Image) (*variables, error) {
	v := &variables{values: map[string]string{}}
	v.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	v.set("HOSTNAME", w.name)
	for _, entry := range image.Env {
		name, value, _ := strings.Cut(entry, "=")
		v.set(name, value)
	}
	server, err := url.Parse(w.node.server)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	v.set("KUBERNETES_SERVICE_HOST", server.Hostname())
	v.set("KUBERNETES_SERVICE_PORT", server.Port())
	for _, source := range c.EnvFrom {
		data, err := w.envFrom(ctx, source)
		if err != nil {
			return nil, err
		}
		for name, f := range data {
			v.set(source.Prefix+name, string(f.data))
		}
	}
	for _, e := range c.Env {
		value, found := v.expand(e.Value), true
		if e.ValueFrom != nil {
			if value, found, err = w.valueFrom(ctx, *e.ValueFrom, c); err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", e.Name, err)
			}
		}
		if found {
			v.set(e.Name, value)
		}
	}
	return v, nil
}

func (w *worker) envFrom(ctx context.Context, source corev1.EnvFromSource) (files, error) {
	if source.SecretRef != nil {
		return w.secretFiles(ctx, source.SecretRef.Name, nil, nil, source.SecretRef.Optional)
	}
	return w.configMapFiles(ctx, source.ConfigMapRef.Name, nil, nil, source.ConfigMapRef.Optional)
}

// valueFrom returns the value of a source, and whether it exists: optional keys may be missing.
func (w *worker) valueFrom(ctx context.Context, source corev1.EnvVarSource, c corev1.Container) (string, bool, error) {
	var data files
	var key string
	var err error
	switch {
	case source.FieldRef != nil:
		value, err := w.field(source.FieldRef.FieldPath)
		return value, true, err
	case source.ResourceFieldRef != nil:
		value, err := resourceField(*source.ResourceFieldRef, c)
		return value, true, err
	case source.SecretKeyRef != nil:
		r := source.SecretKeyRef
		key = r.Key
		data, err = w.secretFiles(ctx, r.Name, []corev1.KeyToPath{{Key: key, Path: key}}, nil, r.Optional)
	case source.ConfigMapKeyRef != nil:
		r := source.ConfigMapKeyRef
		key = r.Key
		data, err = w.configMapFiles(ctx, r.Name, []corev1.KeyToPath{{Key: key, Path: key}}, nil, r.Optional)
	default:
		return "", false, unsupported("this source of an environment variable")
	}
	value, found := data[key]
	return string(value.data), found, err
}

var subscript = regexp.MustCompile(`^metadata\.(labels|annotations)\['(.+)'\]$`)

// field returns the value of a field of the pod that the downward API offers.
func (w *worker) field(path string) (string, error) {
	if m := subscript.FindStringSubmatch(path); m != nil {
		if m[1] == "labels" {
			return w.pod.Labels[m[2]], nil
		}
		return w.pod.Annotations[m[2]], nil
	}
	switch path {
	case "metadata.name":
		return w.pod.Name, nil
	case "metadata.namespace":
		return w.pod.Namespace, nil
	case "metadata.uid":
		return string(w.pod.UID), nil
	case "metadata.labels":
		return formatMap(w.pod.Labels), nil
	case "metadata.annotations":
		return formatMap(w.pod.Annotations), nil
	case "spec.nodeName":
		return w.pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return w.pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return w.network.address, nil
	case "status.hostIP", "status.hostIPs":
		return hostIP, nil
	}
	return "", unsupported("fieldPath " + path)
}

// formatMap formats labels or annotations as the kubelet does.
func formatMap(m map[string]string) string {
	var lines []string
	for key, value := range m {
		lines = append(lines, fmt.Sprintf("%s=%q", key, value))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// resourceField returns a request or limit of the container in units of the divisor, rounded up.
func resourceField(r corev1.ResourceFieldSelector, c corev1.Container) (string, error) {
	kind, name, _ := strings.Cut(r.Resource, ".")
	list := c.Resources.Limits
	if kind == "requests" {
		list = c.Resources.Requests
	}
	quantity, found := list[corev1.ResourceName(name)]
	if !found {
		return "", unsupported("resourceFieldRef " + r.Resource + " of a container that does not set it")
	}
	if divisor := r.Divisor.Value(); divisor > 1 {
		return strconv.FormatInt((quantity.Value()+divisor-1)/divisor, 10), nil
	}
	return strconv.FormatInt(quantity.Value(), 10), nil
}
