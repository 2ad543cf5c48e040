package mirror

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gbtpool/gbtpool/internal/spool"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		appendForEver(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// chain makes records that follow each other, some of them larger than the spool's are.
func chain(tb testing.TB, many int, large ...int) []*payouts.Record {
	tb.Helper()
	out := make([]*payouts.Record, 0, many)
	var head payouts.Head
	for i := range many {
		size := 10
		if slices.Contains(large, i) {
			size = 1_100_000
		}
		random := make([]byte, size)
		source := rand.NewChaCha8([32]byte{byte(i)})
		_, _ = source.Read(random) // never fails
		r := &payouts.Record{
			Seq: head.Seq + 1, Previous: head.Hash, Key: fmt.Sprint("k", i), Kind: payouts.KindBook, By: "a test",
			Time: time.UnixMilli(1_780_000_000_000 + int64(i)).UTC(),
			Legs: []payouts.Leg{{Account: payouts.Outside, Amount: -1}, {Account: payouts.Pool, Amount: 1}},
			Sets: []payouts.Set{{Table: payouts.TablePool, Field: "f", Value: hex.EncodeToString(random)}},
		}
		out = append(out, r)
		head = headOf(tb, r)
	}
	return out
}

func headOf(tb testing.TB, r *payouts.Record) payouts.Head {
	tb.Helper()
	head, err := r.Head()
	if err != nil {
		tb.Fatal(err)
	}
	return head
}

// config is that of tests: ledger "aa", and a log that says nothing.
func config(dir string) Config {
	return Config{Dir: dir, Ledger: "aa", Log: slog.New(slog.DiscardHandler)}
}

// opened opens a mirror with small files.
func opened(tb testing.TB, cfg Config) *Mirror {
	tb.Helper()
	m, err := open(tb.Context(), cfg, 4096)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = m.Close() })
	return m
}

func closed(tb testing.TB, m *Mirror) {
	tb.Helper()
	if err := m.Close(); err != nil {
		tb.Fatal(err)
	}
}

func appended(tb testing.TB, m *Mirror, records ...*payouts.Record) {
	tb.Helper()
	for _, r := range records {
		if err := m.Append(tb.Context(), r); err != nil {
			tb.Fatal(err)
		}
	}
}

// holds fails unless a mirror has these records, and these alone.
func holds(tb testing.TB, m *Mirror, records []*payouts.Record) {
	tb.Helper()
	var head payouts.Head
	if n := len(records); n > 0 {
		head = headOf(tb, records[n-1])
	}
	if m.Head() != head {
		tb.Fatalf("the head is %d %s, want %d %s", m.Head().Seq, m.Head().Hash, head.Seq, head.Hash)
	}
	reads(tb, m, 0, records)
}

func reads(tb testing.TB, m *Mirror, from uint64, records []*payouts.Record) {
	tb.Helper()
	var got []*payouts.Record
	for r, err := range m.Records(from) {
		if err != nil {
			tb.Fatal(err)
		}
		got = append(got, r)
	}
	if d := cmp.Diff(records[:len(records):len(records)], got); d != "" && len(records)+len(got) > 0 {
		tb.Fatalf("records from %d (-want +got):\n%s", from, d[:min(len(d), 2000)])
	}
}

func TestMirror(t *testing.T) {
	all := chain(t, 200, 3, 4, 64, 130)
	dir := filepath.Join(t.TempDir(), "a", "b")
	m := opened(t, config(dir))
	holds(t, m, nil)
	for i, r := range all {
		appended(t, m, r)
		if i%50 == 0 {
			closed(t, m)
			m = opened(t, config(dir))
		}
	}
	holds(t, m, all)
	closed(t, m)
	m = opened(t, config(dir))
	holds(t, m, all)
	for _, from := range []uint64{0, 1, 2, 3, 4, 5, 63, 64, 65, 66, 128, 129, 130, 199, 200, 201, 1 << 60} {
		reads(t, m, from, all[min(max(from, 1)-1, 200):])
	}
	for r, err := range m.Records(100) {
		if err != nil || r.Seq != 100 {
			t.Fatalf("record %+v, %v", r, err)
		}
		break
	}
	if len(m.places) != 4 {
		t.Errorf("%d places are remembered of 200 records", len(m.places))
	}
}

func TestAppendRefuses(t *testing.T) {
	all := chain(t, 4)
	other := *all[2]
	other.By = "somebody else"
	follows := *all[3]
	follows.Previous = headOf(t, &other).Hash
	unsound := *all[3]
	unsound.Legs = unsound.Legs[1:]
	long := *all[3]
	long.Sets = []payouts.Set{{Table: "t", Field: "f", Value: strings.Repeat("x", 9<<20)}}
	m := opened(t, config(t.TempDir()))
	appended(t, m, all[:3]...)
	for name, try := range map[string]struct {
		record *payouts.Record
		want   error
	}{
		"another one in its place": {&other, payouts.ErrDiverged}, "one that follows another": {&follows, payouts.ErrDiverged},
		"an old one": {all[1], ErrNext}, "one after the next": {chain(t, 6)[5], ErrNext},
		"unsound": {&unsound, payouts.ErrRecord}, "too long": {&long, payouts.ErrRecord},
	} {
		if err := m.Append(t.Context(), try.record); !errors.Is(err, try.want) {
			t.Errorf("%s: error %v, want %v", name, err, try.want)
		}
		holds(t, m, all[:3])
	}
	appended(t, m, all[2], all[2], all[3], all[3])
	holds(t, m, all)
	closed(t, m)
	holds(t, opened(t, config(m.cfg.Dir)), all)
}

func TestOpenRefuses(t *testing.T) {
	write := func(t *testing.T, dir string, records ...[]byte) {
		t.Helper()
		s, err := spool.Open(spool.Config{Dir: dir, Segment: 100, Most: 1 << 30, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if _, err := s.Append(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	head := []byte("\x01" + `{"format":1,"ledger":"aa"}`)
	all := chain(t, 4)
	text := func(i int) []byte {
		raw, err := all[i].Encode()
		if err != nil {
			t.Fatal(err)
		}
		return pieces(raw)[0]
	}
	changed := bytes.Replace(text(1), []byte("a test"), []byte("a fake"), 1)
	for name, try := range map[string]struct {
		records [][]byte
		want    error
	}{
		"another ledger":  {[][]byte{[]byte("\x01" + `{"format":1,"ledger":"bb"}`), text(0)}, shares.ErrForeign},
		"a later format":  {[][]byte{[]byte("\x01" + `{"format":2,"ledger":"aa","more":1}`)}, ErrVersion},
		"something else":  {[][]byte{[]byte("shares")}, spool.ErrCorrupt},
		"nothing in it":   {[][]byte{{}}, spool.ErrCorrupt},
		"no header":       {[][]byte{text(0)}, spool.ErrCorrupt},
		"a gap":           {[][]byte{head, text(0), text(2)}, spool.ErrCorrupt},
		"a late start":    {[][]byte{head, text(1)}, spool.ErrCorrupt},
		"one twice":       {[][]byte{head, text(0), text(0)}, spool.ErrCorrupt},
		"one changed":     {[][]byte{head, text(0), changed, text(2)}, spool.ErrCorrupt},
		"two headers":     {[][]byte{head, head}, spool.ErrCorrupt},
		"a rest alone":    {[][]byte{head, {kindMore, 'x'}}, spool.ErrCorrupt},
		"more than said":  {[][]byte{head, {kindBegin, 0, 0, 0, 1, 'x', 'x'}}, spool.ErrCorrupt},
		"a huge one":      {[][]byte{head, {kindBegin, 255, 0, 0, 1, 'x'}}, spool.ErrCorrupt},
		"an empty one":    {[][]byte{head, {kindBegin, 0, 0, 0, 0}}, spool.ErrCorrupt},
		"no JSON":         {[][]byte{head, pieces([]byte("{}"))[0]}, spool.ErrCorrupt},
		"an unknown kind": {[][]byte{head, {9}}, spool.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, try.records...)
			for range 2 {
				_, err := Open(t.Context(), config(dir))
				if !errors.Is(err, try.want) {
					t.Fatalf("error %v, want %v", err, try.want)
				}
			}
		})
	}
	// What is sound is written alike.
	dir := t.TempDir()
	write(t, dir, head, text(0), []byte{kindBegin, 0, 0, 1, 1, 'x'}, text(1))
	holds(t, opened(t, config(dir)), all[:2])
}

func TestOneAtATime(t *testing.T) {
	m := opened(t, config(t.TempDir()))
	if _, err := Open(t.Context(), m.cfg); !errors.Is(err, spool.ErrLocked) {
		t.Fatalf("error %v, want ErrLocked", err)
	}
	for _, cfg := range []Config{{Ledger: "aa", Log: m.cfg.Log}, {Dir: "x", Log: m.cfg.Log}, {Dir: "x", Ledger: "aa"}} {
		if _, err := Open(t.Context(), cfg); err == nil {
			t.Errorf("%+v is enough", cfg)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := chain(t, 1)[0]
	if err := m.Append(ctx, r); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want Canceled", err)
	}
	appended(t, m, r)
	holds(t, m, []*payouts.Record{r})
	closed(t, m)
	if err := m.Append(t.Context(), chain(t, 2)[1]); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("error %v, want ErrClosed", err)
	}
}

// BenchmarkOpen opens mirrors of large records; B/s are of their texts.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	m, err := Open(b.Context(), config(dir))
	if err != nil {
		b.Fatal(err)
	}
	var bytes int64
	var head payouts.Head
	for i := range 100 {
		r := &payouts.Record{Seq: head.Seq + 1, Previous: head.Hash, Key: strconv.Itoa(i), Kind: payouts.KindCredit, By: "bench"}
		source := rand.New(rand.NewPCG(1, uint64(i)))
		for n := range payouts.MaxLegs {
			account := payouts.Miner(fmt.Sprintf("bc1p%016x%016x%016x%010x", source.Uint64(), source.Uint64(), source.Uint64(), n))
			r.Legs = append(r.Legs, payouts.Leg{Account: account, Amount: int64(1 - n%2*2)})
		}
		appended(b, m, r)
		text, err := r.Encode()
		if err != nil {
			b.Fatal(err)
		}
		bytes += int64(len(text))
		head = m.Head()
	}
	closed(b, m)
	b.SetBytes(bytes)
	for b.Loop() {
		m, err := Open(b.Context(), config(dir))
		if err != nil {
			b.Fatal(err)
		}
		closed(b, m)
	}
}
