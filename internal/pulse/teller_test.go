package pulse

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

func TestTellTemplates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newStore(), newFeed()
		// Two gateways of one pool tell each thing once.
		run(t, newTeller(t, s, f))
		run(t, newTeller(t, s, f))
		time.Sleep(time.Minute)
		if got := s.told(shares.EventTemplate); got != nil {
			t.Fatalf("told %q while there is no template", got)
		}
		first := f.publish(1, 1, 0)
		time.Sleep(again)
		synctest.Wait()
		want := fmt.Sprintf(`{"height":101,"number":1,"previous_block":"%s","fees_sat":1,"transaction_count":2,"value_sat":5000000001}`, first.PreviousBlock)
		if got := s.told(shares.EventTemplate); !cmp.Equal(got, []string{want}) {
			t.Fatalf("told %q, want %q", got, want)
		}
		f.publish(2, 2, 0)
		synctest.Wait()
		if got := fields(t, s.told(shares.EventTemplate), "number"); !cmp.Equal(got, []string{"1", "2"}) {
			t.Fatalf("told of %q, want the new block's at once", got)
		}
		for n := range 60 { // one a second
			f.publish(2, uint64(3+n), 0)
			time.Sleep(time.Second)
		}
		time.Sleep(refreshEvery)
		got := fields(t, s.told(shares.EventTemplate), "number")
		if len(got) < 6 || len(got) > 7 || got[len(got)-1] != "62" {
			t.Errorf("told of %q, want four or five templates on the same block, and the last among them", got)
		}
		f.lose(gbt.ErrUnavailable)
		time.Sleep(time.Minute)
		f.publish(3, 100, 0)
		time.Sleep(again + time.Second)
		f.lose(gbt.ErrClosed)
		time.Sleep(time.Minute)
		if now := fields(t, s.told(shares.EventTemplate), "number"); !cmp.Equal(now, append(got, "100")) {
			t.Errorf("told of %q, want %q and the one after the loss", now, got)
		}
	})
}

// TestTellTemplatesAway tells of the newest template once the store is back, not of those that nobody can use any more.
func TestTellTemplatesAway(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, f := newStore(), newFeed()
			f.publish(1, 1, 0)
			run(t, newTeller(t, s, f))
			synctest.Wait()
			s.forget()
			s.fail(errAway, kept)
			for n := range 5 {
				f.publish(byte(2+n), uint64(2+n), 0)
				time.Sleep(time.Minute)
			}
			s.fail(nil, false)
			time.Sleep(again)
			synctest.Wait()
			want := []string{"6"}
			if kept {
				want = []string{"2", "3", "4", "5", "6"}
			}
			if got := fields(t, s.told(shares.EventTemplate), "number"); !cmp.Equal(got, want) {
				t.Errorf("kept=%t: told of %q, want %q", kept, got, want)
			}
		})
	}
}

// verdictOf is an accepted share of an account, maybe a block.
func verdictOf(account, worker string, block bool) (gbt.Submission, gbt.Verdict) {
	at := time.Now().Truncate(time.Millisecond)
	target, err := gbt.TargetFromDifficulty(8)
	if err != nil {
		panic(err)
	}
	v := gbt.Verdict{Hash: chainhash.Hash{7}, Block: block, Share: gbt.Share{
		Account: gbt.Account{Address: account}, Worker: worker, Target: target, Time: at, Height: 100, Hash: chainhash.Hash{7},
	}}
	return gbt.Submission{Account: v.Share.Account, Worker: worker, UserAgent: "miner/1", Received: at}, v
}

// blockSet is what a record says of a block.
func blockSet(stage payouts.BlockStage, turn int) payouts.Set {
	return payouts.Set{
		Table: payouts.TableBlocks, Field: chainhash.Hash{7}.String(),
		Value: fmt.Sprintf(`{"stage":%q,"height":100,"account":"finder","turn":%d}`, stage, turn),
	}
}

// settlementSet is what a record says of a settlement.
func settlementSet(state payouts.State, confirms int) payouts.Set {
	return payouts.Set{
		Table: payouts.TableSettlements, Field: "12", Value: fmt.Sprintf(`{"state":%q,"confirms":%d,"flight":1,"total":900}`, state, confirms),
	}
}

func TestTellBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newStore(), newFeed()
		one, other := newTeller(t, s, f), newTeller(t, s, f)
		run(t, one)
		run(t, other)
		synctest.Wait()
		one.Heard(verdictOf("finder", "", false))
		one.Heard(verdictOf("finder", "", true))
		synctest.Wait()
		hash := chainhash.Hash{7}.String()
		want := []string{fmt.Sprintf(`{"hash":%q,"height":100,"state":"found"}`, hash)}
		if got := s.told(shares.EventBlock); !cmp.Equal(got, want) {
			t.Fatalf("told %q, want %q at once", got, want)
		}
		s.post(blockSet(payouts.BlockFound, 0))
		s.post(blockSet(payouts.BlockCrediting, 0), payouts.Set{Table: payouts.TableCoins, Field: "x", Value: "y"})
		s.post(blockSet(payouts.BlockCrediting, 0))
		s.post(blockSet(payouts.BlockCredited, 0))
		time.Sleep(journalEvery)
		s.post(blockSet(payouts.BlockLost, 0))
		s.post(blockSet(payouts.BlockFound, 1))
		s.post(payouts.Set{Table: payouts.TableBlocks, Field: hash}, blockSet(payouts.BlockCredited, 1)) // a field that was removed
		time.Sleep(journalEvery)
		synctest.Wait()
		states := []string{`"found"`, `"crediting"`, `"credited"`, `"lost"`, `"found"`, `"credited"`}
		if got := fields(t, s.told(shares.EventBlock), "state"); !cmp.Equal(got, states) {
			t.Errorf("told %q, want %q", got, states)
		}
		if got := strings.Join(s.told(shares.EventBlock), ""); strings.Contains(got, "finder") {
			t.Errorf("it is told who found it: %s", got)
		}
	})
}

// TestTellBlocksRefused tells of nothing that no node has taken.
func TestTellBlocksRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		teller := newTeller(t, s, newFeed())
		run(t, teller)
		sub, v := verdictOf("finder", "", true)
		v.BlockReason = gbt.BadTxns
		teller.Heard(sub, v)
		v.BlockReason, v.BlockErr = "", errAway
		teller.Heard(sub, v)
		synctest.Wait()
		if got := s.told(shares.EventBlock); got != nil {
			t.Errorf("told %q", got)
		}
	})
}

func TestTellPayouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		run(t, newTeller(t, s, newFeed()))
		run(t, newTeller(t, s, newFeed()))
		synctest.Wait()
		for _, set := range []payouts.Set{
			settlementSet(payouts.Planned, 0), settlementSet(payouts.Planned, 0), // approved
			settlementSet(payouts.Sealed, 0), settlementSet(payouts.Published, 0), settlementSet(payouts.Confirmed, 1),
			settlementSet(payouts.Published, 1), settlementSet(payouts.Confirmed, 2), settlementSet(payouts.Final, 2),
		} {
			s.post(set)
		}
		time.Sleep(journalEvery)
		synctest.Wait()
		got := s.told(shares.EventPayout)
		want := []string{`"planned"`, `"sealed"`, `"published"`, `"confirmed"`, `"published"`, `"confirmed"`, `"final"`}
		if !cmp.Equal(fields(t, got, "state"), want) {
			t.Errorf("told %q, want %q", got, want)
		}
		if want := `{"id":12,"state":"planned","total_sat":900}`; len(got) > 0 && got[0] != want {
			t.Errorf("told %s, want %s", got[0], want)
		}
	})
}

// TestTellJournalAway loses the store at each step, with and without what was asked being done.
func TestTellJournalAway(t *testing.T) {
	for _, kept := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			teller := newTeller(t, s, newFeed())
			run(t, teller)
			synctest.Wait()
			s.fail(errAway, kept)
			teller.Heard(verdictOf("finder", "", true))
			for _, stage := range []payouts.BlockStage{payouts.BlockFound, payouts.BlockCrediting, payouts.BlockCredited} {
				s.post(blockSet(stage, 0))
				time.Sleep(time.Minute)
			}
			s.fail(nil, false)
			time.Sleep(again + journalEvery)
			synctest.Wait()
			if got, want := fields(t, s.told(shares.EventBlock), "state"), []string{`"found"`, `"crediting"`, `"credited"`}; !cmp.Equal(got, want) {
				t.Errorf("kept=%t: told %q, want %q", kept, got, want)
			}
		})
	}
}

// TestTellJournalLater begins with what a gateway before it may not have told, and not with what is old.
func TestTellJournalLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.post(blockSet(payouts.BlockFound, 0))
		time.Sleep(2 * journalAge)
		for range 300 { // more than one group, and more than is looked back at
			s.post(blockSet(payouts.BlockCrediting, len(s.record)))
		}
		stop := run(t, newTeller(t, s, newFeed()))
		synctest.Wait()
		if got := s.told(shares.EventBlock); len(got) != journalBack {
			t.Errorf("told %d things, want the last %d", len(got), journalBack)
		}
		stop()
		s.post(blockSet(payouts.BlockCredited, 0))
		run(t, newTeller(t, s, newFeed()))
		synctest.Wait()
		if got := s.told(shares.EventBlock); len(got) != journalBack+1 {
			t.Errorf("told %d things, want one more", len(got))
		}
		// Long after, when the store has forgotten what was told, none of it is news.
		s.mu.Lock()
		clear(s.once)
		s.mu.Unlock()
		time.Sleep(2 * journalAge)
		run(t, newTeller(t, s, newFeed()))
		synctest.Wait()
		if got := s.told(shares.EventBlock); len(got) != journalBack+1 {
			t.Errorf("told %d things, want no more", len(got))
		}
		// An operator has put a shorter journal in its place.
		s.mu.Lock()
		s.record = s.record[:10]
		s.mu.Unlock()
		time.Sleep(2 * journalEvery)
		synctest.Wait()
		s.post(blockSet(payouts.BlockLost, 0))
		time.Sleep(2 * journalEvery)
		synctest.Wait()
		if got := s.told(shares.EventBlock); len(got) != journalBack+2 {
			t.Errorf("told %d things, want one more", len(got))
		}
	})
}

// TestTellJournalMany has more to tell than is published at a time.
func TestTellJournalMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		run(t, newTeller(t, s, newFeed()))
		synctest.Wait()
		for n := range 500 {
			s.post(settlementSet(payouts.Confirmed, n))
		}
		time.Sleep(journalEvery)
		synctest.Wait()
		if got := s.told(shares.EventPayout); len(got) != 500 {
			t.Errorf("told %d things, want 500", len(got))
		}
	})
}

func TestTellStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.pool.Accepted = 17
		for n := range s.pool.Rates {
			s.pool.Rates[n] = float64(n + 1)
		}
		one := newTeller(t, s, newFeed())
		run(t, one)
		run(t, newTeller(t, s, newFeed()))
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		got := s.told(shares.EventStats)
		want := `{"hash_rates_hs":{"15m":3,"1d":6,"1h":4,"1m":1,"5m":2,"6h":5,"7d":7},"accounts_count":3,"workers_count":5,"accepted_count":17}`
		if len(got) != 6 || got[0] != want {
			t.Errorf("told %d times %q, want 6 times %s", len(got), got[0], want)
		}
		s.fail(errAway, false)
		time.Sleep(time.Minute)
		s.fail(nil, false)
		time.Sleep(time.Minute)
		if got := s.told(shares.EventStats); len(got) != 12 {
			t.Errorf("told %d times, want 12: what was missed is not told later", len(got))
		}
		if got := count(t, one.dropped.WithLabelValues(shares.EventStats)); got != 6 {
			t.Errorf("%v are counted as dropped, want 6", got)
		}
	})
}

func TestTellShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.watch = []string{"alice", "bob"}
		teller := newTeller(t, s, newFeed())
		run(t, teller)
		synctest.Wait()
		at := time.Now().UTC().Format(time.RFC3339Nano)
		sub, v := verdictOf("alice", "rig", false)
		teller.Heard(sub, v)
		teller.Heard(sub, gbt.Verdict{Reason: gbt.StalePrevblk})
		teller.Heard(sub, gbt.Verdict{Err: errAway}) // nothing was ruled
		teller.Heard(verdictOf("carol", "", false))
		teller.Heard(gbt.Submission{}, gbt.Verdict{Reason: gbt.UnknownUser})
		synctest.Wait()
		if got := s.told(shares.EventShare); got != nil {
			t.Fatalf("told %q before others could be added", got)
		}
		teller.Heard(verdictOf("bob", "", false))
		time.Sleep(gather)
		synctest.Wait()
		want := []string{
			`alice{"shares":[{"worker":"rig","accepted":true,"difficulty":8,"time":"` + at + `"},` +
				`{"worker":"rig","accepted":false,"reason":"stale-prevblk","time":"` + at + `"}]}`,
			`bob{"shares":[{"worker":"","accepted":true,"difficulty":8,"time":"` + at + `"}]}`,
		}
		if diff := cmp.Diff(want, s.told(shares.EventShare)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		s.mu.Lock()
		s.watch = nil
		s.mu.Unlock()
		time.Sleep(watchedEvery)
		synctest.Wait()
		teller.Heard(sub, v)
		time.Sleep(time.Minute)
		if got := s.told(shares.EventShare); len(got) != 2 {
			t.Errorf("told %q of accounts that nobody watches any more", got[2:])
		}
	})
}

// TestTellSharesMany sends more than can be told, with names as long as they may be, and never waits.
func TestTellSharesMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		for n := range maxGathered + 10 {
			s.watch = append(s.watch, fmt.Sprint("account", n))
		}
		teller := newTeller(t, s, newFeed())
		run(t, teller)
		synctest.Wait()
		for range 100 {
			sub, v := verdictOf("account0", strings.Repeat("<", 191), false)
			sub.Received = sub.Received.Add(time.Nanosecond)
			teller.Heard(sub, v)
		}
		synctest.Wait()
		for _, account := range s.watch[1:] {
			teller.Heard(verdictOf(account, "", false))
		}
		time.Sleep(gather)
		synctest.Wait()
		got := s.told(shares.EventShare)
		if len(got) != maxGathered {
			t.Fatalf("told %d accounts, want %d", len(got), maxGathered)
		}
		said := strings.TrimPrefix(got[0], "account0")
		if n := strings.Count(said, `"accepted":true`); n < 5 || field(t, said, "omitted_count") != strconv.Itoa(100-n) {
			t.Errorf("of 100 shares %d are told and %s omitted", n, field(t, said, "omitted_count"))
		}
		if got := count(t, teller.dropped.WithLabelValues(shares.EventShare)); got != 10 {
			t.Errorf("%v are counted as dropped, want 10", got)
		}
		// Nobody takes them any more, and still nobody who brings them waits.
		s.fail(errAway, false)
		teller.Heard(verdictOf("account1", "", false))
		time.Sleep(gather)
		synctest.Wait()
		if got := count(t, teller.dropped.WithLabelValues(shares.EventShare)); got != 11 {
			t.Errorf("%v are counted as dropped, want 11", got)
		}
	})
}

// TestHeardNeverWaits brings verdicts and blocks to a Teller that does not run.
func TestHeardNeverWaits(t *testing.T) {
	teller := newTeller(t, newStore(), newFeed())
	teller.watched.Store(&map[string]struct{}{"alice": {}})
	for range 2 * heardRoom {
		teller.Heard(verdictOf("alice", "", true))
	}
	if got := count(t, teller.dropped.WithLabelValues(shares.EventShare)); got != heardRoom {
		t.Errorf("%v shares are counted as dropped, want %d", got, heardRoom)
	}
	if got := count(t, teller.dropped.WithLabelValues(shares.EventBlock)); got != 2*heardRoom-foundRoom {
		t.Errorf("%v blocks are counted as dropped, want %d", got, 2*heardRoom-foundRoom)
	}
}

func TestNewTeller(t *testing.T) {
	if _, err := NewTeller(TellerConfig{}); err == nil {
		t.Error("a Teller of nothing")
	}
}
