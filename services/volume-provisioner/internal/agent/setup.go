//go:build linux

package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
	"github.com/weir-dev/weir/generated/clientset/versioned"
	"github.com/weir-dev/weir/generated/informers/externalversions"
	"github.com/weir-dev/weir/pkg/app"
	"github.com/weir-dev/weir/pkg/cacheutil"
	"github.com/weir-dev/weir/pkg/controller"
	"github.com/weir-dev/weir/pkg/health"
	"github.com/weir-dev/weir/pkg/node"
	"github.com/weir-dev/weir/services/volume-provisioner/internal/directory"
)

// Options configure an agent.
type Options struct {
	// Manager is the field manager.
	Manager string
	// Node is the name of the node.
	Node string
	// AllowedBasePaths are the directories that base paths may be, or be in.
	AllowedBasePaths []string
	// MachineIDFile is the file of the machine id.
	MachineIDFile string
	// Recheck is the time between two checks without an event.
	Recheck time.Duration
	// Timeout is the time after which a file system that does not answer counts as failed.
	Timeout time.Duration
}

// Setup builds the agent.
func Setup(env app.Env, o Options) (app.Components, error) {
	machineID, err := node.MachineID(o.MachineIDFile)
	if err != nil {
		return app.Components{}, fmt.Errorf("--machine-id-file=%s: %w", o.MachineIDFile, err)
	}
	client, err := versioned.NewForConfig(env.RESTConfig)
	if err != nil {
		return app.Components{}, fmt.Errorf("make the client of Weir's kinds: %w", err)
	}
	factory := externalversions.NewSharedInformerFactoryWithOptions(client, 0,
		externalversions.WithTweakListOptions(func(l *metav1.ListOptions) {
			l.FieldSelector = fields.OneTermEqualSelector("metadata.name", o.Node).String()
		}))
	informer := factory.Storage().V1alpha1().LocalVolumeNodes().Informer()
	starter := cacheutil.NewStarter(env.Client.Discovery().RESTClient(), env.Log)
	starter.Add(storagev1alpha1.SchemeGroupVersion.WithResource("localvolumenodes"), "", informer)
	metrics := NewMetrics(env.Metrics)
	host := &directory.Host{Timeout: o.Timeout, Now: env.Now, Acted: metrics.acted}
	c := controller.New("agent", &Agent{
		Node: o.Node, Manager: o.Manager, Client: client.StorageV1alpha1().LocalVolumeNodes(), Cache: informer,
		NodeUID: nodeUID(env.Client, o.Node), Host: host, MachineID: machineID, AllowedBasePaths: o.AllowedBasePaths,
		Recheck: o.Recheck, Metrics: metrics, Now: env.Now,
	}, controller.Options{Workers: 1, Log: env.Log, Metrics: env.Metrics, MaxBackoff: maxBackoff})
	enqueue := func() { c.Enqueue(controller.Key{Name: o.Node}) }
	host.Changed = enqueue
	err = controller.Watch(c, informer, controller.Self[*storagev1alpha1.LocalVolumeNode], controller.StatusOnly)
	return app.Components{
		Always: []app.Runnable{
			starter.Run, c.Run,
			func(ctx context.Context) error {
				// The object may not exist yet.
				enqueue()
				return node.WatchMounts(ctx, enqueue)
			},
		},
		ReadyChecks: map[string]health.Check{"caches": starter.Synced},
	}, err
}

// maxBackoff is the longest time between two attempts of a failed action.
const maxBackoff = 30 * time.Second

// Extra information about the user of a token that is bound to a pod.
const (
	extraNodeName = "authentication.kubernetes.io/node-name"
	extraNodeUID  = "authentication.kubernetes.io/node-uid"
)

// nodeUID returns a function that returns the uid of the Node that the agent's pod runs on. The token of the pod has
// it, so that the agent needs no permission to read nodes. It is not known outside of a pod.
func nodeUID(client kubernetes.Interface, name string) func(context.Context) (types.UID, error) {
	var mu sync.Mutex
	var known bool
	var uid types.UID
	return func(ctx context.Context) (types.UID, error) {
		mu.Lock()
		defer mu.Unlock()
		if known {
			return uid, nil
		}
		// Not through pkg/apply: a review is a question to the API server and stores no object.
		options := metav1.CreateOptions{}
		self := &authenticationv1.SelfSubjectReview{}
		review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, self, options)
		if err != nil {
			return "", fmt.Errorf("read the node of the agent's token: %w", err)
		}
		extra := review.Status.UserInfo.Extra
		if names := extra[extraNodeName]; len(names) == 1 && names[0] != name {
			return "", controller.Terminal(fmt.Errorf("--node-name=%s: the pod runs on node %s; set the flag to spec.nodeName "+
				"of the pod", name, names[0]))
		}
		if uids := extra[extraNodeUID]; len(uids) == 1 {
			uid = types.UID(uids[0])
		}
		known = true
		return uid, nil
	}
}
