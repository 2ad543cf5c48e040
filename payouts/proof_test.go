package payouts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// grow divides what a basis says among weights, with what divides real blocks, and makes the tree of that.
func grow(b Basis, finder string, weights []shares.Credit) (*published, error) {
	if finder != "" {
		b.Finder = Key(finder)
	}
	var credits []Credit
	if b.Terms.PerShare() {
		var err error
		// The subsidy alone is counted under both here: FPPS adds fees of nothing.
		if credits, _, err = b.Terms.Accrue(weights, b.Network, b.Reward, 0); err != nil {
			return nil, err
		}
	} else {
		d, err := b.Terms.Divide(b.Reward, weights, finder)
		if err == nil {
			err = d.addCarry(b.Carry, weights)
		}
		if err != nil {
			return nil, err
		}
		credits = d.Credits
	}
	leaves, err := leavesOf(weights, credits)
	if err != nil {
		return nil, err
	}
	tree, err := NewTree(leaves)
	if err != nil {
		return nil, err
	}
	p := &published{tree: tree, basis: b, root: tree.Root(&b), record: Publication{Seq: 12, Hash: Digest{0xab}, Key: "credit:" + b.Block.String() + "/1"}}
	p.totals, err = b.check(p.root)
	return p, err
}

// anyBasis makes a basis of any kind, and weights that go with it.
func anyBasis(rt *rapid.T) (b Basis, finder string, weights []shares.Credit) {
	r := dice(rt)
	finder = oneOf(r, "", "a1", "a2", "nobody else")
	b = Basis{
		Block: chainhash.HashH([]byte{byte(r.IntN(256))}), Unit: shares.Unit(r.IntN(40)),
		Terms:  Terms{Scheme: oneOf(r, schemes()...), Multiple: 8, Fee: oneOf[int64](r, 0, 1, 100, 9999, Whole)},
		Reward: oneOf[int64](r, 0, 1, 7, 318_750_000, MaxMoney/2),
	}
	for i := range oneOf(r, 0, 1, 2, 3, 9, 17, 40) {
		most := oneOf[int64](r, 1, 3, 1000, math.MaxInt64/64)
		weights = append(weights, shares.Credit{Account: fmt.Sprint("a", i), Weight: shares.Weight(r.Int64N(most + 1))})
	}
	switch {
	case b.Terms.PerShare():
		b.Network, b.Reward = math.MaxInt64/shares.Weight(oneOf(r, 1, 7, 1000)), b.Reward/1000
		return b, finder, weights
	case b.Terms.Scheme == SOLO:
		if finder == "" {
			finder = "a1"
		}
		weights = nil
	default:
		b.Terms.Bonus = oneOf[int64](r, 0, 5, Whole)
	}
	b.Carry = oneOf[int64](r, 0, 0, 1, 99, MaxMoney/2)
	return b, finder, weights
}

// TestEveryProofHolds divides blocks of any kind, and has everybody shown what it was counted with.
func TestEveryProofHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, finder, weights := anyBasis(rt)
		p, err := grow(b, finder, weights)
		if err != nil {
			rt.Fatalf("%+v: %v", b, err)
		}
		if p.root.Credit+p.totals.Fee+p.totals.Carry != b.Reward+b.Carry && !b.Terms.PerShare() {
			rt.Fatalf("%+v and %+v do not add up to %d sat", p.root, p.totals, b.Reward+b.Carry)
		}
		accounts := []string{"somebody", finder}
		for _, w := range weights {
			accounts = append(accounts, w.Account)
		}
		for _, account := range accounts {
			proof := p.prove(&BlockState{Stage: BlockCredited}, account)
			if err := proof.Verify(); err != nil {
				rt.Fatalf("%s: %+v: %v", account, proof, err)
			}
			_, counted := p.tree.find(Key(account))
			if proof.Counted() != counted {
				rt.Fatalf("%s is counted: %t, want %t", account, proof.Counted(), counted)
			}
		}
	})
}

// TestWrongCredit does not take a credit for an account's part that is a satoshi beside it, though the tree and
// all sums fit: what one gets more, another gets less.
func TestWrongCredit(t *testing.T) {
	b := Basis{Terms: Terms{Scheme: PPLNS, Multiple: 8, Fee: 100, Bonus: 100}, Finder: Key("bob"), Reward: 1_000_000, Carry: 50}
	for by, holds := range map[int64]bool{0: true, 1: false, 1000: false} {
		tree, err := NewTree([]Leaf{{"alice", 3, 735_075 + 38 + by}, {"bob", 1, 245_025 + 9900 + 12 - by}})
		if err != nil {
			t.Fatal(err)
		}
		p := &published{tree: tree, basis: b, root: tree.Root(&b), totals: Totals{Fee: 10_000}}
		for _, account := range []string{"alice", "bob"} {
			err := p.prove(new(BlockState), account).Verify()
			if holds != (err == nil) || err != nil && !errors.Is(err, ErrProof) {
				t.Errorf("%d sat from bob to alice, %s: %v", by, account, err)
			}
		}
	}
}

// TestTotals is what there is for all, by hand.
func TestTotals(t *testing.T) {
	for name, c := range map[string]struct {
		b     Basis
		total shares.Weight
		want  Totals
		err   error
	}{
		"pplns":               {Basis{Terms: Terms{Scheme: PPLNS, Multiple: 8, Fee: 100}, Reward: 1000, Carry: 5}, 9, Totals{995, 10, 0}, nil},
		"bonus":               {Basis{Terms: Terms{Scheme: PROP, Fee: 100, Bonus: 1000}, Finder: Key("a"), Reward: 1000}, 9, Totals{990, 10, 0}, nil},
		"nobody":              {Basis{Terms: Terms{Scheme: PROP, Fee: 100, Bonus: 1000}, Finder: Key("a"), Reward: 1000, Carry: 5}, 0, Totals{99, 10, 896}, nil},
		"nobody, no finder":   {Basis{Terms: Terms{Scheme: PROP, Fee: 100, Bonus: 1000}, Reward: 1000, Carry: 5}, 0, Totals{0, 10, 995}, nil},
		"solo":                {Basis{Terms: Terms{Scheme: SOLO, Fee: 100}, Finder: Key("a"), Reward: 1000, Carry: 5}, 0, Totals{990, 10, 5}, nil},
		"solo with weights":   {Basis{Terms: Terms{Scheme: SOLO}, Reward: 1000}, 1, Totals{}, shares.ErrWeight},
		"pps":                 {Basis{Terms: Terms{Scheme: PPS, Fee: 100}, Reward: 1000, Network: 10}, 25, Totals{Credit: 2475}, nil},
		"pps of no network":   {Basis{Terms: Terms{Scheme: PPS}, Reward: 1000}, 25, Totals{}, shares.ErrWeight},
		"pplns per share":     {Basis{Terms: Terms{Scheme: PPLNS, Multiple: 8}, Reward: 1000, Network: 10}, 25, Totals{}, shares.ErrWeight},
		"weight below zero":   {Basis{Terms: Terms{Scheme: PROP}, Reward: 1000}, -1, Totals{}, shares.ErrWeight},
		"no scheme":           {Basis{Terms: Terms{Scheme: "x"}, Reward: 1000}, 1, Totals{}, ErrTerms},
		"reward below zero":   {Basis{Terms: Terms{Scheme: PROP}, Reward: -1}, 1, Totals{}, ErrAmount},
		"carry below zero":    {Basis{Terms: Terms{Scheme: PROP}, Reward: 5, Carry: -1}, 1, Totals{}, ErrAmount},
		"more than there is":  {Basis{Terms: Terms{Scheme: PROP}, Reward: MaxMoney, Carry: 1}, 1, Totals{}, ErrAmount},
		"accrues beyond that": {Basis{Terms: Terms{Scheme: PPS}, Reward: MaxMoney, Network: 1}, 2, Totals{}, ErrAmount},
	} {
		if got, err := c.b.Totals(c.total); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, got, err, c.want, c.err)
		}
	}
}

// example is the round of docs/proofs.md: that of docs/schemes.md, with PPLNS and a bonus.
func example(tb testing.TB) *published {
	tb.Helper()
	block, err := chainhash.NewHashFromStr("00000000000000000001e2f1c4a0e3a1f4b6d6c5f1a3b2c4d5e6f708192a3b4c")
	if err != nil {
		tb.Fatal(err)
	}
	p, err := grow(
		Basis{Block: *block, Terms: Terms{Scheme: PPLNS, Multiple: 2, Fee: 200, Bonus: 100}, Unit: 30, Reward: 318_750_000}, "Bob",
		work(done{"Alice", 1_200_000}, done{"Bob", 799_999}, done{"Carol", 1}))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// TestProofGolden holds the JSON of proofs to files.
func TestProofGolden(t *testing.T) {
	for account, name := range map[string]string{"Alice": "proof.json", "Dave": "proof-absence.json"} {
		proof := example(t).prove(&BlockState{Stage: BlockCredited, Height: 900_000}, account)
		got, err := json.MarshalIndent(proof, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		want, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%s\n%s", name, err, cmp.Diff(string(want), string(got)), got)
		}
		again, err := ParseBlockProof(want)
		if err != nil || again.Verify() != nil || !cmp.Equal(again, proof) {
			t.Errorf("%s is not what was written: %v\n%s", name, err, cmp.Diff(proof, again))
		}
	}
}

// scalars calls do with each place of a JSON document that has a text or a number.
func scalars(v any, path string, do func(path string, v any, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			visit(v[k], path+"."+k, func(x any) { v[k] = x }, do)
		}
	case []any:
		for i := range v {
			visit(v[i], fmt.Sprintf("%s[%d]", path, i), func(x any) { v[i] = x }, do)
		}
	}
}

func visit(v any, path string, set func(any), do func(path string, v any, set func(any))) {
	switch v.(type) {
	case map[string]any, []any:
		scalars(v, path, do)
	default:
		do(path, v, set)
	}
}

// others returns other values that a text or a number could have.
func others(v any) []any {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Int64()
		return []any{n + 1, n - 1, -n - 1, n + 1<<32, 0}
	case string:
		out := []any{"", v + "0", strings.ToUpper(v) + "x"}
		for i := range v {
			for _, bit := range []byte{1, 2, 4} { // digits become other digits, or none
				out = append(out, v[:i]+string(v[i]^bit)+v[i+1:])
			}
		}
		return out
	default:
		return nil
	}
}

// TestNothingCanBeChanged changes all that is in proofs, one by one: none holds then, but for what the root is
// not of, and says so in the document.
func TestNothingCanBeChanged(t *testing.T) {
	// The hash of the record that has published the root is for others to compare, and the rest follows from
	// the chain.
	free := map[string]bool{".height": true, ".stage": true, ".record.seq": true, ".record.hash": true, ".record.key": true}
	for name, also := range map[string]string{
		"proof.json":         "",
		"proof-absence.json": ".account", // it proves the same of whoever else would be between the two
	} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var doc any
		if err := decoder.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		count := 0
		scalars(doc, "", func(path string, v any, set func(any)) {
			for _, other := range others(v) {
				if fmt.Sprint(other) == fmt.Sprint(v) {
					continue
				}
				set(other)
				changed, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				count++
				if p, err := ParseBlockProof(changed); err == nil && p.Verify() == nil && !free[path] && path != also {
					t.Errorf("%s: %s is %v instead of %v, and it holds", name, path, other, v)
				}
			}
			set(v)
		})
		if count < 1000 {
			t.Errorf("%s: %d changes: it was not read", name, count)
		}
	}
}

// TestPathsOfOtherShapes take no path that is longer, shorter or of another side than its place wants.
func TestPathsOfOtherShapes(t *testing.T) {
	leaves := make([]Leaf, 21)
	for i := range leaves {
		leaves[i] = Leaf{strconv.Itoa(i), 1, 1}
	}
	tree, err := NewTree(leaves)
	if err != nil {
		t.Fatal(err)
	}
	b := new(Basis)
	root := tree.Root(b)
	for i := range leaves {
		for name, change := range map[string]func(*Proof){
			"longer":    func(p *Proof) { p.Siblings = append(p.Siblings, Sibling{Side: Left}) },
			"shorter":   func(p *Proof) { p.Siblings = p.Siblings[:len(p.Siblings)-1] },
			"none":      func(p *Proof) { p.Siblings = nil },
			"sides":     func(p *Proof) { p.Siblings[0].Side = map[Side]Side{Left: Right, Right: Left}[p.Siblings[0].Side] },
			"next":      func(p *Proof) { p.Index++ },
			"previous":  func(p *Proof) { p.Index-- },
			"elsewhere": func(p *Proof) { p.Index ^= 8 },
			"of more":   func(p *Proof) { p.Count++ },
			"of fewer":  func(p *Proof) { p.Count-- },
			"of most":   func(p *Proof) { p.Count = math.MaxInt },
			"of none":   func(p *Proof) { p.Count = 0 },
		} {
			p, _ := tree.Prove(strconv.Itoa(i))
			change(&p)
			if err := p.Verify(b, root); !errors.Is(err, ErrProof) {
				t.Errorf("leaf %d, %s: %v", i, name, err)
			}
		}
	}
}

// TestProofOfTwoThings takes no proof that is of somebody else, or of two things or nothing.
func TestProofOfTwoThings(t *testing.T) {
	p := example(t)
	for name, change := range map[string]func(alice, dave *BlockProof){
		"somebody else": func(alice, _ *BlockProof) { alice.Account = "Bob" },
		"both":          func(alice, dave *BlockProof) { alice.Absence = dave.Absence },
		"nothing":       func(alice, _ *BlockProof) { alice.Proof = nil },
		"not there":     func(alice, dave *BlockProof) { alice.Proof, alice.Absence = nil, dave.Absence },
		"nowhere":       func(alice, _ *BlockProof) { alice.Proof, alice.Absence = nil, new(Absence) },
	} {
		alice, dave := p.prove(new(BlockState), "Alice"), p.prove(new(BlockState), "Dave")
		change(alice, dave)
		if err := alice.Verify(); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzBlockProof has any bytes read. What holds holds again once it is written.
func FuzzBlockProof(f *testing.F) {
	for _, name := range []string{"proof.json", "proof-absence.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "{}", "null", `{"version":1}`, `{"version":2}`, `{"version":1,"proof":{},"absence":null}`,
		`{"version":1,"terms":{"scheme":"pps"},"network_weight":"1","absence":{"before":{"count":1,"siblings":[{"side":"up"}]}}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseBlockProof(text)
		if err != nil {
			if p != nil || !errors.Is(err, ErrProof) {
				t.Fatalf("%+v, error %v, want ErrProof", p, err)
			}
			return
		}
		held := p.Verify()
		if held != nil && !errors.Is(held, ErrProof) {
			t.Fatalf("error %v, want ErrProof", held)
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		same, err := ParseBlockProof(again)
		if err != nil || (same.Verify() == nil) != (held == nil) {
			t.Fatalf("%v: it held: %v, and holds: %v", err, held, same.Verify())
		}
	})
}
