// Command clients shows with unmodified client-go what Kubernetes controllers are made of: informers, leader election,
// the dynamic client, updates that conflict, events. It takes the names of checks and a cluster from KUBECONFIG.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// namespace is where the checks work.
const namespace = "default"

// cluster is a connection in each of client-go's forms.
type cluster struct {
	config   *rest.Config
	typed    *kubernetes.Clientset
	dynamic  *dynamic.DynamicClient
	metadata metadata.Interface
}

type check struct {
	name string
	run  func(context.Context, *cluster) error
}

var checks = []check{
	{"informer", informer},
	{"informer-relists", informerRelists},
	{"informer-metadata", informerMetadata},
	{"workqueue-controller", controller},
	{"leader-election", leaderElection},
	{"dynamic", dynamicClient},
	{"apply", apply},
	{"conflict", conflict},
	{"events", recordEvents},
	{"discovery", discover},
	{"paging", paging},
	{"exec", remote},
	{"port-forward", portForward},
}

func connect() (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &cluster{config: config, typed: typed, dynamic: untyped, metadata: meta}, nil
}

// until waits for a condition; what it wanted is the error.
func until(ctx context.Context, what string, holds func() bool) error {
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited too long: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "list" {
		for _, check := range checks {
			fmt.Println(check.name)
		}
		return
	}
	here, err := connect()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot connect:", err)
		os.Exit(2)
	}
	failed := false
	for _, name := range os.Args[1:] {
		known := false
		for _, check := range checks {
			if check.name != name {
				continue
			}
			known = true
			ctx, stop := context.WithTimeout(context.Background(), patience)
			if err := check.run(ctx, here); err != nil {
				failed = true
				fmt.Printf("%s: FAILED: %v\n", name, err)
			} else {
				fmt.Printf("%s: ok\n", name)
			}
			stop()
		}
		if !known {
			failed = true
			fmt.Printf("%s: no such check\n", name)
		}
	}
	if failed {
		os.Exit(1)
	}
}
