package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

// pod starts a Pod and waits until it is ready.
func pod(ctx context.Context, here *cluster, name string) (func(), error) {
	client := here.typed.CoreV1().Pods(namespace)
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: "web", Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
		}}},
	}
	if _, err := client.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	gone := func() { client.Delete(context.Background(), name, *metav1.NewDeleteOptions(0)) }
	return gone, until(ctx, "the Pod is ready", func() bool {
		pod, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	})
}

// streamed runs a command in a Pod with client-go's own executor.
func streamed(ctx context.Context, executor remotecommand.Executor, stdin string) (string, string, error) {
	var stdout, stderr bytes.Buffer
	options := remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}
	if stdin != "" {
		options.Stdin = strings.NewReader(stdin)
	}
	err := executor.StreamWithContext(ctx, options)
	return stdout.String(), stderr.String(), err
}

// remote runs a command in a Pod over WebSockets and over SPDY: input, both outputs, exit status.
func remote(ctx context.Context, here *cluster) error {
	gone, err := pod(ctx, here, "remote")
	if err != nil {
		return err
	}
	defer gone()
	for _, protocol := range []string{"websocket", "spdy"} {
		executor := func(stdin bool, command ...string) (remotecommand.Executor, error) {
			request := here.typed.CoreV1().RESTClient().Post().Resource("pods").Name("remote").Namespace(namespace).
				SubResource("exec").VersionedParams(&corev1.PodExecOptions{
				Container: "c", Command: command, Stdin: stdin, Stdout: true, Stderr: true,
			}, scheme.ParameterCodec)
			if protocol == "spdy" {
				return remotecommand.NewSPDYExecutor(here.config, http.MethodPost, request.URL())
			}
			return remotecommand.NewWebSocketExecutor(here.config, http.MethodGet, request.URL().String())
		}
		said, err := executor(true, "sh", "-c", "cat; echo more >&2")
		if err != nil {
			return err
		}
		stdout, stderr, err := streamed(ctx, said, "through and back")
		if err != nil || stdout != "through and back" || stderr != "more\n" {
			return fmt.Errorf("%s: said %q and %q, %w", protocol, stdout, stderr, err)
		}
		failing, err := executor(false, "sh", "-c", "exit 7")
		if err != nil {
			return err
		}
		_, _, err = streamed(ctx, failing, "")
		status, is := err.(exec.CodeExitError)
		if !is || status.Code != 7 {
			return fmt.Errorf("%s: exit status 7 is told as %v", protocol, err)
		}
	}
	return nil
}

// portForward asks a Pod's server through a forwarded port.
func portForward(ctx context.Context, here *cluster) error {
	gone, err := pod(ctx, here, "forwarded")
	if err != nil {
		return err
	}
	defer gone()
	url := here.typed.CoreV1().RESTClient().Post().Resource("pods").Name("forwarded").Namespace(namespace).
		SubResource("portforward").URL()
	for _, protocol := range []string{"websocket", "spdy"} {
		if err := forwarded(ctx, here.config, protocol, url.String()); err != nil {
			return fmt.Errorf("%s: %w", protocol, err)
		}
	}
	return nil
}

func forwarded(ctx context.Context, config *rest.Config, protocol, address string) error {
	request, err := http.NewRequest(http.MethodPost, address, nil)
	if err != nil {
		return err
	}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return err
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, request.URL)
	if protocol == "websocket" {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(request.URL, config); err != nil {
			return err
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	defer close(stop)
	select {
	case <-ready:
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return err
	}
	for range 3 {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", ports[0].Local))
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(body), "forwarded") {
			return fmt.Errorf("the answer is %q, %v", body, err)
		}
	}
	return nil
}
