package main

import (
	"encoding/json"
	"errors"
	"math/rand/v2"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

var typeConverter = applyconfigurations.NewTypeConverter(scheme.Scheme)

// plain neither converts nor defaults: what is recorded is the merge alone.
type plain struct{}

func (plain) Convert(in, out, context any) error { return errors.New("not needed") }
func (plain) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}
func (plain) ConvertFieldLabel(schema.GroupVersionKind, string, string) (string, string, error) {
	return "", "", errors.New("not needed")
}
func (plain) Default(runtime.Object) {}
func (plain) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	made := &unstructured.Unstructured{}
	made.SetGroupVersionKind(kind)
	return made, nil
}

// write is one write of a history.
type written struct {
	Manager string `json:"manager"`
	Apply   bool   `json:"apply"`
	Force   bool   `json:"force,omitempty"`
	Body    any    `json:"body"`
	// What came of it: the object without times, or the conflicts.
	Result   any    `json:"result,omitempty"`
	Conflict string `json:"conflict,omitempty"`
}

type history struct {
	Schema string    `json:"schema"`
	Writes []written `json:"writes"`
}

// apply is a history of writes by three managers on one object.
func apply(random *rand.Rand) any {
	kind := kinds[random.IntN(len(kinds))]
	gv, err := schema.ParseGroupVersion(kind.apiVersion)
	must(err)
	gvk := gv.WithKind(kind.kind)
	manager, err := managedfields.NewDefaultFieldManager(typeConverter, plain{}, plain{}, plain{}, gvk, gv, "", nil)
	must(err)
	made := history{Schema: kind.schema}
	var live *unstructured.Unstructured
	earlier := kind.grammar.draw(random, nil)
	for range 2 + random.IntN(3) {
		body := kind.grammar.draw(random, earlier).(map[string]any)
		earlier = body
		step := written{
			Manager: []string{"one", "two", "three"}[random.IntN(3)],
			Apply:   live == nil || random.IntN(4) > 0, Force: random.IntN(2) == 0,
		}
		object := complete(kind, body)
		step.Body = object.Object
		live = step.run(manager, gvk, live, object)
		made.Writes = append(made.Writes, step)
	}
	return made
}

// run does one write; the object that is there afterwards.
func (step *written) run(manager *managedfields.FieldManager, kind schema.GroupVersionKind, live, object *unstructured.Unstructured) *unstructured.Unstructured {
	before := live
	if before == nil {
		empty, _ := plain{}.New(kind)
		before = empty.(*unstructured.Unstructured)
	}
	var after runtime.Object
	var err error
	if step.Apply {
		after, err = manager.Apply(before, object, step.Manager, step.Force)
		if apierrors.IsConflict(err) {
			step.Conflict = err.Error()
			return live
		}
	} else {
		// What is written is the whole object; it carries the stored managed fields, as after a read.
		update := object.DeepCopy()
		update.SetManagedFields(before.GetManagedFields())
		after, err = manager.Update(before, update, step.Manager)
	}
	must(err)
	accessor, err := meta.Accessor(after)
	must(err)
	entries := accessor.GetManagedFields()
	for index := range entries {
		entries[index].Time = nil
	}
	accessor.SetManagedFields(entries)
	result := after.(*unstructured.Unstructured)
	// What pruning emptied is null here; a server's types make it absent before it is stored.
	withoutNulls(result.Object)
	step.Result = result.DeepCopy().Object
	return result
}

func complete(kind kind, body map[string]any) *unstructured.Unstructured {
	text, err := json.Marshal(body)
	must(err)
	object := &unstructured.Unstructured{Object: map[string]any{}}
	must(json.Unmarshal(text, &object.Object))
	// Whole numbers, as a server decodes them.
	object.Object = runtime.DeepCopyJSON(whole(object.Object).(map[string]any))
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(kind.apiVersion, kind.kind))
	object.SetName("it")
	return object
}

func withoutNulls(value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			if member == nil {
				delete(value, key)
			} else {
				withoutNulls(member)
			}
		}
	case []any:
		for _, member := range value {
			withoutNulls(member)
		}
	}
}

func whole(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			value[key] = whole(member)
		}
		return value
	case []any:
		for index, member := range value {
			value[index] = whole(member)
		}
		return value
	case float64:
		return int64(value)
	default:
		return value
	}
}
