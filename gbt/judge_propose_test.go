package gbt

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// unproven takes the proof of work out of a draft: proposals need none.
func unproven(p *pool, d *draft) *draft {
	d.target, d.misses = Target{}, p.judge.cfg.Easiest
	return d
}

// TestProposeIssued proposes work as it was given out, in any form: the answer is null, and one check
// is enough for all.
func TestProposeIssued(t *testing.T) {
	for _, kind := range kindsOfWork() {
		for name, form := range formsOfSubmission() {
			p := choosingPool(t, hardBits)
			s := form(p, unproven(p, kind.draft(p)))
			for range 2 {
				r := p.judge.Propose(t.Context(), s)
				switch {
				case kind.declared && s.Data[:160] == s.Data:
					if r.Reason != UnknownWork {
						t.Errorf("%s %s: %+v, want %q", kind.name, name, r, UnknownWork)
					}
				case !r.Accepted() || r.Coinbase != nil || (r.WorkID != "") != kind.declared:
					t.Errorf("%s %s: %+v", kind.name, name, r)
				}
			}
			if n := len(p.net.proposals()); n > 1 || n == 0 && !kind.declared {
				t.Errorf("%s %s: %d checks", kind.name, name, n)
			}
		}
	}
}

// TestProposeReasons spoils one thing of a proposed block.
func TestProposeReasons(t *testing.T) {
	header := func(change func(h *wire.BlockHeader)) func(*pool, *draft) {
		return func(_ *pool, d *draft) { change(&d.header) }
	}
	text := func(change func(string) string) func(*pool, *draft) {
		return func(_ *pool, d *draft) {
			d.encode = func(b []byte) string { return change(hex.EncodeToString(b)) }
		}
	}
	for name, tt := range map[string]struct {
		change func(p *pool, d *draft)
		want   Reason
	}{
		"as it is":               {func(*pool, *draft) {}, ""},
		"nothing":                {text(func(string) string { return "" }), Rejected},
		"half a header":          {text(func(s string) string { return s[:100] }), Rejected},
		"white space":            {text(func(s string) string { return s + " " }), Rejected},
		"a header and garbage":   {text(func(s string) string { return s[:160] + "ffff" }), Rejected},
		"a header alone":         {text(func(s string) string { return s[:160] }), ""},
		"bits":                   {header(func(h *wire.BlockHeader) { h.Bits++ }), BadDiffbits},
		"version":                {header(func(h *wire.BlockHeader) { h.Version = 1 }), BadVersion},
		"too old":                {header(func(h *wire.BlockHeader) { h.Timestamp = time.Unix(startTime-601, 0) }), TimeTooOld},
		"too new":                {header(func(h *wire.BlockHeader) { h.Timestamp = time.Unix(startTime+7201, 0) }), TimeTooNew},
		"previous block":         {header(func(h *wire.BlockHeader) { h.PrevBlock = tipOf(8) }), BadPrevblk},
		"root":                   {func(_ *pool, d *draft) { d.root = ptr(tipOf(3)) }, BadTxnmrklroot},
		"height":                 {func(_ *pool, d *draft) { script(d)[heightAt]++ }, BadCbPrefix},
		"no token":               {func(_ *pool, d *draft) { d.coinbase.TxIn[0].SignatureScript = script(d)[:3] }, BadCbPrefix},
		"tag":                    {func(_ *pool, d *draft) { script(d)[tagAt+1]++ }, BadCbPrefix},
		"length":                 {func(_ *pool, d *draft) { d.appendScript(make([]byte, 60)...) }, BadCbLength},
		"flag":                   {func(_ *pool, d *draft) { d.appendScript([]byte("/evil/")...) }, BadCbFlag},
		"another's work":         {func(_ *pool, d *draft) { d.account = testAccount(2) }, UnknownWork},
		"another workid":         {func(p *pool, d *draft) { d.workID = p.ask().ID }, UnknownWork},
		"expired":                {func(p *pool, _ *draft) { p.now = p.now.Add(testExpires + time.Second) }, StaleWork},
		"a new block":            {func(p *pool, _ *draft) { p.news(makeTemplate(p.t, tipOf(2), hardBits, nil)) }, StalePrevblk},
		"two new blocks":         {func(p *pool, _ *draft) { nextBlocks(p, 2, 3) }, StalePrevblk},
		"too little":             {func(p *pool, d *draft) { p.settle(d, subsidy/2) }, BadTxns},
		"half of it to others":   {func(_ *pool, d *draft) { d.coinbase.TxOut[0].Value /= 2 }, BadTxns},
		"too much":               {func(p *pool, d *draft) { d.txs = d.txs[:1]; p.settle(d, subsidy+1001) }, badCbAmount},
		"all money there is":     {func(_ *pool, d *draft) { d.coinbase.TxOut[0].Value = 21e14; d.coinbase.TxOut[1].Value = 21e14 }, badVout},
		"less than nothing":      {func(_ *pool, d *draft) { d.coinbase.TxOut[1].Value = -1 }, badVout},
		"no commitment":          {func(_ *pool, d *draft) { d.coinbase.TxOut = d.coinbase.TxOut[:1] }, noCommitment},
		"another commitment":     {func(_ *pool, d *draft) { d.coinbase.TxOut[1].PkScript = WitnessCommitment(nil) }, badCommitment},
		"not final":              {func(_ *pool, d *draft) { d.coinbase.LockTime = 500 }, badNonfinal},
		"a witness of 31 bytes":  {func(_ *pool, d *draft) { d.coinbase.TxIn[0].Witness = [][]byte{make([]byte, 31)} }, badNonceSize},
		"a transaction twice":    {func(p *pool, d *draft) { d.txs = append(d.txs, d.txs[1]); p.settle(d, subsidy) }, "bad-txns-duplicate"},
		"a child first":          {func(p *pool, d *draft) { slices.Reverse(d.txs); p.settle(d, subsidy) }, badMissingOuts},
		"a parent missing":       {func(p *pool, d *draft) { d.txs = d.txs[2:3]; p.settle(d, subsidy) }, ""}, // as far as this node knows
		"an unknown transaction": {func(p *pool, d *draft) { addUnknown(p, d) }, badMissingOuts},
		"one counted more":       {func(_ *pool, d *draft) { d.count = 7 }, BadTxns},
		"bytes after it":         {text(func(s string) string { return s + "00" }), BadTxns},
	} {
		t.Run(name, func(t *testing.T) {
			p := choosingPool(t, hardBits, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) {
				judge.ForbiddenFlags = []string{"/evil/"}
			})
			d := unproven(p, p.draw(p.ask("transactions")))
			tt.change(p, d)
			r := p.proposed(d)
			if r.Reason != tt.want || r.Err != nil || (r.Detail == "") != r.Accepted() {
				t.Errorf("%+v, want %q", r, tt.want)
			}
			if !r.Accepted() && (r.WorkID != "" || r.Coinbase != nil) {
				t.Errorf("refused with %+v", r)
			}
			if len(p.net.offers()) != 0 {
				t.Error("a proposal was offered as a block")
			}
		})
	}
}

// TestProposeTimeInvalid proposes and submits a time that the network takes now but that was not in
// the work. It takes until then to become possible.
func TestProposeTimeInvalid(t *testing.T) {
	p := choosingPool(t, hardBits)
	d := p.draw(p.ask("transactions"))
	p.now = p.now.Add(time.Minute)
	for at, want := range map[int64]Reason{7200: "", 7201: TimeInvalid, 7260: TimeInvalid, 7261: TimeTooNew} {
		d.header.Timestamp = time.Unix(startTime+at, 0)
		if r := p.proposed(d); r.Reason != want {
			t.Errorf("%d s proposed: %+v, want %q", at, r, want)
		}
		p.refuse("submitted", d.submission(t), want)
	}
}

// nextBlocks brings blocks, each on a tip of its own.
func nextBlocks(p *pool, tips ...int) {
	p.t.Helper()
	for _, tip := range tips {
		p.news(makeTemplate(p.t, tipOf(tip), hardBits, nil))
	}
}

// addUnknown adds a transaction that nobody knows.
func addUnknown(p *pool, d *draft) {
	p.t.Helper()
	msg := wire.NewMsgTx(2)
	msg.AddTxIn(wire.NewTxIn(wire.NewOutPoint(ptr(tipOf(77)), 0), nil, nil))
	msg.AddTxOut(wire.NewTxOut(1, []byte{txscript.OP_TRUE, txscript.OP_TRUE, txscript.OP_TRUE}))
	d.txs = append(d.txs, serialize(p.t, msg))
	p.settle(d, subsidy)
}

// TestProposeUnavailable cannot say anything now, and says so.
func TestProposeUnavailable(t *testing.T) {
	down := errors.New("connection refused")
	for name, tt := range map[string]struct {
		change func(p *pool, store *keptSets)
		budget bool
	}{
		"the node is down": {change: func(p *pool, _ *keptSets) {
			p.net.propose = func(context.Context, []byte) (Reason, error) { return "", down }
		}},
		"the store is down":  {change: func(_ *pool, store *keptSets) { store.fail(down) }},
		"no template":        {change: func(p *pool, _ *keptSets) { p.feed.take(t.Context(), News{Tip: tipOf(2), Err: down}) }},
		"checks are used up": {change: func(p *pool, _ *keptSets) { spend(p, testAccount(1), 3, 0) }, budget: true},
		"bytes are used up":  {change: func(p *pool, _ *keptSets) { spend(p, testAccount(1), 0, 1<<20) }, budget: true},
		"newcomers have it all": {change: func(p *pool, _ *keptSets) {
			for n := range byte(3) {
				spend(p, testAccount(50+n), 3, 0)
			}
		}, budget: true},
	} {
		t.Run(name, func(t *testing.T) {
			store := newKeptSets()
			p := choosingPool(t, hardBits, func(_ *FeedConfig, _ *IssuerConfig, judge *JudgeConfig) {
				judge.Store, judge.Budget = store, Budget{Checks: 3, Bytes: 1 << 20, Newcomers: 9, Parallel: 1}
			})
			d := unproven(p, p.draw(p.ask("transactions")))
			d.txs = d.txs[:2]
			p.settle(d, subsidy)
			if name == "no template" {
				d.header.PrevBlock = tipOf(2)
			}
			tt.change(p, store)
			for range 2 {
				r := p.proposed(d)
				if !errors.Is(r.Err, ErrUnavailable) || errors.Is(r.Err, ErrBudget) != tt.budget || r.Accepted() || r.Reason != "" || r.WorkID != "" {
					t.Errorf("%+v, want ErrUnavailable, of the budget %t", r, tt.budget)
				}
			}
			// The answer was about now alone.
			store.fail(nil)
			p.net.propose = nil
			if name == "no template" {
				return
			}
			p.now = p.now.Add(time.Minute)
			if r := p.proposed(d); r.WorkID == "" {
				t.Errorf("a minute later: %+v", r)
			}
		})
	}
}

// spend uses up some of an account's budget.
func spend(p *pool, account Account, checks int, bytes int64) {
	p.t.Helper()
	for range checks {
		if err := p.judge.budgets.takeCheck(account, p.now); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.judge.budgets.takeBytes(account, p.now, bytes); err != nil {
		p.t.Fatal(err)
	}
}

// TestProposeDelta has a Coinbaser whose list depends on the value: a miner claims what its set is
// worth, is told the list for that, and what it mines with it is accepted.
func TestProposeDelta(t *testing.T) {
	for _, capabilities := range [][]string{{"transactions"}, {"transactions", "coinbase"}, {"transactions", "generation"}} {
		for _, commitment := range []Commitment{CommitmentIncluded, CommitmentOmitted} {
			p := choosingPool(t, easyBits, sharing, func(_ *FeedConfig, issuer *IssuerConfig, _ *JudgeConfig) {
				issuer.Clients = []Profile{{Commitment: commitment}}
			})
			w := p.ask(capabilities...)
			d := p.draw(w)
			const worth = subsidy + 7000
			d.txs = [][]byte{d.txs[1], d.txs[0], d.txs[3]}
			issued := slices.Clone(d.coinbase.TxOut)
			p.settle(d, w.Template.Value)
			for _, out := range d.coinbase.TxOut[1 : len(d.coinbase.TxOut)-1] {
				out.Value = 0
			}
			d.coinbase.TxOut[0].Value = worth // the first alone says what it claims
			if list, _ := (shared{}).Outputs(worth); len(list) == len(issued)-1 {
				t.Fatal("the list does not change, so this proves nothing")
			}
			r := p.proposed(d)
			if r.Reason != "" || r.Err != nil || r.WorkID == "" || r.Coinbase == nil || r.Detail == "" {
				t.Fatalf("%q: %+v, want a delta", capabilities, r)
			}
			checkDelta(t, r, w, commitment)

			// The proposed coinbase earns nothing, the one of the answer does.
			p.refuse("as proposed", merkle(t, d), BadTxns)
			d.coinbase = decodeCoinbase(t, r.Coinbase)
			if commitment == CommitmentOmitted {
				d.coinbase.AddTxOut(wire.NewTxOut(0, setOf(t, d.txs).commitment))
			}
			d.workID = r.WorkID
			d.appendScript([]byte("/me/")...)
			p.net.offers()
			p.net.proposals()
			share := p.accept("as told", merkle(t, d))
			if share.Paid != worth || share.Value != worth || share.Full != w.Template.Value {
				t.Errorf("share %+v", share)
			}
			if n := len(p.net.proposals()); n != 0 {
				t.Errorf("%d more checks", n)
			}
			checkOffers(t, p, share.Block, setOf(t, d.txs))
			// Who knows the list asks for nothing.
			if r := p.proposed(d); r.WorkID == "" || r.Coinbase != nil {
				t.Errorf("proposed as told: %+v", r)
			}
		}
	}
}

// checkDelta holds a delta template to the BIP.
func checkDelta(t *testing.T, r Ruling, w *Work, commitment Commitment) {
	t.Helper()
	raw, err := r.Result()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		WorkID       string
		RejectReason Reason `json:"reject-reason"`
		CoinbaseTxn  struct{ Data, TxID string }
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	msg := decodeCoinbase(t, r.Coinbase)
	if got.WorkID != r.WorkID || got.RejectReason != BadTxns || got.CoinbaseTxn.Data != hex.EncodeToString(r.Coinbase) ||
		got.CoinbaseTxn.TxID != msg.TxHash().String() {
		t.Errorf("the answer is %s", raw)
	}
	if issued := decodeCoinbase(t, w.Coinbase); string(msg.TxIn[0].SignatureScript) != string(issued.TxIn[0].SignatureScript) {
		t.Errorf("the scriptSig is %x, was issued as %x", msg.TxIn[0].SignatureScript, issued.TxIn[0].SignatureScript)
	}
	last := msg.TxOut[len(msg.TxOut)-1]
	if IsWitnessCommitment(last.PkScript) != (commitment == CommitmentIncluded) {
		t.Errorf("the last output is %x, the commitment is %s", last.PkScript, commitment)
	}
}

// TestProposeDeltaRefused has nothing that a list would cure.
func TestProposeDeltaRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(p *pool, d *draft)
		want   Reason
	}{
		"more than it is worth": {func(_ *pool, d *draft) { d.coinbase.TxOut[0].Value = subsidy + 6001 }, badCbAmount},
		"below the floor":       {func(_ *pool, d *draft) { d.coinbase.TxOut[0].Value = subsidy / 10 }, BadTxns},
		"no commitment":         {func(_ *pool, d *draft) { d.coinbase.TxOut = d.coinbase.TxOut[:1] }, noCommitment},
		"another tag":           {func(_ *pool, d *draft) { script(d)[tagAt+1]++ }, BadCbPrefix},
		"another root":          {func(_ *pool, d *draft) { d.root = ptr(tipOf(5)) }, BadTxns},
	} {
		p := choosingPool(t, hardBits, sharing)
		d := p.draw(p.ask("transactions"))
		d.txs = d.txs[:3]
		p.settle(d, subsidy+6000)
		d.coinbase.TxOut = slices.Delete(d.coinbase.TxOut, 1, len(d.coinbase.TxOut)-1)
		d.coinbase.TxOut[0].Value = subsidy + 6000
		tt.change(p, d)
		if r := p.proposed(d); r.Reason != tt.want || r.Coinbase != nil || r.WorkID != "" {
			t.Errorf("%s: %+v, want %q", name, r, tt.want)
		}
	}
}

// TestRulingResult spells out the answers to proposals.
func TestRulingResult(t *testing.T) {
	for want, r := range map[string]Ruling{
		`null`:              {},
		`"bad-txns"`:        {Reason: BadTxns, Detail: "something", WorkID: "x"},
		`{"workid":"a_-9"}`: {WorkID: "a_-9"},
		`{"workid":"x","coinbasetxn":{"data":"0102","txid":"` + doubleHash([]byte{1, 2}).String() + `","hash":"` +
			doubleHash([]byte{1, 2}).String() + `"},"reject-reason":"bad-txns"}`: {WorkID: "x", Coinbase: []byte{1, 2}, Detail: "something"},
	} {
		if got, err := r.Result(); err != nil || string(got) != want {
			t.Errorf("%+v is %s, %v, want %s", r, got, err, want)
		}
	}
}

// TestProposeNamesTheCulprit has a node refuse one transaction, which it does not name.
func TestProposeNamesTheCulprit(t *testing.T) {
	p := choosingPool(t, hardBits)
	delete(p.careful(mixedSpecs()), setOf(t, p.draw(p.ask()).txs).txs[3].TxID)
	d := p.draw(p.ask("transactions"))
	d.txs = append(d.txs[:1:1], d.txs[3:]...)
	p.settle(d, subsidy)
	r := p.proposed(d)
	if id := setOf(t, d.txs).txs[1].TxID; r.Reason != badMissingOuts || !strings.Contains(r.Detail, "transaction 2, "+id.String()) {
		t.Errorf("%+v, want it to name %s", r, id)
	}
	asked := len(p.net.proposals())
	if r := p.proposed(d); !strings.Contains(r.Detail, "transaction 2") || len(p.net.proposals()) != 0 || asked < 2 {
		t.Errorf("again: %+v after %d checks", r, asked)
	}
}
