package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
)

// leaderElection lets two candidates compete: one leads, and when it steps down the other does.
func leaderElection(ctx context.Context, here *cluster) error {
	var leader atomic.Value
	leader.Store("")
	candidate := func(ctx context.Context, identity string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "elected"},
			Client:     here.typed.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leader.Store(identity) },
				OnStoppedLeading: func() {},
			},
		})
	}
	first, resign := context.WithCancel(ctx)
	second, stop := context.WithCancel(ctx)
	defer stop()
	defer resign()
	go candidate(first, "one")
	if err := until(ctx, "the first candidate leads", func() bool { return leader.Load() == "one" }); err != nil {
		return err
	}
	go candidate(second, "two")
	resign()
	if err := until(ctx, "the second candidate leads", func() bool { return leader.Load() == "two" }); err != nil {
		return err
	}
	lease, err := here.typed.CoordinationV1().Leases(namespace).Get(ctx, "elected", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "two" {
		return fmt.Errorf("the lease is held by %q", holder)
	}
	return nil
}

// dynamicClient maps a kind to its resource by discovery and works on it without types.
func dynamicClient(ctx context.Context, here *cluster) error {
	groups, err := restmapper.GetAPIGroupResources(here.typed.Discovery())
	if err != nil {
		return err
	}
	kind := appsv1.SchemeGroupVersion.WithKind("Deployment")
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	client := here.dynamic.Resource(mapping.Resource).Namespace(namespace)
	labels := map[string]any{"app": "dynamic"}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "dynamic"},
		"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "c"}}},
			},
		},
	}}
	if _, err := client.Create(ctx, object, metav1.CreateOptions{FieldValidation: "Strict"}); err != nil {
		return err
	}
	defer client.Delete(context.Background(), "dynamic", metav1.DeleteOptions{})
	patch := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"d"}]}}}}`)
	patched, err := client.Patch(ctx, "dynamic", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	containers, _, err := unstructured.NestedSlice(patched.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 || containers[0].(map[string]any)["image"] != "d" {
		return fmt.Errorf("containers are %v, %v", containers, err)
	}
	scale, err := client.Get(ctx, "dynamic", metav1.GetOptions{}, "scale")
	if err != nil || scale.GetKind() != "Scale" {
		return fmt.Errorf("scale is %v, %v", scale, err)
	}
	list, err := client.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=dynamic"})
	if err != nil || len(list.Items) != 1 || list.GetKind() != "DeploymentList" {
		return fmt.Errorf("the list is %v, %v", list, err)
	}
	return nil
}

// apply uses the generated apply configurations: what one manager no longer says goes, what two say conflicts.
func apply(ctx context.Context, here *cluster) error {
	client := here.typed.AppsV1().Deployments(namespace)
	labels := map[string]string{"app": "applied"}
	wanted := appsapply.Deployment("applied", namespace).WithSpec(appsapply.DeploymentSpec().
		WithReplicas(0).
		WithSelector(metaapply.LabelSelector().WithMatchLabels(labels)).
		WithTemplate(coreapply.PodTemplateSpec().WithLabels(labels).WithSpec(coreapply.PodSpec().WithContainers(
			coreapply.Container().WithName("a").WithImage("a:1"),
			coreapply.Container().WithName("b").WithImage("b:1")))))
	if _, err := client.Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		return err
	}
	defer client.Delete(context.Background(), "applied", metav1.DeleteOptions{})
	other := appsapply.Deployment("applied", namespace).WithSpec(appsapply.DeploymentSpec().WithReplicas(1))
	_, err := client.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "two"})
	if !apierrors.IsConflict(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict) {
		return fmt.Errorf("a conflict of managers is told as %v", err)
	}
	live, err := client.Get(ctx, "applied", metav1.GetOptions{})
	if err != nil {
		return err
	}
	extracted, err := appsapply.ExtractDeployment(live, "one")
	if err != nil {
		return err
	}
	if got := len(extracted.Spec.Template.Spec.Containers); got != 2 {
		return fmt.Errorf("manager one owns %d containers", got)
	}
	wanted.Spec.Template.Spec.Containers = wanted.Spec.Template.Spec.Containers[:1]
	if live, err = client.Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: "one"}); err != nil {
		return err
	}
	if got := live.Spec.Template.Spec.Containers; len(got) != 1 || got[0].Name != "a" {
		return fmt.Errorf("a container is left: %v", got)
	}
	return nil
}

// conflict writes with a stale version, is refused, and succeeds through the usual retry.
func conflict(ctx context.Context, here *cluster) error {
	client := here.typed.CoreV1().ConfigMaps(namespace)
	stale, err := client.Create(ctx, configMap("conflict", "1"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	defer client.Delete(context.Background(), "conflict", metav1.DeleteOptions{})
	newer := stale.DeepCopy()
	newer.Data["value"] = "2"
	if _, err = client.Update(ctx, newer, metav1.UpdateOptions{}); err != nil {
		return err
	}
	stale.Data["value"] = "3"
	if _, err = client.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("a stale update is answered by %v", err)
	}
	tries := 0
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		tries++
		current := stale
		if tries > 1 {
			if current, err = client.Get(ctx, "conflict", metav1.GetOptions{}); err != nil {
				return err
			}
		}
		current.Data["value"] = "4"
		_, err := client.Update(ctx, current, metav1.UpdateOptions{})
		return err
	})
	if err != nil || tries != 2 {
		return fmt.Errorf("after %d tries: %v", tries, err)
	}
	uid := types.UID("another")
	err = client.Delete(ctx, "conflict", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("a delete with another uid is answered by %v", err)
	}
	if _, err = client.Create(ctx, configMap("conflict", "5"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a second create is answered by %v", err)
	}
	if _, err = client.Get(ctx, "nowhere", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("a missing object is answered by %v", err)
	}
	_, err = client.Create(ctx, configMap("Not A Name", "1"), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !apierrors.HasStatusCause(err, metav1.CauseTypeFieldValueInvalid) {
		return fmt.Errorf("a bad name is answered by %v", err)
	}
	return nil
}

// record writes events with both recorders; both are read through both groups.
func recordEvents(ctx context.Context, here *cluster) error {
	object, err := here.typed.CoreV1().ConfigMaps(namespace).Create(ctx, configMap("recorded", "1"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	defer here.typed.CoreV1().ConfigMaps(namespace).Delete(context.Background(), object.Name, metav1.DeleteOptions{})
	old := record.NewBroadcaster()
	defer old.Shutdown()
	old.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: here.typed.CoreV1().Events("")})
	recorder := old.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "old-recorder"})
	recorder.Event(object, corev1.EventTypeNormal, "OldWay", "the same")
	recorder.Event(object, corev1.EventTypeNormal, "OldWay", "the same")

	stop := make(chan struct{})
	defer close(stop)
	modern := events.NewBroadcaster(&events.EventSinkImpl{Interface: here.typed.EventsV1()})
	defer modern.Shutdown()
	modern.StartRecordingToSink(stop)
	modern.NewRecorder(scheme.Scheme, "example.com/new-recorder").
		Eventf(object, nil, corev1.EventTypeWarning, "NewWay", "Recording", "a note about %s", "it")

	return until(ctx, "both events are there, in both groups", func() bool {
		list, err := here.typed.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.name=recorded,reason=OldWay"})
		if err != nil || len(list.Items) != 1 || list.Items[0].Count != 2 || list.Items[0].Source.Component != "old-recorder" {
			return false
		}
		newer, err := here.typed.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=NewWay"})
		if err != nil || len(newer.Items) != 1 {
			return false
		}
		event := newer.Items[0]
		across, err := here.typed.EventsV1().Events(namespace).Get(ctx, list.Items[0].Name, metav1.GetOptions{})
		return err == nil && event.Note == "a note about it" && event.Regarding.Name == "recorded" &&
			event.ReportingController == "example.com/new-recorder" && across.Note == "the same" &&
			across.DeprecatedCount == 2 && isEvent(across)
	})
}

func isEvent(object runtime.Object) bool {
	_, is := object.(*eventsv1.Event)
	return is
}

// discover reads what is served, in both forms.
func discover(_ context.Context, here *cluster) error {
	version, err := here.typed.Discovery().ServerVersion()
	if err != nil || version.Major != "1" {
		return fmt.Errorf("the version is %v, %v", version, err)
	}
	_, lists, err := here.typed.Discovery().ServerGroupsAndResources()
	if err != nil {
		return err
	}
	legacy, err := here.typed.DiscoveryClient.WithLegacy().ServerGroups()
	if err != nil {
		return err
	}
	if len(lists) < 5 || len(legacy.Groups) < 5 {
		return fmt.Errorf("there are %d group versions and %d groups", len(lists), len(legacy.Groups))
	}
	for _, list := range lists {
		old, err := here.typed.DiscoveryClient.WithLegacy().ServerResourcesForGroupVersion(list.GroupVersion)
		if err != nil {
			return err
		}
		if len(old.APIResources) != len(list.APIResources) {
			return fmt.Errorf("%s has %d resources and %d", list.GroupVersion, len(old.APIResources), len(list.APIResources))
		}
	}
	return nil
}

// paging reads a list in pieces while it changes.
func paging(ctx context.Context, here *cluster) error {
	client := here.typed.CoreV1().ConfigMaps(namespace)
	const count = 23
	for number := range count {
		object := configMap(fmt.Sprintf("page-%02d", number), "1")
		object.Labels["check"] = "paging"
		if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	selected := metav1.ListOptions{LabelSelector: "check=paging"}
	defer client.DeleteCollection(context.Background(), metav1.DeleteOptions{}, selected)
	pages := pager.New(pager.SimplePageFunc(func(options metav1.ListOptions) (runtime.Object, error) {
		return client.List(ctx, options)
	}))
	pages.PageSize = 5
	names := map[string]bool{}
	options := selected
	err := pages.EachListItem(ctx, options, func(object runtime.Object) error {
		names[object.(*corev1.ConfigMap).Name] = true
		return nil
	})
	if err != nil || len(names) != count {
		return fmt.Errorf("pages hold %d names, %v", len(names), err)
	}
	if err = client.DeleteCollection(ctx, metav1.DeleteOptions{}, selected); err != nil {
		return err
	}
	list, err := client.List(ctx, selected)
	if err != nil || len(list.Items) != 0 {
		return fmt.Errorf("%d are left after deletecollection, %v", len(list.Items), err)
	}
	return nil
}
