//go:build linux

package kubelet

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// files are the files of a volume by path relative to its root.
type files map[string]file

type file struct {
	data []byte
	mode os.FileMode
}

// volume is a volume of a pod on this machine.
type volume struct {
	// dir is the directory with the volume's content.
	dir string
	// read returns the volume's files, and is nil for volumes that the pod writes to.
	read func(context.Context) (files, error)
	last files
}

// sync writes the files of the volume if they have changed. Readers see either all old or all new files.
func (v *volume) sync(ctx context.Context) error {
	if v.read == nil {
		return nil
	}
	next, err := v.read(ctx)
	if err != nil || v.last != nil && reflect.DeepEqual(next, v.last) {
		return err
	}
	const current = "..data"
	version := fmt.Sprintf("..%d", time.Now().UnixNano())
	for name, f := range next {
		path := filepath.Join(v.dir, version, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(v.dir, version), 0o755); err != nil {
		return err
	}
	old, _ := os.Readlink(filepath.Join(v.dir, current))
	temporary := filepath.Join(v.dir, current+"_tmp")
	if err := os.Symlink(version, temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(v.dir, current)); err != nil {
		return err
	}
	if err := v.link(next, current); err != nil {
		return err
	}
	v.last = next
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(v.dir, old))
}

// link makes the first element of each path a link to the current version, and removes links of previous files.
func (v *volume) link(next files, current string) error {
	first := map[string]bool{}
	for name := range next {
		element, _, _ := strings.Cut(name, "/")
		first[element] = true
	}
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "..") && !first[entry.Name()] {
			if err := os.Remove(filepath.Join(v.dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	for element := range first {
		link := filepath.Join(v.dir, element)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join(current, element), link); err != nil {
			return err
		}
	}
	return nil
}

// volumeOf returns a volume of the pod. An error of type unsupported is final.
func (w *worker) volumeOf(ctx context.Context, v corev1.Volume) (*volume, error) {
	result := &volume{dir: filepath.Join(w.dir, "volumes", v.Name)}
	mode := os.FileMode(0o755)
	switch {
	case v.EmptyDir != nil:
		mode = 0o777
	case v.Secret != nil:
		result.read = func(ctx context.Context) (files, error) {
			return w.secretFiles(ctx, v.Secret.SecretName, v.Secret.Items, v.Secret.DefaultMode, v.Secret.Optional)
		}
	case v.ConfigMap != nil:
		result.read = func(ctx context.Context) (files, error) {
			return w.configMapFiles(
				ctx, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.DefaultMode, v.ConfigMap.Optional)
		}
	case v.DownwardAPI != nil:
		result.read = func(context.Context) (files, error) {
			return w.downwardFiles(v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
		}
	case v.Projected != nil:
		result.read = w.projected(v.Projected)
	case v.HostPath != nil:
		result.dir = filepath.Join(w.node.HostDir(), v.HostPath.Path)
		return result, prepareHostPath(result.dir, v.HostPath)
	case v.PersistentVolumeClaim != nil:
		path, err := w.claimPath(ctx, v.PersistentVolumeClaim.ClaimName)
		if err != nil {
			return nil, err
		}
		result.dir = filepath.Join(w.node.HostDir(), path)
	default:
		return nil, unsupported("spec.volumes, volume " + v.Name)
	}
	if err := os.MkdirAll(result.dir, mode); err != nil {
		return nil, err
	}
	if v.EmptyDir != nil {
		// The umask does not limit the permissions.
		if err := os.Chmod(result.dir, mode); err != nil {
			return nil, err
		}
	}
	if group := w.fsGroup(); group != nil && result.read == nil {
		if err := os.Chown(result.dir, -1, int(*group)); err != nil {
			return nil, err
		}
		if err := os.Chmod(result.dir, mode|0o070|os.ModeSetgid); err != nil {
			return nil, err
		}
	}
	return result, result.sync(ctx)
}

// prepareHostPath creates or checks the path of the node, as its type requires.
func prepareHostPath(path string, source *corev1.HostPathVolumeSource) error {
	kind := ptr.Deref(source.Type, corev1.HostPathUnset)
	switch kind {
	case corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate:
		return os.MkdirAll(path, 0o755)
	case corev1.HostPathDirectory, corev1.HostPathFile:
		info, err := os.Stat(path)
		if err != nil || info.IsDir() != (kind == corev1.HostPathDirectory) {
			return fmt.Errorf("hostPath type check failed: %s is not a %s", source.Path, kind)
		}
		return nil
	}
	return unsupported("hostPath type " + string(kind))
}

func (w *worker) fsGroup() *int64 {
	if context := w.pod.Spec.SecurityContext; context != nil {
		return context.FSGroup
	}
	return nil
}

// claimPath returns the path on the node of the volume that a claim is bound to.
func (w *worker) claimPath(ctx context.Context, name string) (string, error) {
	claim, err := w.node.client.CoreV1().PersistentVolumeClaims(w.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if claim.Status.Phase != corev1.ClaimBound {
		return "", fmt.Errorf("PersistentVolumeClaim %s is not bound", name)
	}
	pv, err := w.node.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	switch {
	case err != nil:
		return "", err
	case pv.Spec.HostPath != nil:
		return pv.Spec.HostPath.Path, nil
	case pv.Spec.Local != nil:
		return pv.Spec.Local.Path, nil
	}
	return "", unsupported("the volume source of PersistentVolume " + pv.Name)
}

func (w *worker) secretFiles(ctx context.Context, name string, items []corev1.KeyToPath, mode *int32,
	optional *bool) (files, error) {
	secret, err := w.node.client.CoreV1().Secrets(w.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && ptr.Deref(optional, false) {
		return files{}, nil
	}
	if err != nil {
		return nil, err
	}
	return choose("Secret "+name, secret.Data, items, mode, ptr.Deref(optional, false))
}

func (w *worker) configMapFiles(ctx context.Context, name string, items []corev1.KeyToPath, mode *int32,
	optional *bool) (files, error) {
	configMap, err := w.node.client.CoreV1().ConfigMaps(w.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && ptr.Deref(optional, false) {
		return files{}, nil
	}
	if err != nil {
		return nil, err
	}
	data := maps.Clone(configMap.BinaryData)
	if data == nil {
		data = map[string][]byte{}
	}
	for key, value := range configMap.Data {
		data[key] = []byte(value)
	}
	return choose("ConfigMap "+name, data, items, mode, ptr.Deref(optional, false))
}

// choose returns the files of an object's keys. Without items, each key is a file.
func choose(object string, data map[string][]byte, items []corev1.KeyToPath, mode *int32,
	optional bool) (files, error) {
	if len(items) == 0 {
		for _, key := range slices.Sorted(maps.Keys(data)) {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	result := files{}
	for _, item := range items {
		value, found := data[item.Key]
		if !found && !optional {
			return nil, fmt.Errorf("%s has no key %s", object, item.Key)
		}
		if found {
			result[item.Path] = file{value, fileMode(item.Mode, mode)}
		}
	}
	return result, nil
}

func (w *worker) downwardFiles(items []corev1.DownwardAPIVolumeFile, mode *int32) (files, error) {
	result := files{}
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, unsupported("resourceFieldRef of a downwardAPI volume")
		}
		value, err := w.field(item.FieldRef.FieldPath)
		if err != nil {
			return nil, err
		}
		result[item.Path] = file{[]byte(value), fileMode(item.Mode, mode)}
	}
	return result, nil
}

// projected returns a function that reads all sources of a projected volume. Service account tokens are requested once:
// they outlive a test.
func (w *worker) projected(v *corev1.ProjectedVolumeSource) func(context.Context) (files, error) {
	var token []byte
	return func(ctx context.Context) (files, error) {
		result := files{}
		for _, source := range v.Sources {
			var found files
			var err error
			switch {
			case source.Secret != nil:
				s := source.Secret
				found, err = w.secretFiles(ctx, s.Name, s.Items, v.DefaultMode, s.Optional)
			case source.ConfigMap != nil:
				c := source.ConfigMap
				found, err = w.configMapFiles(ctx, c.Name, c.Items, v.DefaultMode, c.Optional)
			case source.DownwardAPI != nil:
				found, err = w.downwardFiles(source.DownwardAPI.Items, v.DefaultMode)
			case source.ServiceAccountToken != nil:
				if token == nil {
					if token, err = w.token(ctx, *source.ServiceAccountToken); err != nil {
						return nil, err
					}
				}
				// The kubelet gives the token of a container with another user the mode 0600 and its owner.
				found = files{source.ServiceAccountToken.Path: {token, 0o644}}
			default:
				err = unsupported("a source of a projected volume")
			}
			if err != nil {
				return nil, err
			}
			maps.Copy(result, found)
		}
		return result, nil
	}
}

func (w *worker) token(ctx context.Context, source corev1.ServiceAccountTokenProjection) ([]byte, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: source.ExpirationSeconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: w.pod.Name, UID: w.pod.UID,
		},
	}}
	if source.Audience != "" {
		request.Spec.Audiences = []string{source.Audience}
	}
	created, err := w.node.client.CoreV1().ServiceAccounts(w.namespace).
		CreateToken(ctx, w.pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create a token of service account %s: %w", w.pod.Spec.ServiceAccountName, err)
	}
	return []byte(created.Status.Token), nil
}

func fileMode(own, defaultMode *int32) os.FileMode {
	if own != nil {
		return os.FileMode(*own)
	}
	return os.FileMode(ptr.Deref(defaultMode, 0o644))
}
