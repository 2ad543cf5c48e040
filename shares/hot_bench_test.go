package shares

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// drain is a ledger and a spool that keep nothing, so that what is measured is what is before them.
type drain struct {
	*shelf
	*tape
}

func (drain) Record(_ context.Context, s *Share) (Receipt, error) {
	return Receipt{Position: Position{Millis: 1}, Hash: s.Hash}, nil
}

func (drain) Note([]byte) {}

// oneShare is a judge that has accepted a share.
type oneShare struct{ share gbt.Share }

func (j *oneShare) Judge(context.Context, gbt.Submission) gbt.Verdict {
	binary.LittleEndian.PutUint64(j.share.Hash[:], binary.LittleEndian.Uint64(j.share.Hash[:])+1)
	return gbt.Verdict{Hash: j.share.Hash, Share: j.share}
}

// hotIntake takes shares in that are judged already, for a ledger that takes no time.
func hotIntake(tb testing.TB) *Intake {
	tb.Helper()
	sink := drain{newShelf(), new(tape)}
	k, err := NewKeeper(KeeperConfig{
		Ledger: sink, Spool: sink, Multiple: 8, Retry: time.Second, Flush: time.Minute, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	if k.comeBack(tb.Context(), new(progress)); !k.present() {
		tb.Fatal(k.Status().Away)
	}
	s := share(1)
	s.Target, s.PreviousBlock = zeros(40), chainhash.Hash{9}
	i, err := NewIntake(IntakeConfig{Judge: &oneShare{s}, Recorder: k})
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// BenchmarkIntake takes in a share between its judge and the ledger: its weight, and its record for the spool.
func BenchmarkIntake(b *testing.B) {
	i := hotIntake(b)
	b.ReportAllocs()
	for b.Loop() {
		if v := i.Submit(b.Context(), gbt.Submission{}); !v.Accepted() {
			b.Fatalf("%+v", v)
		}
	}
}

// BenchmarkWeight turns a share target into a weight.
func BenchmarkWeight(b *testing.B) {
	target := zeros(40)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Unit(0).Weight(target.Work()); err != nil {
			b.Fatal(err)
		}
	}
}
