package payouts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProofsDoc computes what docs/proofs.md says, in the words of the document.
func TestProofsDoc(t *testing.T) {
	raw, err := os.ReadFile("../docs/proofs.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := strings.Join(strings.Fields(string(raw)), " ") // lines break anywhere
	says := func(text string) {
		t.Helper()
		if !strings.Contains(doc, text) {
			t.Errorf("docs/proofs.md does not say: %s", text)
		}
	}
	p := example(t)
	leaves := make(map[string]node)
	for _, name := range []string{"Alice", "Bob", "Carol"} {
		i, found := p.tree.find(Key(name))
		if !found {
			t.Fatalf("%s is not there", name)
		}
		leaves[name] = p.tree.leaves[i].node()
		says("| H(`" + name + "`) | `" + Key(name).String() + "` |")
		says("| leaf of " + name + " | `" + leaves[name].hash.String() + "` |")
	}
	alice, bob, carol := leaves["Alice"], leaves["Bob"], leaves["Carol"]
	both := parent(alice, carol)
	top := plainTop(p.tree.leaves)
	if parent(both, bob) != top {
		t.Error("the leaves are in another order")
	}
	says("Alice has weight " + grouped(int64(alice.weight)) + " and " + grouped(alice.credit) + " sat, Bob, who found it, " +
		grouped(int64(bob.weight)) + " and " + grouped(bob.credit) + " sat, Carol " + grouped(int64(carol.weight)) + " and " + grouped(carol.credit) + " sat.")
	says("| Alice and Carol: " + grouped(int64(both.weight)) + ", " + grouped(both.credit) + " sat | `" + both.hash.String() + "` |")
	says("| top: " + grouped(int64(top.weight)) + ", " + grouped(top.credit) + " sat | `" + top.hash.String() + "` |")
	says("| root | `" + p.root.Hash.String() + "` |")
	// The program has the siblings of Alice's proof, in their order.
	says(`("right", 1, 155, "` + carol.hash.String() + `"), ("right", 799999, 126824095, "` + bob.hash.String() + `"),`)

	for _, name := range []string{"proof.json", "proof-absence.json"} {
		says("`payouts/testdata/" + name + "`")
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
		scalars(tree, "", func(path string, _ any, _ func(any)) {
			for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
				if key[0] > '9' {
					says("`" + key + "`")
				}
			}
		})
	}
}
