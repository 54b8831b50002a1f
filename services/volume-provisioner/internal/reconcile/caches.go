package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/decide/spec"
)

// Indexes of the caches. Their values are namespace/name, or a name or path without a namespace.
const (
	byClaim = "claim" // PersistentVolumes by the claim in their claimRef, pods and sets by their claims
	byNode  = "node"  // sets by the nodes that they have volumes on, claims by the node that the scheduler chose

	byVolume    = "volume"    // sets by the names of their PersistentVolumes
	byDirectory = "directory" // sets and agents by their directories
	byParent    = "parent"    // sets and agents by the directories that contain theirs
	byID        = "id"        // agents by the volumes that they have, or have found
)

// caches holds the shared informers and their indexes.
type caches struct {
	objects informers.SharedInformerFactory
	weir    externalversions.SharedInformerFactory
	// starter starts the informers of weir, whose CustomResourceDefinitions can be missing.
	starter  *cacheutil.Starter
	settings spec.Settings
	// reserved adds up the reservations of the cached objects, and of newer ones that reservations have.
	reserved sum

	sets, agents, wipes, nodes, volumes, claims, pods, classes cache.SharedIndexInformer
}

func newCaches(kube kubernetes.Interface, weir versioned.Interface, log *slog.Logger) (*caches, error) {
	shared := &sharer{}
	c := &caches{
		objects: informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithTransform(
			cacheutil.Transform(cacheutil.DropManagedFields, cacheutil.ForType(trimPod), cacheutil.ForType(trimNode),
				cacheutil.ForType(shared.volume), cacheutil.ForType(shared.claim)))),
		weir: externalversions.NewSharedInformerFactoryWithOptions(weir, 0, externalversions.WithTransform(
			cacheutil.Transform(cacheutil.DropManagedFields, cacheutil.ForType(shared.set), cacheutil.ForType(shared.agent)))),
		starter: cacheutil.NewStarter(kube.Discovery().RESTClient(), log),
	}
	core, storage := c.objects.Core().V1(), c.weir.Storage().V1alpha1()
	c.nodes, c.volumes = core.Nodes().Informer(), core.PersistentVolumes().Informer()
	c.claims, c.pods = core.PersistentVolumeClaims().Informer(), core.Pods().Informer()
	c.classes = c.objects.Storage().V1().StorageClasses().Informer()
	c.sets, c.agents = storage.KafkaLocalVolumeSets().Informer(), storage.LocalVolumeNodes().Informer()
	c.wipes = storage.VolumeWipes().Informer()
	for resource, informer := range map[string]cache.SharedIndexInformer{
		"kafkalocalvolumesets": c.sets, "localvolumenodes": c.agents, "volumewipes": c.wipes,
	} {
		c.starter.Add(storagev1alpha1.SchemeGroupVersion.WithResource(resource), "", informer)
	}
	return c, errors.Join(
		cacheutil.AddIndexers(c.volumes, "PersistentVolumes", cache.Indexers{byClaim: volumesByClaim}),
		cacheutil.AddIndexers(c.pods, "pods", cache.Indexers{byClaim: cacheutil.IndexMany(claimsOfPod)}),
		cacheutil.AddIndexers(c.claims, "claims", cache.Indexers{byNode: claimsByNode}),
		cacheutil.AddIndexers(c.sets, "KafkaLocalVolumeSets", cache.Indexers{
			byNode: setsByNode, byClaim: cacheutil.IndexMany(claimsOfSet), byVolume: setsByVolume,
			byDirectory: setsByDirectory, byParent: setsByParent,
		}),
		cacheutil.AddIndexers(c.agents, "LocalVolumeNodes", cache.Indexers{
			byID: agentsByID, byDirectory: agentsByDirectory, byParent: agentsByParent,
		}),
	)
}

// run runs the informers until ctx ends.
func (c *caches) run(ctx context.Context) error {
	c.objects.Start(ctx.Done())
	err := c.starter.Run(ctx)
	c.objects.Shutdown()
	return err
}

// volumesByClaim indexes PersistentVolumes by their claimRef, which names an object of a namespace that is not their
// own.
func volumesByClaim(object any) ([]string, error) {
	pv, ok := object.(*corev1.PersistentVolume)
	if !ok || pv.Spec.ClaimRef == nil {
		return nil, nil
	}
	return []string{spec.ID(pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name)}, nil
}

// setsByNode indexes sets by the names of the nodes that they have volumes on.
func setsByNode(object any) ([]string, error) {
	set, ok := object.(*storagev1alpha1.KafkaLocalVolumeSet)
	if !ok {
		return nil, nil
	}
	var names []string
	for _, v := range set.Status.Volumes {
		names = append(names, v.Node)
	}
	return distinct(names), nil
}

// distinct returns the values without repeated and empty ones.
func distinct(values []string) []string {
	slices.Sort(values)
	values = slices.Compact(values)
	if len(values) > 0 && values[0] == "" {
		values = values[1:]
	}
	return values
}

// setsByVolume indexes sets by the names of their PersistentVolumes.
func setsByVolume(object any) ([]string, error) {
	set, ok := object.(*storagev1alpha1.KafkaLocalVolumeSet)
	if !ok {
		return nil, nil
	}
	var names []string
	for _, v := range set.Status.Volumes {
		names = append(names, v.PV)
	}
	return distinct(names), nil
}

// setsByDirectory indexes sets by the directories that they describe or have.
func setsByDirectory(object any) ([]string, error) {
	set, ok := object.(*storagev1alpha1.KafkaLocalVolumeSet)
	if !ok {
		return nil, nil
	}
	var paths []string
	for _, v := range spec.Volumes(set) {
		paths = append(paths, v.Directory())
	}
	for _, v := range set.Status.Volumes {
		paths = append(paths, v.Path)
	}
	return distinct(paths), nil
}

// setsByParent indexes sets by the directories that contain theirs.
func setsByParent(object any) ([]string, error) {
	paths, _ := setsByDirectory(object)
	return above(paths), nil
}

// above returns the directories that contain some directories.
func above(paths []string) []string {
	var found []string
	for _, path := range paths {
		found = append(found, parents(path)...)
	}
	return distinct(found)
}

// agentsByID indexes LocalVolumeNodes by the ids of the volumes in their work, and of those that the agents have found.
func agentsByID(object any) ([]string, error) {
	agent, ok := object.(*storagev1alpha1.LocalVolumeNode)
	if !ok {
		return nil, nil
	}
	var ids []string
	for i := range agent.Spec.Directories {
		ids = append(ids, agent.Spec.Directories[i].ID)
	}
	for i := range agent.Status.Found {
		ids = append(ids, agent.Status.Found[i].Marker.ID)
	}
	return distinct(ids), nil
}

// agentsByDirectory indexes LocalVolumeNodes by the directories in their work.
func agentsByDirectory(object any) ([]string, error) {
	agent, ok := object.(*storagev1alpha1.LocalVolumeNode)
	if !ok {
		return nil, nil
	}
	var paths []string
	for i := range agent.Spec.Directories {
		paths = append(paths, spec.Join(agent.Spec.Directories[i].BasePath, agent.Spec.Directories[i].Path))
	}
	return distinct(paths), nil
}

// agentsByParent indexes LocalVolumeNodes by the directories that contain those in their work.
func agentsByParent(object any) ([]string, error) {
	paths, _ := agentsByDirectory(object)
	return above(paths), nil
}

// parents returns the directories that contain a directory, except for the root.
func parents(directory string) []string {
	var above []string
	for i := len(directory) - 1; i > 0; i-- {
		if directory[i] == '/' {
			above = append(above, directory[:i])
		}
	}
	return above
}

// claimsByNode indexes claims without a PersistentVolume by the name of the node that the scheduler has chosen.
func claimsByNode(object any) ([]string, error) {
	claim, ok := object.(*corev1.PersistentVolumeClaim)
	if !ok || claim.Spec.VolumeName != "" || claim.Annotations[spec.AnnotationSelectedNode] == "" {
		return nil, nil
	}
	return []string{claim.Annotations[spec.AnnotationSelectedNode]}, nil
}

func claimsOfPod(pod *corev1.Pod) []string {
	var claims []string
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			claims = append(claims, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return claims
}

// trimPod keeps the claims and the node of a pod.
func trimPod(pod *corev1.Pod) {
	kept := corev1.PodSpec{NodeName: pod.Spec.NodeName}
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			kept.Volumes = append(kept.Volumes, corev1.Volume{VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: v.PersistentVolumeClaim,
			}})
		}
	}
	pod.Spec, pod.Labels, pod.Annotations, pod.OwnerReferences = kept, nil, nil, nil
	pod.Status = corev1.PodStatus{Phase: pod.Status.Phase}
}

// trimNode removes what no decision reads.
func trimNode(node *corev1.Node) {
	node.Annotations = nil
	node.Status = corev1.NodeStatus{Conditions: node.Status.Conditions}
}
