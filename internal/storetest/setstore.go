package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gbtpool/gbtpool/gbt"
)

// SetStoreContract tests a gbt.SetStore. Each test opens an empty one, which is for the caller to
// close when t ends; it needs room for 4 MB on each of two blocks.
func SetStoreContract(t *testing.T, open func() gbt.SetStore) {
	t.Helper()
	for _, tc := range []struct {
		name string
		test func(setStore)
	}{
		{"empty", setStore.empty},
		{"in order", setStore.inOrder},
		{"from the middle", setStore.fromTheMiddle},
		{"by previous block", setStore.byBlock},
		{"any bytes", setStore.anyBytes},
		{"copies", setStore.copies},
		{"keep", setStore.keep},
		{"concurrent appends", setStore.concurrentAppends},
		{"concurrent use", setStore.concurrentUse},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(setStore{t, open()}) })
	}
}

// setStore is a store under test.
type setStore struct {
	*testing.T
	store gbt.SetStore
}

func (s setStore) append(previous chainhash.Hash, records ...string) {
	s.Helper()
	for _, record := range records {
		if err := s.store.Append(s.Context(), previous, []byte(record)); err != nil {
			s.Fatalf("append to %s: %v", previous, err)
		}
	}
}

func (s setStore) records(previous chainhash.Hash) []string {
	s.Helper()
	raw, err := s.store.Records(s.Context(), previous, 0)
	if err != nil {
		s.Fatalf("records on %s: %v", previous, err)
	}
	out := make([]string, 0, len(raw))
	for _, record := range raw {
		out = append(out, string(record))
	}
	return out
}

func (s setStore) want(previous chainhash.Hash, records ...string) {
	s.Helper()
	if diff := cmp.Diff(records, s.records(previous), cmpopts.EquateEmpty()); diff != "" {
		s.Errorf("records on %s (-want +got):\n%s", previous, diff)
	}
}

func (s setStore) empty() {
	s.want(chainhash.Hash{})
	s.want(chainhash.Hash{1})
	if err := s.store.Keep(s.Context(), chainhash.Hash{1}); err != nil {
		s.Errorf("keep what is not there: %v", err)
	}
	s.want(chainhash.Hash{1})
}

func (s setStore) inOrder() {
	all := make([]string, 100)
	for i := range all {
		all[i] = fmt.Sprintf("record %d", i%7) // equal ones are records of their own
		s.append(chainhash.Hash{1}, all[i])
	}
	s.want(chainhash.Hash{1}, all...)
	s.want(chainhash.Hash{1}, all...)
}

func (s setStore) fromTheMiddle() {
	all := []string{"a", "b", "c"}
	s.append(chainhash.Hash{1}, all...)
	for from := range 5 {
		got, err := s.store.Records(s.Context(), chainhash.Hash{1}, from)
		if err != nil {
			s.Fatal(err)
		}
		var texts []string
		for _, record := range got {
			texts = append(texts, string(record))
		}
		if want := all[min(from, len(all)):]; !slices.Equal(texts, want) {
			s.Errorf("from %d on there are %q, want %q", from, texts, want)
		}
	}
	s.append(chainhash.Hash{1}, "d")
	if got, err := s.store.Records(s.Context(), chainhash.Hash{1}, 3); err != nil || len(got) != 1 || string(got[0]) != "d" {
		s.Errorf("after another one there is %q, %v", got, err)
	}
}

func (s setStore) byBlock() {
	one, two := chainhash.Hash{1}, chainhash.Hash{31: 1} // which differ at either end
	s.append(one, "a")
	s.append(two, "b")
	s.append(chainhash.Hash{}, "none")
	s.append(one, "c")
	s.want(one, "a", "c")
	s.want(two, "b")
	s.want(chainhash.Hash{}, "none")
}

func (s setStore) anyBytes() {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	records := []string{"", string(all), "", string(bytes.Repeat(all, 1<<12)), string(make([]byte, 1<<20)), "\xff\xff\xff\xff\xff\xff\xff\xff\xff"}
	s.append(chainhash.Hash{1}, records...)
	if got := s.records(chainhash.Hash{1}); !slices.Equal(got, records) {
		s.Errorf("%d records are read, want the %d that were appended", len(got), len(records))
	}
}

// copies wants records to be nobody's bytes but the store's.
func (s setStore) copies() {
	record := []byte("mine")
	if err := s.store.Append(s.Context(), chainhash.Hash{1}, record); err != nil {
		s.Fatal(err)
	}
	copy(record, "gone")
	s.append(chainhash.Hash{1}, "next")
	got, err := s.store.Records(s.Context(), chainhash.Hash{1}, 0)
	if err != nil || len(got) != 2 {
		s.Fatalf("%d records, %v; want 2", len(got), err)
	}
	_ = append(got[0], "over the next one"...)
	copy(got[0], "gone")
	s.want(chainhash.Hash{1}, "mine", "next")
}

func (s setStore) keep() {
	one, two, three := chainhash.Hash{1}, chainhash.Hash{2}, chainhash.Hash{3}
	s.append(one, "a")
	s.append(two, "b")
	s.append(three, "c")
	for range 2 { // the second time there is nothing to do
		if err := s.store.Keep(s.Context(), two, three, chainhash.Hash{4}); err != nil {
			s.Fatal(err)
		}
		s.want(one)
		s.want(two, "b")
		s.want(three, "c")
	}
	// A block that was left can come back.
	s.append(one, "again")
	s.append(two, "more")
	s.want(one, "again")
	s.want(two, "b", "more")
	if err := s.store.Keep(s.Context()); err != nil {
		s.Fatal(err)
	}
	s.want(one)
	s.want(two)
	s.want(three)
}

// concurrentAppends wants all records whole, and those of one caller in its order.
func (s setStore) concurrentAppends() {
	const callers, each = 8, 25
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				record := []byte(fmt.Sprintf("%d %d ", caller, i))
				if err := s.store.Append(s.Context(), chainhash.Hash{1}, bytes.Repeat(record, 1+caller*i)); err != nil {
					s.Error(err)
				}
			}
		})
	}
	all.Wait()
	next := make([]int, callers)
	for _, record := range s.records(chainhash.Hash{1}) {
		var caller, i int
		if _, err := fmt.Sscan(record, &caller, &i); err != nil || caller >= callers || i != next[caller] {
			s.Fatalf("record %q comes out of turn: %v", record, err)
		}
		if want := bytes.Repeat([]byte(fmt.Sprintf("%d %d ", caller, i)), 1+caller*i); record != string(want) {
			s.Fatalf("record %q is not what was appended", record)
		}
		next[caller]++
	}
	for caller, n := range next {
		if n != each {
			s.Errorf("caller %d has %d records, want %d", caller, n, each)
		}
	}
}

// concurrentUse makes every call at once, for the race detector.
func (s setStore) concurrentUse() {
	stays, goes := chainhash.Hash{1}, chainhash.Hash{2}
	var all sync.WaitGroup
	for _, call := range []func() error{
		func() error { return s.store.Append(s.Context(), stays, []byte("stays")) },
		func() error { return s.store.Append(s.Context(), goes, []byte("goes")) },
		func() error { _, err := s.store.Records(s.Context(), stays, 0); return err },
		func() error { _, err := s.store.Records(s.Context(), goes, 0); return err },
		func() error { return s.store.Keep(s.Context(), stays) },
	} {
		all.Go(func() {
			for range 20 {
				if err := call(); err != nil {
					s.Error(err)
				}
			}
		})
	}
	all.Wait()
	s.want(stays, slices.Repeat([]string{"stays"}, 20)...)
	for _, record := range s.records(goes) {
		if record != "goes" {
			s.Errorf("record %q is somebody else's", record)
		}
	}
}
