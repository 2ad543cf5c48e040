package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// BoardContract checks that a gbt.Board does what the interface says. open returns one new board as two
// gateways see it; one that is silent for a second may be replaced.
func BoardContract(t *testing.T, open func(testing.TB) (one, other gbt.Board)) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, gbt.Board, gbt.Board){
		"one gateway's template is another's": boardShares,
		"numbers grow over all blocks":        boardNumbers,
		"a gateway keeps its block":           boardKeeps,
		"a silent gateway is replaced":        boardReplaces,
		"an early template gives way":         boardHastens,
	} {
		t.Run(name, func(t *testing.T) {
			one, other := open(t)
			check(t, one, other)
		})
	}
}

func onBlock(n byte) chainhash.Hash { return chainhash.Hash{n, 31: 1} }

func template(block byte, mark uint32, seq uint64) *gbt.Posted {
	return &gbt.Posted{
		Seq: seq, PreviousBlock: onBlock(block), Mark: mark, Node: "core", Received: time.UnixMilli(1_700_000_000_123).UTC(),
		Answer: append([]byte(`{"mark":`), byte(mark), 0, 255),
	}
}

// post puts a template up and returns its number.
func post(t *testing.T, b gbt.Board, p *gbt.Posted) uint64 {
	t.Helper()
	up, err := b.Post(t.Context(), p)
	if err != nil || up.Mark != p.Mark || up.Answer != nil || up.PreviousBlock != p.PreviousBlock {
		t.Fatalf("Post of %08x: %+v, %v", p.Mark, up, err)
	}
	return up.Seq
}

// sees fails unless a gateway is told of a template.
func sees(t *testing.T, b gbt.Board, block byte, have uint64, want *gbt.Posted) {
	t.Helper()
	got, err := b.Posted(t.Context(), onBlock(block), have)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Posted (-want +got):\n%s", diff)
	}
}

func boardShares(t *testing.T, one, other gbt.Board) {
	t.Helper()
	sees(t, one, 1, 0, nil)
	if _, err := one.Find(t.Context(), onBlock(1), 7); !errors.Is(err, gbt.ErrNotPosted) {
		t.Fatalf("a template that nobody has put up: %v", err)
	}
	first := template(1, 7, 1_800_000_000_000)
	if first.Seq = post(t, one, first); first.Seq != 1_800_000_000_000 {
		t.Fatalf("the first number is %d", first.Seq)
	}
	sees(t, one, 1, 0, nil)
	sees(t, other, 1, 0, first)
	sees(t, other, 1, first.Seq, &gbt.Posted{Seq: first.Seq, PreviousBlock: first.PreviousBlock, Mark: 7})
	sees(t, other, 2, 0, nil)
	second := template(1, 8, 5)
	if second.Seq = post(t, one, second); second.Seq != first.Seq+1 {
		t.Fatalf("the second number is %d", second.Seq)
	}
	sees(t, other, 1, first.Seq, second)
	for _, want := range []*gbt.Posted{first, second} {
		if got, err := other.Find(t.Context(), onBlock(1), want.Mark); err != nil || !cmp.Equal(got, want) {
			t.Fatalf("Find: %v\n%s", err, cmp.Diff(want, got))
		}
	}
	if _, err := other.Find(t.Context(), onBlock(2), 8); !errors.Is(err, gbt.ErrNotPosted) {
		t.Fatalf("a template on another block: %v", err)
	}
}

func boardNumbers(t *testing.T, one, other gbt.Board) {
	t.Helper()
	last := uint64(0)
	for i := range byte(6) {
		b := []gbt.Board{one, other}[i%2]
		seq := post(t, b, template(10+i, 1, []uint64{0, 100, 50}[i%3]))
		if seq <= last {
			t.Fatalf("the number after %d is %d", last, seq)
		}
		last = seq
	}
	// What is there already keeps its number, whoever puts it up.
	if seq := post(t, one, template(15, 1, 0)); seq != last {
		t.Fatalf("the number of the same template is %d, was %d", seq, last)
	}
}

func boardKeeps(t *testing.T, one, other gbt.Board) {
	t.Helper()
	mine := template(1, 7, 3)
	mine.Seq = post(t, one, mine)
	up, err := other.Post(t.Context(), template(1, 8, 3))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mine, up); diff != "" {
		t.Fatalf("in force is (-want +got):\n%s", diff)
	}
	if _, err := other.Find(t.Context(), onBlock(1), 8); !errors.Is(err, gbt.ErrNotPosted) {
		t.Fatalf("a template that was never in force: %v", err)
	}
}

func boardHastens(t *testing.T, one, other gbt.Board) {
	t.Helper()
	early := template(1, 7, 3)
	early.Early = true
	seq := post(t, one, early)
	// Another early one does not take its place, and the same has its number.
	if again := post(t, other, early); again != seq {
		t.Fatalf("the number of the same early template is %d, was %d", again, seq)
	}
	rival := template(1, 8, 4)
	rival.Early = true
	if up, err := other.Post(t.Context(), rival); err != nil || up.Mark != 7 || up.Seq != seq {
		t.Fatalf("after another early template in force is %+v, %v", up, err)
	}
	sees(t, one, 1, 0, nil) // it is one's still
	full := template(1, 9, 5)
	full.Packed = other.Pack(full.Answer)
	full.Seq, full.Packed = post(t, other, full), nil
	if full.Seq <= seq {
		t.Fatalf("the number after %d is %d", seq, full.Seq)
	}
	sees(t, one, 1, seq, full)
	// Which is no early one, and stays.
	for _, late := range []*gbt.Posted{early, rival, template(1, 10, 6)} {
		if up, err := one.Post(t.Context(), late); err != nil || up.Mark != 9 {
			t.Fatalf("after %08x in force is %+v, %v", late.Mark, up, err)
		}
	}
	if got, err := one.Find(t.Context(), onBlock(1), 7); err != nil || got.Seq != seq {
		t.Fatalf("the early template is %+v, %v", got, err)
	}
	// A node's template that is like the early one counts as the node's.
	same := template(2, 7, 7)
	same.Early = true
	post(t, one, same)
	same.Early = false
	post(t, other, same)
	if up, err := one.Post(t.Context(), template(2, 8, 8)); err != nil || up.Mark != 7 {
		t.Fatalf("in the place of a node's in force is %+v, %v", up, err)
	}
}

func boardReplaces(t *testing.T, one, other gbt.Board) {
	t.Helper()
	post(t, one, template(1, 7, 3))
	deadline := time.Now().Add(20 * time.Second)
	for ; ; time.Sleep(20 * time.Millisecond) { // one looks at the board, and so is not silent
		sees(t, one, 1, 0, nil)
		up, err := other.Posted(t.Context(), onBlock(1), 0)
		if err != nil || up == nil {
			t.Fatalf("the template of a gateway that is there: %+v, %v", up, err)
		}
		if time.Until(deadline) < 18*time.Second {
			break
		}
	}
	for up := template(1, 7, 3); up != nil; time.Sleep(20 * time.Millisecond) { // and now it is
		if time.Now().After(deadline) {
			t.Fatal("a silent gateway keeps its block")
		}
		var err error
		if up, err = other.Posted(t.Context(), onBlock(1), 0); err != nil {
			t.Fatal(err)
		}
	}
	theirs := template(1, 9, 3)
	theirs.Seq = post(t, other, theirs)
	sees(t, one, 1, 0, theirs)
}
