// Command recorded writes down what Kubernetes' own Go packages make of patches and applies: one JSON object a line,
// with what went in and what came out. The inputs are drawn from small grammars with a fixed seed.
//
//	go run . FOLDER
package main

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func main() {
	folder := os.Args[1]
	write(filepath.Join(folder, "strategic.jsonl"), 400, strategic)
	write(filepath.Join(folder, "threeway.jsonl"), 150, threeWay)
	write(filepath.Join(folder, "merge.jsonl"), 150, merge)
	write(filepath.Join(folder, "json.jsonl"), 250, jsonPatch)
	write(filepath.Join(folder, "apply.jsonl"), 220, apply)
}

// write draws so many cases; a case that its own generator cannot use is drawn again.
func write(path string, count int, draw func(*rand.Rand) any) {
	file, err := os.Create(path)
	must(err)
	out := bufio.NewWriter(file)
	random := rand.New(rand.NewPCG(20261127, uint64(count)))
	for count > 0 {
		drawn := draw(random)
		if drawn == nil {
			continue
		}
		line, err := json.Marshal(drawn)
		must(err)
		out.Write(line)
		out.WriteByte('\n')
		count--
	}
	must(out.Flush())
	must(file.Close())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func encoded(value any) []byte {
	text, err := json.Marshal(value)
	must(err)
	return text
}

func decoded(text []byte) any {
	var value any
	must(json.Unmarshal(text, &value))
	return value
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// patched is a case of one patch.
type patched struct {
	Schema string `json:"schema,omitempty"`
	Object any    `json:"object"`
	Patch  any    `json:"patch"`
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// strategic is a strategic merge patch: one that Go computes of two objects, or one with directives drawn at random.
func strategic(random *rand.Rand) any {
	kind := kinds[random.IntN(len(kinds))]
	object := kind.grammar.draw(random, nil)
	var patch any
	if random.IntN(2) == 0 {
		computed, err := strategicpatch.CreateTwoWayMergePatch(encoded(object), encoded(kind.grammar.draw(random, object)), kind.object)
		must(err)
		patch = decoded(computed)
	} else {
		patch = kind.grammar.direct(random, kind.grammar.draw(random, object))
	}
	return strategically(kind, object, patch)
}

func strategically(kind kind, object, patch any) any {
	result, err := strategicpatch.StrategicMergePatch(encoded(object), encoded(patch), kind.object)
	if err != nil {
		return patched{Schema: kind.schema, Object: object, Patch: patch, Error: text(err)}
	}
	return patched{Schema: kind.schema, Object: object, Patch: patch, Result: decoded(result)}
}

// threeWay is a patch as kubectl's client-side apply computes it.
func threeWay(random *rand.Rand) any {
	kind := kinds[random.IntN(len(kinds))]
	before := kind.grammar.draw(random, nil)
	after := kind.grammar.draw(random, before)
	live := kind.grammar.draw(random, before)
	meta, err := strategicpatch.NewPatchMetaFromStruct(kind.object)
	must(err)
	patch, err := strategicpatch.CreateThreeWayMergePatch(encoded(before), encoded(after), encoded(live), meta, true)
	if err != nil {
		return nil
	}
	return strategically(kind, live, decoded(patch))
}

// merge is a JSON merge patch (RFC 7396).
func merge(random *rand.Rand) any {
	object, patch := free(random, 3, false), free(random, 3, true)
	result, err := jsonpatch.MergePatch(encoded(object), encoded(patch))
	if err != nil {
		return patched{Object: object, Patch: patch, Error: text(err)}
	}
	return patched{Object: object, Patch: patch, Result: decoded(result)}
}

// jsonPatch is a JSON patch (RFC 6902).
func jsonPatch(random *rand.Rand) any {
	object := free(random, 3, false)
	var steps []any
	for range 1 + random.IntN(3) {
		steps = append(steps, step(random, object))
	}
	patch, err := jsonpatch.DecodePatch(encoded(steps))
	must(err)
	result, err := patch.Apply(encoded(object))
	if err != nil {
		return patched{Object: object, Patch: steps, Error: text(err)}
	}
	return patched{Object: object, Patch: steps, Result: decoded(result)}
}
