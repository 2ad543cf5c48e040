package shares

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// scene is a Judge and a Recorder that say what the test wants and write down what happens.
type scene struct {
	verdict   gbt.Verdict
	recordErr error
	events    []string
}

func (s *scene) Judge(context.Context, gbt.Submission) gbt.Verdict {
	s.events = append(s.events, "judge")
	return s.verdict
}

func (s *scene) Record(ctx context.Context, share gbt.Share) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	event := "record " + share.Worker
	if share.Block {
		event += ", a block"
	}
	s.events = append(s.events, event)
	return s.recordErr
}

func (s *scene) Refused(sub gbt.Submission, reason gbt.Reason) {
	s.events = append(s.events, fmt.Sprintf("refused %s %s", sub.Worker, reason))
}

func share(n byte) gbt.Share {
	return gbt.Share{
		Hash: chainhash.Hash{n}, Height: 500, Account: gbt.Account{Address: "addr", Script: "script"}, Worker: "w",
		Target: gbt.Target{0: 0x7f}, Time: time.Unix(int64(n), 0),
	}
}

func TestIntake(t *testing.T) {
	full := errors.New("disk full")
	later := fmt.Errorf("%w: no template", gbt.ErrUnavailable)
	accepted := gbt.Verdict{Hash: share(1).Hash, Share: share(1), Block: true}
	block := share(1)
	block.Block = true
	late := gbt.Verdict{Hash: block.Hash, Share: block, Block: true, BlockReason: "inconclusive"}
	unheard := gbt.Verdict{Hash: block.Hash, Share: block, Block: true, BlockErr: full}
	tests := []struct {
		name      string
		verdict   gbt.Verdict
		recordErr error
		want      gbt.Verdict
		wantErr   error
		events    []string
	}{
		{"accepted", accepted, nil, accepted, nil, []string{"judge", "record w"}},
		{"a block that may yet be the best", late, nil, late, nil, []string{"judge", "record w, a block"}},
		{"a block that no node has answered for", unheard, nil, unheard, nil, []string{"judge", "record w, a block"}},
		{
			"too old", accepted, fmt.Errorf("ledger: %w", ErrTooOld),
			gbt.Verdict{Hash: share(1).Hash, Block: true, Reason: gbt.StaleWork, Detail: "ledger: " + ErrTooOld.Error()}, nil,
			[]string{"judge", "record w", "refused w stale-work"},
		},
		{
			"refused", gbt.Verdict{Reason: gbt.StaleWork, Detail: "late"}, nil,
			gbt.Verdict{Reason: gbt.StaleWork, Detail: "late"}, nil, []string{"judge", "refused w stale-work"},
		},
		{
			"duplicate", accepted, fmt.Errorf("ledger: %w", ErrDuplicate),
			gbt.Verdict{Hash: share(1).Hash, Block: true, Reason: gbt.Duplicate, Detail: "this work was submitted before"}, nil,
			[]string{"judge", "record w", "refused w duplicate"},
		},
		{"not recorded", accepted, full, gbt.Verdict{Hash: share(1).Hash, Block: true}, full, []string{"judge", "record w"}},
		{"cannot be judged", gbt.Verdict{Err: later}, nil, gbt.Verdict{}, later, []string{"judge"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &scene{verdict: tt.verdict, recordErr: tt.recordErr}
			intake, err := NewIntake(IntakeConfig{Judge: s, Recorder: s})
			if err != nil {
				t.Fatal(err)
			}
			got := intake.Submit(t.Context(), gbt.Submission{Worker: "w"})
			if !errors.Is(got.Err, tt.wantErr) || tt.wantErr != nil && !errors.Is(got.Err, gbt.ErrUnavailable) {
				t.Errorf("error %v, want %v and ErrUnavailable", got.Err, tt.wantErr)
			}
			if got.Accepted() != (tt.want.Reason == "" && tt.wantErr == nil) {
				t.Errorf("accepted %t", got.Accepted())
			}
			got.Err, got.BlockErr, tt.want.BlockErr = nil, nil, nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(s.events, tt.events) {
				t.Errorf("events %q, want %q", s.events, tt.events)
			}
		})
	}
}

// TestIntakeMinerHangsUp records work whose sender is gone.
func TestIntakeMinerHangsUp(t *testing.T) {
	s := &scene{verdict: gbt.Verdict{Share: share(1)}}
	intake, err := NewIntake(IntakeConfig{Judge: s, Recorder: s})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := intake.Submit(ctx, gbt.Submission{}); !v.Accepted() {
		t.Errorf("got %+v, want the share recorded", v)
	}
}

func TestIntakeConfig(t *testing.T) {
	s := &scene{}
	for _, cfg := range []IntakeConfig{{}, {Judge: s}, {Recorder: s}} {
		if _, err := NewIntake(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
