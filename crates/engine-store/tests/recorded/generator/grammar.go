package main

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// rule draws values of one place of an object.
type rule interface {
	// draw makes a value; with an earlier one, much of that is kept.
	draw(random *rand.Rand, earlier any) any
	// direct turns a value into a strategic patch with directives, deletions and gaps.
	direct(random *rand.Rand, value any) any
}

// kind is a kind and what its objects look like.
type kind struct {
	schema, apiVersion, kind string
	object                   any
	grammar                  rule
}

type scalar []any

func (values scalar) draw(random *rand.Rand, earlier any) any {
	if earlier != nil && random.IntN(3) > 0 {
		return earlier
	}
	return values[random.IntN(len(values))]
}

func (values scalar) direct(_ *rand.Rand, value any) any { return value }

// object has named fields, each there or not; a name with an exclamation mark is always there.
type object map[string]rule

func (fields object) draw(random *rand.Rand, earlier any) any {
	old, _ := earlier.(map[string]any)
	made := map[string]any{}
	for _, name := range sorted(fields) {
		plain, always := name, false
		if name[len(name)-1] == '!' {
			plain, always = name[:len(name)-1], true
		}
		before, had := old[plain]
		there := random.IntN(2) == 0
		if earlier != nil && random.IntN(4) > 0 {
			there = had
		}
		if always || there {
			made[plain] = fields[name].draw(random, before)
		}
	}
	return made
}

func (fields object) direct(random *rand.Rand, value any) any {
	made := map[string]any{}
	for _, name := range sorted(fields) {
		plain := name
		always := name[len(name)-1] == '!'
		if always {
			plain = name[:len(name)-1]
		}
		member, has := value.(map[string]any)[plain]
		switch {
		case !has && !always && random.IntN(8) == 0:
			made[plain] = nil
		case has && (always || random.IntN(4) > 0):
			made[plain] = fields[name].direct(random, member)
			if values, is := fields[name].(values); is && values.merged && random.IntN(2) == 0 {
				// Go does not say which of the two goes first when both are there.
				delete(made, plain)
				made["$deleteFromPrimitiveList/"+plain] = values.subset(random)
			}
		}
	}
	switch random.IntN(14) {
	case 0:
		made["$patch"] = "replace"
	case 1:
		if _, always := fields["name!"]; !always {
			made["$patch"] = "delete"
		}
	case 2:
		made["$patch"] = "merge"
	}
	return made
}

// dictionary has free keys.
type dictionary struct {
	keys  []string
	value rule
}

func (dictionary dictionary) draw(random *rand.Rand, earlier any) any {
	fields := object{}
	for _, key := range dictionary.keys {
		fields[key] = dictionary.value
	}
	return fields.draw(random, earlier)
}

func (dictionary dictionary) direct(random *rand.Rand, value any) any {
	fields := object{}
	for _, key := range dictionary.keys {
		fields[key] = dictionary.value
	}
	return fields.direct(random, value)
}

// values is a list of scalars; merged tells whether a strategic patch merges it.
type values struct {
	all    []any
	merged bool
}

func (values values) subset(random *rand.Rand) []any {
	made := []any{}
	for _, value := range values.all {
		if random.IntN(2) == 0 {
			made = append(made, value)
		}
	}
	random.Shuffle(len(made), func(a, b int) { made[a], made[b] = made[b], made[a] })
	return made
}

func (values values) draw(random *rand.Rand, earlier any) any {
	if earlier != nil && random.IntN(3) > 0 {
		return earlier
	}
	return values.subset(random)
}

func (values values) direct(_ *rand.Rand, value any) any { return value }

// items is a list of objects with distinct keys; merge is the key of a strategic patch, if it merges the list.
type items struct {
	keys  []map[string]any
	merge string
	item  object
}

func (items items) draw(random *rand.Rand, earlier any) any {
	old, _ := earlier.([]any)
	made := []any{}
	for _, key := range items.keys {
		var before any
		for _, item := range old {
			if holds(item.(map[string]any), key) {
				before = item
			}
		}
		if before == nil && random.IntN(3) > 0 || before != nil && random.IntN(5) == 0 {
			continue
		}
		item := items.item.draw(random, before).(map[string]any)
		for name, value := range key {
			item[name] = value
		}
		made = append(made, item)
	}
	if earlier == nil || random.IntN(3) == 0 {
		random.Shuffle(len(made), func(a, b int) { made[a], made[b] = made[b], made[a] })
	}
	return made
}

func (items items) direct(random *rand.Rand, value any) any {
	if items.merge == "" {
		return value
	}
	made := []any{}
	for _, item := range value.([]any) {
		key := item.(map[string]any)[items.merge]
		switch random.IntN(6) {
		case 0:
		case 1:
			made = append(made, map[string]any{items.merge: key, "$patch": "delete"})
		default:
			directed := items.item.direct(random, item).(map[string]any)
			if directed["$patch"] == "delete" || random.IntN(25) > 0 {
				directed[items.merge] = key
			}
			made = append(made, directed)
		}
	}
	if random.IntN(10) == 0 {
		made = append(made, map[string]any{"$patch": "replace"})
	}
	return made
}

func holds(item, key map[string]any) bool {
	for name, value := range key {
		if item[name] != value {
			return false
		}
	}
	return true
}

func sorted[T any](fields map[string]T) []string {
	names := []string{}
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func named(names ...string) []map[string]any { return keyed("name", names...) }

func keyed(field string, names ...string) []map[string]any {
	keys := []map[string]any{}
	for _, name := range names {
		keys = append(keys, map[string]any{field: name})
	}
	return keys
}

var (
	word   = scalar{"a", "b", "c"}
	number = scalar{1.0, 2.0, 3.0}
	truth  = scalar{true, false}
	labels = dictionary{[]string{"app", "tier", "x/y"}, word}

	metadata = object{
		"labels": labels, "annotations": labels,
		"finalizers": values{[]any{"x/a", "x/b", "x/c"}, true},
		"ownerReferences": items{keyed("uid", "u1", "u2"), "uid", object{
			"apiVersion!": word, "kind!": word, "name!": word, "controller": truth}},
	}
	ports = []map[string]any{
		{"containerPort": 80.0, "protocol": "TCP"}, {"containerPort": 80.0, "protocol": "UDP"},
		{"containerPort": 81.0}, {"containerPort": 82.0, "protocol": "TCP"},
	}
	container = object{
		"image": word, "args": values{[]any{"-a", "-b"}, false},
		"env":          items{named("A", "B", "C"), "name", object{"value": word}},
		"ports":        items{ports, "containerPort", object{"name": word}},
		"volumeMounts": items{keyed("mountPath", "/a", "/b"), "mountPath", object{"name!": word, "readOnly": truth}},
		"resources":    object{"limits": dictionary{[]string{"cpu", "memory"}, scalar{"1", "2"}}},
		"readinessProbe": object{
			"httpGet": object{"path": word, "port!": scalar{80.0, "http"}}, "periodSeconds": number},
		"securityContext": object{"runAsUser": number, "capabilities": object{"drop": values{[]any{"X", "Y"}, false}}},
	}
	podSpec = object{
		"containers":     items{named("a", "b", "c"), "name", container},
		"initContainers": items{named("i"), "name", container},
		"volumes": items{named("v", "w"), "name", object{
			"emptyDir":  object{"medium": scalar{"Memory"}},
			"configMap": object{"name": word, "items": items{keyed("key", "k", "l"), "", object{"path!": word}}}}},
		"nodeSelector":     labels,
		"tolerations":      items{keyed("key", "k", "l"), "", object{"operator": scalar{"Exists"}, "value": word}},
		"hostAliases":      items{keyed("ip", "10.0.0.1", "10.0.0.2"), "ip", object{"hostnames": values{[]any{"h", "i"}, false}}},
		"imagePullSecrets": items{named("s", "t"), "name", object{}},
		"restartPolicy":    scalar{"Always", "Never"},
		"topologySpreadConstraints": items{[]map[string]any{
			{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
			{"topologyKey": "host", "whenUnsatisfiable": "ScheduleAnyway"}}, "topologyKey", object{"maxSkew!": number}},
		"affinity": object{"nodeAffinity": object{"requiredDuringSchedulingIgnoredDuringExecution": object{
			"nodeSelectorTerms!": items{nil, "", object{}}}}},
	}
	selector = object{"matchLabels": labels}
)

var kinds = []kind{
	{"io.k8s.api.core.v1.ConfigMap", "v1", "ConfigMap", corev1.ConfigMap{}, object{
		"metadata": metadata, "data": labels, "immutable": truth}},
	{"io.k8s.api.core.v1.Pod", "v1", "Pod", corev1.Pod{}, object{"metadata": metadata, "spec!": podSpec}},
	{"io.k8s.api.apps.v1.Deployment", "apps/v1", "Deployment", appsv1.Deployment{}, object{
		"metadata": metadata,
		"spec!": object{
			"replicas": number, "selector!": selector, "paused": truth,
			"strategy": object{"type": scalar{"RollingUpdate", "Recreate"},
				"rollingUpdate": object{"maxSurge": scalar{1.0, "25%"}, "maxUnavailable": scalar{1.0, "25%"}}},
			"template!": object{"metadata": object{"labels": labels}, "spec!": podSpec},
		}}},
	{"io.k8s.api.core.v1.Service", "v1", "Service", corev1.Service{}, object{
		"metadata": metadata,
		"spec!": object{
			"selector": labels, "type": scalar{"ClusterIP", "NodePort"}, "externalIPs": values{[]any{"10.1.1.1", "10.1.1.2"}, false},
			"ports": items{[]map[string]any{{"port": 80.0, "protocol": "TCP"}, {"port": 80.0, "protocol": "UDP"}, {"port": 81.0}},
				"port", object{"name": word, "targetPort": scalar{80.0, "http"}, "nodePort": scalar{30001.0, 30002.0}}},
		}}},
	{"io.k8s.api.core.v1.ServiceAccount", "v1", "ServiceAccount", corev1.ServiceAccount{}, object{
		"metadata": metadata, "secrets": items{named("a", "b"), "name", object{"namespace": word}},
		"imagePullSecrets": items{named("c", "d"), "name", object{}}}},
	{"io.k8s.api.networking.v1.NetworkPolicy", "networking.k8s.io/v1", "NetworkPolicy", networkingv1.NetworkPolicy{}, object{
		"metadata": metadata,
		"spec!": object{"podSelector!": selector, "policyTypes": values{[]any{"Ingress", "Egress"}, false},
			"ingress": items{nil, "", object{}}}}},
	{"io.k8s.api.discovery.v1.EndpointSlice", "discovery.k8s.io/v1", "EndpointSlice", discoveryv1.EndpointSlice{}, object{
		"metadata": metadata, "addressType!": scalar{"IPv4"},
		"endpoints!": items{keyed("nodeName", "a", "b"), "", object{"addresses!": values{[]any{"10.0.0.1"}, false}}},
		"ports":      items{named("p", "q"), "", object{"port": number}}}},
	{"io.k8s.api.core.v1.Node", "v1", "Node", corev1.Node{}, object{
		"metadata": metadata,
		"spec": object{"podCIDRs": values{[]any{"10.0.0.0/24", "10.1.0.0/24"}, true}, "unschedulable": truth,
			"taints": items{keyed("key", "k", "l"), "", object{"effect!": scalar{"NoSchedule"}}}},
		"status": object{
			"conditions": items{keyed("type", "Ready", "Other"), "type", object{"status!": scalar{"True", "False"}}},
			"addresses":  items{keyed("type", "InternalIP", "Hostname"), "type", object{"address!": word}}}}},
}

// free draws any JSON value.
func free(random *rand.Rand, depth int, nulls bool) any {
	switch kind := random.IntN(6); {
	case depth == 3 || kind < 2 && depth > 0:
		made := map[string]any{}
		for _, key := range []string{"a", "b", "c/d", "e~f"} {
			if random.IntN(2) == 0 {
				made[key] = free(random, depth-1, nulls)
			}
		}
		return made
	case kind == 2 && depth > 0:
		made := []any{}
		for range random.IntN(4) {
			made = append(made, free(random, depth-1, nulls))
		}
		return made
	case kind == 3 && nulls:
		return nil
	case kind == 4:
		return random.IntN(3)
	default:
		return word[random.IntN(len(word))]
	}
}

// step draws one operation of a JSON patch, mostly on places that exist.
func step(random *rand.Rand, object any) any {
	operation := []string{"add", "add", "remove", "replace", "move", "copy", "test"}[random.IntN(7)]
	made := map[string]any{"op": operation, "path": place(random, object)}
	switch operation {
	case "add", "replace":
		made["value"] = free(random, 2, false)
	case "test":
		made["value"] = free(random, 0, false)
	case "move", "copy":
		made["from"] = place(random, object)
	}
	return made
}

var escapes = map[string]string{"a": "a", "b": "b", "c/d": "c~1d", "e~f": "e~0f"}

func place(random *rand.Rand, value any) string {
	switch value := value.(type) {
	case map[string]any:
		keys := []string{"a", "b", "c/d", "e~f"}
		key := keys[random.IntN(len(keys))]
		path := "/" + escapes[key]
		if inner, has := value[key]; has && random.IntN(2) == 0 {
			return path + place(random, inner)
		}
		return path
	case []any:
		index := random.IntN(len(value) + 2)
		if index == len(value)+1 {
			return "/-"
		}
		path := "/" + strconv.Itoa(index)
		if index < len(value) && random.IntN(2) == 0 {
			return path + place(random, value[index])
		}
		return path
	default:
		return fmt.Sprintf("/%s", "a")
	}
}
