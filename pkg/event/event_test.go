package event_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"

	"github.com/weir-dev/weir/pkg/event"
)

var about = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", UID: "u"}}

func TestRecordSendsAllFieldsToTheAPI(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := fake.NewClientset()
	recorder := event.NewRecorder(ctx, client, scheme.Scheme, "weir-test")
	event.Record(recorder, about, event.Warning("TaskFailed", "Restart", "task 1: 100% broken"))
	require.Eventually(t, func() bool {
		list, err := client.EventsV1().Events("default").List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		e := list.Items[0]
		return e.Note == "task 1: 100% broken" && e.Type == "Warning" && e.Reason == "TaskFailed" &&
			e.Action == "Restart" && e.Regarding.Name == "a"
	}, 10*time.Second, 5*time.Millisecond)
}

func TestRecordShortensNotesToTheLimitOfTheAPI(t *testing.T) {
	t.Parallel()
	recorder := events.NewFakeRecorder(1)
	event.Record(recorder, about, event.Normal("Long", "Test", strings.Repeat("x", 2000)))
	require.Equal(t, "Normal Long "+strings.Repeat("x", 1021)+"...", <-recorder.Events)
}
