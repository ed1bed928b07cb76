package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"check": name}},
		Data:       map[string]string{"value": value},
	}
}

// counts is what an informer's handlers were told.
type counts struct{ added, updated, deleted atomic.Int32 }

func (counts *counts) handlers() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { counts.added.Add(1) },
		UpdateFunc: func(any, any) { counts.updated.Add(1) },
		DeleteFunc: func(any) { counts.deleted.Add(1) },
	}
}

// informer follows ConfigMaps of a label through a factory's shared informer: those before, those after, all changes.
// With the feature WatchListClient (on unless the environment says otherwise) it never lists.
func informer(ctx context.Context, here *cluster) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	maps := here.typed.CoreV1().ConfigMaps(namespace)
	before := configMap("informer-before", "1")
	before.Labels["check"] = "informer"
	if _, err := maps.Create(ctx, before, metav1.CreateOptions{}); err != nil {
		return err
	}
	defer maps.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "check=informer"})
	factory := informers.NewSharedInformerFactoryWithOptions(here.typed, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "check=informer" }))
	lister := factory.Core().V1().ConfigMaps().Lister()
	var seen counts
	if _, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(seen.handlers()); err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%v is not synced", kind)
		}
	}
	found, err := lister.ConfigMaps(namespace).List(labels.Everything())
	if err != nil || len(found) != 1 {
		return fmt.Errorf("after the first sync there are %d ConfigMaps, %v", len(found), err)
	}
	after := configMap("informer-after", "1")
	after.Labels["check"] = "informer"
	after, err = maps.Create(ctx, after, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	after.Data["value"] = "2"
	if after, err = maps.Update(ctx, after, metav1.UpdateOptions{}); err != nil {
		return err
	}
	err = until(ctx, "the change arrives", func() bool {
		cached, err := lister.ConfigMaps(namespace).Get(after.Name)
		return err == nil && cached.ResourceVersion == after.ResourceVersion && cached.Data["value"] == "2"
	})
	if err != nil {
		return err
	}
	// An object that no longer matches the selector is gone for this informer.
	after.Labels["check"] = "nothing"
	if _, err = maps.Update(ctx, after, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err = maps.Delete(ctx, before.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	err = until(ctx, "both are gone", func() bool { return seen.deleted.Load() == 2 })
	if err != nil {
		return err
	}
	if added, updated := seen.added.Load(), seen.updated.Load(); added != 2 || updated != 1 {
		return fmt.Errorf("told of %d additions and %d updates", added, updated)
	}
	return maps.Delete(ctx, after.Name, metav1.DeleteOptions{})
}

// stale makes the first plain watch ask for a version that the server has long forgotten.
type stale struct {
	cache.ListerWatcherWithContext
	lists, watches atomic.Int32
}

func (stale *stale) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	stale.lists.Add(1)
	return stale.ListerWatcherWithContext.ListWithContext(ctx, options)
}

func (stale *stale) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents == nil && stale.watches.Add(1) == 1 {
		options.ResourceVersion = "1"
	}
	return stale.ListerWatcherWithContext.WatchWithContext(ctx, options)
}

func (stale *stale) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return stale.WatchWithContext(context.Background(), options)
}

func (stale *stale) List(options metav1.ListOptions) (runtime.Object, error) {
	return stale.ListWithContext(context.Background(), options)
}

// IsWatchListSemanticsUnSupported keeps the reflector on list and watch, whose watch is the one to fail.
func (stale *stale) IsWatchListSemanticsUnSupported() bool { return true }

// informerRelists starts a watch at a forgotten version: the reflector is told 410 and starts over.
func informerRelists(ctx context.Context, here *cluster) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	maps := here.typed.CoreV1().ConfigMaps(namespace)
	source := &stale{ListerWatcherWithContext: cache.ToListerWatcherWithContext(&cache.ListWatch{
		ListFunc: func(options metav1.ListOptions) (runtime.Object, error) {
			options.LabelSelector = "check=relists"
			return maps.List(ctx, options)
		},
		WatchFunc: func(options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = "check=relists"
			return maps.Watch(ctx, options)
		},
	})}
	informer := cache.NewSharedIndexInformer(source, &corev1.ConfigMap{}, 0, cache.Indexers{})
	go informer.RunWithContext(ctx)
	// The reflector takes 410 as a reason to list again, and tells nobody.
	if err := until(ctx, "the reflector lists again", func() bool { return source.lists.Load() > 1 }); err != nil {
		return err
	}
	object := configMap("relists", "1")
	if _, err := maps.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return err
	}
	defer maps.Delete(context.Background(), object.Name, metav1.DeleteOptions{})
	return until(ctx, "the new watch sees the new object", func() bool { return len(informer.GetStore().List()) == 1 })
}

// informerMetadata follows metadata only.
func informerMetadata(ctx context.Context, here *cluster) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	resource := corev1.SchemeGroupVersion.WithResource("configmaps")
	factory := metadatainformer.NewFilteredSharedInformerFactory(here.metadata, 0, namespace, nil)
	informer := factory.ForResource(resource)
	informer.Informer()
	factory.Start(ctx.Done())
	if !factory.WaitForCacheSync(ctx.Done())[resource] {
		return fmt.Errorf("not synced")
	}
	maps := here.typed.CoreV1().ConfigMaps(namespace)
	if _, err := maps.Create(ctx, configMap("metadata", "1"), metav1.CreateOptions{}); err != nil {
		return err
	}
	defer maps.Delete(context.Background(), "metadata", metav1.DeleteOptions{})
	return until(ctx, "metadata arrive", func() bool {
		object, err := informer.Lister().ByNamespace(namespace).Get("metadata")
		if err != nil {
			return false
		}
		partial, is := object.(*metav1.PartialObjectMetadata)
		return is && partial.Labels["check"] == "metadata"
	})
}

// controller is the usual shape of one: an informer fills a queue, a worker writes status, the informer sees it.
func controller(ctx context.Context, here *cluster) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	factory := informers.NewSharedInformerFactoryWithOptions(here.typed, 0, informers.WithNamespace(namespace))
	services := factory.Core().V1().Services()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	enqueue := func(object any) {
		if key, err := cache.MetaNamespaceKeyFunc(object); err == nil {
			queue.Add(key)
		}
	}
	_, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	})
	if err != nil {
		return err
	}
	var worker sync.WaitGroup
	defer worker.Wait()
	defer queue.ShutDown()
	worker.Go(func() {
		for {
			key, ended := queue.Get()
			if ended {
				return
			}
			if err := markService(ctx, here, services.Lister().Services(namespace).Get, key); err != nil {
				queue.AddRateLimited(key)
			} else {
				queue.Forget(key)
			}
			queue.Done(key)
		}
	})
	factory.StartWithContext(ctx)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "controlled", Labels: map[string]string{"check": "controller"}},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	client := here.typed.CoreV1().Services(namespace)
	if _, err := client.Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	defer client.Delete(context.Background(), service.Name, metav1.DeleteOptions{})
	return until(ctx, "the controller's condition is in the cache", func() bool {
		cached, err := services.Lister().Services(namespace).Get(service.Name)
		return err == nil && len(cached.Status.Conditions) == 1
	})
}

func markService(ctx context.Context, here *cluster, find func(string) (*corev1.Service, error), key string) error {
	_, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	service, err := find(name)
	if err != nil || service.Labels["check"] != "controller" || len(service.Status.Conditions) > 0 {
		return nil
	}
	service = service.DeepCopy()
	service.Status.Conditions = []metav1.Condition{{
		Type: "example.com/Seen", Status: metav1.ConditionTrue, Reason: "Seen", LastTransitionTime: metav1.Now(),
	}}
	_, err = here.typed.CoreV1().Services(namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{})
	return err
}
