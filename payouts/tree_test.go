package payouts

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

// plainTop computes the top of a tree as docs/proofs.md tells it, in the plainest way: a tree of n leaves has
// the largest power of two below n on its left side.
func plainTop(leaves []keyed) node {
	number := func(out []byte, n int64) []byte { return binary.BigEndian.AppendUint64(out, uint64(n)) }
	if len(leaves) == 1 {
		l := leaves[0]
		text := number(number(append([]byte{0}, l.key[:]...), int64(l.weight)), l.credit)
		return node{sha256.Sum256(text), l.sum}
	}
	half := 1
	for half*2 < len(leaves) {
		half *= 2
	}
	left, right := plainTop(leaves[:half]), plainTop(leaves[half:])
	text := append(number(number([]byte{1}, int64(left.weight)), left.credit), left.hash[:]...)
	text = append(number(number(text, int64(right.weight)), right.credit), right.hash[:]...)
	return node{sha256.Sum256(text), sum{left.weight + right.weight, left.credit + right.credit}}
}

// plantation makes leaves of some accounts, in any order.
func plantation(r *rand.Rand, n int) []Leaf {
	leaves := make([]Leaf, n)
	for i := range leaves {
		leaves[i] = Leaf{fmt.Sprint("account", i), shares.Weight(r.Int64N(math.MaxInt64 / int64(n))), r.Int64N(MaxMoney/int64(n) + 1)}
		if r.IntN(8) == 0 {
			leaves[i].Weight = 0
		}
	}
	r.Shuffle(n, func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	return leaves
}

// TestTree compares trees of all small sizes with the plain one, and has each leaf proven, and each account
// that is not there.
func TestTree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 150; n++ {
		leaves := plantation(r, n)
		tree, err := NewTree(leaves)
		if err != nil {
			t.Fatal(err)
		}
		if want := plainTop(tree.leaves); tree.top() != want {
			t.Fatalf("%d leaves: the top is %+v, want %+v", n, tree.top(), want)
		}
		if !slices.IsSortedFunc(tree.leaves, func(a, b keyed) int { return bytes.Compare(a.key[:], b.key[:]) }) || tree.Len() != n {
			t.Fatalf("%d leaves: they are not in order", n)
		}
		b := &Basis{Unit: 7}
		root := tree.Root(b)
		for _, l := range leaves {
			p, ok := tree.Prove(l.Account)
			if !ok || p.Account != l.Account || p.Weight != l.Weight || p.Credit != l.Credit {
				t.Fatalf("%d leaves: %+v is proven as %+v, %t", n, l, p, ok)
			}
			if err := p.Verify(b, root); err != nil {
				t.Fatalf("%d leaves: %s: %v", n, l.Account, err)
			}
			if _, ok := tree.ProveAbsence(l.Account); ok {
				t.Fatalf("%d leaves: %s is proven not to be there", n, l.Account)
			}
		}
		for i := range 30 {
			name := fmt.Sprint("nobody", i)
			if _, ok := tree.Prove(name); ok {
				t.Fatalf("%d leaves: %s is proven", n, name)
			}
			a, ok := tree.ProveAbsence(name)
			if err := a.Verify(name, b, root); !ok || err != nil {
				t.Fatalf("%d leaves: %s is not there: %t, %v", n, name, ok, err)
			}
		}
	}
}

// TestTreeOfNobody has a root, by which nobody is counted.
func TestTreeOfNobody(t *testing.T) {
	tree, err := NewTree(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := new(Basis)
	root := tree.Root(b)
	a, ok := tree.ProveAbsence("alice")
	if err := a.Verify("alice", b, root); !ok || err != nil || root.Count != 0 || root.sum() != (sum{}) {
		t.Errorf("%+v: %t, %v", root, ok, err)
	}
	if _, ok := tree.Prove("alice"); ok {
		t.Error("she is counted")
	}
	for name, change := range map[string]func(*Root){
		"hash": func(r *Root) { r.Hash[0]++ }, "credit": func(r *Root) { r.Credit++ }, "count": func(r *Root) { r.Count++ },
	} {
		other := root
		change(&other)
		if err := a.Verify("alice", b, other); !errors.Is(err, ErrProof) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// TestTreeRefuses makes no tree of what does not fit.
func TestTreeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		leaves []Leaf
		want   error
	}{
		"twice":             {[]Leaf{{"a", 1, 1}, {"b", 1, 1}, {"a", 2, 2}}, ErrTwice},
		"weight below zero": {[]Leaf{{"a", -1, 1}}, ErrSum},
		"credit below zero": {[]Leaf{{"a", 1, -1}}, ErrSum},
		"hidden below zero": {[]Leaf{{"a", 5, 5}, {"b", -1, 0}}, ErrSum},
		"weights wrap":      {[]Leaf{{"a", math.MaxInt64, 1}, {"b", 1, 1}}, ErrSum},
		"weights wrap far":  {[]Leaf{{"a", math.MaxInt64, 1}, {"b", math.MaxInt64, 1}, {"c", 2, 1}}, ErrSum},
		"too much money":    {[]Leaf{{"a", 1, MaxMoney}, {"b", 1, 1}}, ErrSum},
	} {
		if tree, err := NewTree(c.leaves); !errors.Is(err, c.want) || tree != nil {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	if _, err := NewTree([]Leaf{{"a", math.MaxInt64 - 1, MaxMoney - 1}, {"b", 1, 1}}); err != nil {
		t.Errorf("all there can be: %v", err)
	}
}

// TestTreeOrder makes the same tree whatever the order of the leaves is.
func TestTreeOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := dice(rt)
		leaves := plantation(r, 1+r.IntN(60))
		one, err := NewTree(leaves)
		if err != nil {
			rt.Fatal(err)
		}
		r.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
		other, err := NewTree(leaves)
		if err != nil || one.top() != other.top() {
			rt.Fatalf("another order makes another tree, %v", err)
		}
		leaves[r.IntN(len(leaves))].Credit ^= 1
		if other, err = NewTree(leaves); err == nil && one.top().hash == other.top().hash {
			rt.Fatal("other leaves make the same tree")
		}
	})
}

// TestHiddenDebt shows an account the path of a tree in which another one has less than nothing: it does not
// hold, whatever is made to fit around it.
func TestHiddenDebt(t *testing.T) {
	b := new(Basis)
	alice := keyed{Key("alice"), sum{10, 100}}
	for _, hidden := range []sum{{-3, 0}, {0, -60}, {math.MinInt64, 0}, {0, math.MinInt64}, {math.MaxInt64, 0}, {0, MaxMoney}, {0, math.MaxInt64}} {
		for _, side := range []Side{Left, Right} {
			other := node{Digest{1}, hidden}
			top, p := parent(alice.node(), other), Path{Index: 0, Count: 2}
			if side == Left {
				top, p.Index = parent(other, alice.node()), 1
			}
			p.Siblings = []Sibling{{side, other.hash, hidden.weight, hidden.credit}}
			r := Root{Count: 2, Weight: top.weight, Credit: top.credit}
			r.Hash = b.head(r, top.hash)
			proof := Proof{"alice", 10, 100, p}
			if err := proof.Verify(b, r); !errors.Is(err, ErrProof) || !errors.Is(err, ErrSum) {
				t.Errorf("beside %+v: %v", hidden, err)
			}
		}
	}
	r := Root{Count: 1, Weight: -1, Credit: 5}
	top := keyed{Key("bob"), sum{-1, 5}}.node()
	r.Hash = b.head(r, top.hash)
	proof := Proof{"bob", -1, 5, Path{Count: 1}}
	if err := proof.Verify(b, r); !errors.Is(err, ErrProof) || !errors.Is(err, ErrSum) {
		t.Errorf("an account alone has less than nothing: %v", err)
	}
}

// TestDroppedAccount does not let a pool drop an account from the tree whose root it has published.
func TestDroppedAccount(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := dice(rt)
		leaves := plantation(r, 2+r.IntN(40))
		tree, err := NewTree(leaves)
		if err != nil {
			rt.Fatal(err)
		}
		b := new(Basis)
		root := tree.Root(b)
		dropped := leaves[0].Account
		less, err := NewTree(leaves[1:])
		if err != nil {
			rt.Fatal(err)
		}
		if err := verified(less, leaves[1].Account, b, root); !errors.Is(err, ErrProof) {
			rt.Fatalf("a tree without %s has its root: %v", dropped, err)
		}
		a, _ := less.ProveAbsence(dropped)
		if err := a.Verify(dropped, b, root); !errors.Is(err, ErrProof) {
			rt.Fatalf("%s is proven not to be there: %v", dropped, err)
		}
		// Two leaves of the tree itself, with others between them.
		i, _ := tree.find(Key(dropped))
		a = Absence{}
		if i > 0 {
			a.Before = tree.neighbour(r.IntN(i))
		}
		if i+1 < tree.Len() {
			a.After = tree.neighbour(i + 1 + r.IntN(tree.Len()-i-1))
		}
		if err := a.Verify(dropped, b, root); !errors.Is(err, ErrProof) {
			rt.Fatalf("%s is proven not to be between others: %v", dropped, err)
		}
		if a.After != nil { // it is where it would be, if it is not said where that is
			a.After.Index = 0
			if a.Before != nil {
				a.After.Index = a.Before.Index + 1
			}
			if err := a.Verify(dropped, b, root); !errors.Is(err, ErrProof) {
				rt.Fatalf("%s is proven not to be there: %v", dropped, err)
			}
		}
	})
}

// verified proves an account by a tree, and verifies that against a root.
func verified(tree *Tree, account string, b *Basis, r Root) error {
	p, ok := tree.Prove(account)
	if !ok {
		return fmt.Errorf("%s is not in the tree", account)
	}
	return p.Verify(b, r)
}

// TestSwappedOrder finds out that leaves are not in order.
func TestSwappedOrder(t *testing.T) {
	tree, err := NewTree([]Leaf{{"a", 1, 1}, {"b", 2, 2}, {"c", 3, 3}, {"d", 4, 4}, {"e", 5, 5}})
	if err != nil {
		t.Fatal(err)
	}
	b := new(Basis)
	swapped := &Tree{leaves: slices.Clone(tree.leaves)}
	swapped.leaves[1], swapped.leaves[2] = swapped.leaves[2], swapped.leaves[1]
	top := plainTop(swapped.leaves)
	r := Root{Count: 5, Weight: top.weight, Credit: top.credit}
	r.Hash = b.head(r, top.hash)
	if r.Hash == tree.Root(b).Hash {
		t.Error("another order has the same root")
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		p, _ := tree.Prove(name)
		if err := p.Verify(b, r); err == nil && p.Index != 0 && p.Index < 3 {
			t.Errorf("%s is proven in its own place", name)
		}
	}
	// One place further it is not there, and here it is: who has been shown both has the pool's word for two
	// things of which one is false.
	swapped.levels = [][]node{{top}}
	for i, l := range swapped.leaves[1:3] {
		p := swapped.path(i + 1)
		if err := p.reaches(l, b, r); err != nil {
			t.Error(err)
		}
	}
}

// TestRootIsOfItsBasis shows that no root can be used for another block, other terms or other sums.
func TestRootIsOfItsBasis(t *testing.T) {
	basis := Basis{Terms: Terms{Scheme: PPLNS, Multiple: 8, Fee: 100, Bonus: 5}, Finder: Key("alice"), Unit: 30, Reward: 1000, Carry: 7, Network: 2}
	tree, err := NewTree([]Leaf{{"alice", 1, 2}, {"bob", 3, 4}})
	if err != nil {
		t.Fatal(err)
	}
	root := tree.Root(&basis)
	seen := map[Digest]string{root.Hash: "as it is"}
	for name, change := range map[string]func(*Basis){
		"block": func(b *Basis) { b.Block[31]++ }, "scheme": func(b *Basis) { b.Terms.Scheme = PROP },
		"multiple": func(b *Basis) { b.Terms.Multiple++ }, "fee": func(b *Basis) { b.Terms.Fee++ }, "bonus": func(b *Basis) { b.Terms.Bonus++ },
		"finder": func(b *Basis) { b.Finder = Key("bob") }, "no finder": func(b *Basis) { b.Finder = Digest{} }, "unit": func(b *Basis) { b.Unit++ },
		"reward": func(b *Basis) { b.Reward++ }, "carry": func(b *Basis) { b.Carry++ }, "network": func(b *Basis) { b.Network++ },
	} {
		other := basis
		change(&other)
		hash := tree.Root(&other).Hash
		if before, ok := seen[hash]; ok {
			t.Errorf("%s: the root is that of %s", name, before)
		}
		seen[hash] = name
		if err := verified(tree, "bob", &other, root); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Root){
		"count": func(r *Root) { r.Count++ }, "weight": func(r *Root) { r.Weight++ }, "credit": func(r *Root) { r.Credit++ }, "hash": func(r *Root) { r.Hash[31] ^= 1 },
	} {
		other := root
		change(&other)
		if err := verified(tree, "bob", &basis, other); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLeavesOf joins weights with credits, each of which others may lack.
func TestLeavesOf(t *testing.T) {
	got, err := leavesOf(work(done{"d", 4}, done{"a", 1}, done{"c", 0}, done{"b", 2}), []Credit{{"b", 20}, {"finder", 5}})
	want := []Leaf{{"a", 1, 0}, {"b", 2, 20}, {"d", 4, 0}, {"finder", 0, 5}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	if got, err := leavesOf(nil, []Credit{{"a", 1}}); err != nil || !cmp.Equal(got, []Leaf{{"a", 0, 1}}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := leavesOf(work(done{"a", 1}, done{"a", 2}), nil); !errors.Is(err, ErrTwice) {
		t.Errorf("error %v, want ErrTwice", err)
	}
}

// TestKey is the SHA-256 of a name.
func TestKey(t *testing.T) {
	const want = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"
	if got := Key("alice").String(); got != want {
		t.Errorf("the key of alice is %s, want %s", got, want)
	}
	if strings.Repeat("0", 64) != (Digest{}).String() {
		t.Error("the zero digest")
	}
}
