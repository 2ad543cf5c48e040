package payouts

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/shares"
)

// deepest is how many blocks a reorganisation takes off the best chain at most.
const deepest = 12

// machine is a pool to which anything may happen, in any order.
type machine struct {
	*pool
	operator *Operator
	// left are the tips of branches that the best chain has left.
	left []chainhash.Hash
	// byHand are the transactions by which coins were spent beside the worker. They pay the wallet.
	byHand map[chainhash.Hash]bool
	// before is a worker that was taken over from and does not know it; nil if there is none.
	before *Settler
	// unpaid is true once a reorganisation has undone a payment that was final, and unspent once one has
	// undone what was spent by hand and final, or has brought a block back that was lost for so long that
	// what was paid of it counts as gone: beyond that depth nothing is promised. far is true once one
	// was so deep that what is paid may be below where it is looked for: it waits for an operator then.
	unpaid, unspent, far bool
	// disasters says that also blocks may leave the best chain that were credited.
	disasters bool
	// base is the height up to which all blocks stay.
	base int
	// audited is the record up to which the books were last checked.
	audited Head
}

// TestMachine lets anything happen to a pool, in any order. The books are always sound, what accounts were
// credited is what they are owed and paid, nobody is paid twice, and once it is quiet all are paid.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t, rt)
		steps := map[string]func(*rapid.T){"": m.check}
		for name, act := range m.actions() {
			steps[name] = func(rt *rapid.T) {
				act(rt)
				for range rapid.IntRange(0, 2).Draw(rt, "looks") {
					m.look(rt)
				}
			}
		}
		for range 2 { // actions for which there is no occasion do nothing
			rt.Repeat(steps)
		}
		m.quiet(rt)
	})
}

// newMachine makes a pool with some terms and policy.
func newMachine(t *testing.T, rt *rapid.T) *machine {
	t.Helper()
	r := dice(rt)
	m := &machine{byHand: make(map[chainhash.Hash]bool), disasters: oneOf(r, false, false, false, true)}
	m.pool = newPool(t, func(c *SettlerConfig) {
		c.Terms = oneOf(r, Terms{Scheme: PPLNS, Multiple: 8, Fee: 100}, Terms{Scheme: PPLNS, Multiple: 2, Fee: 100, Bonus: 50},
			Terms{Scheme: SOLO, Fee: 100}, Terms{Scheme: PROP, Fee: 100}, Terms{Scheme: PPS, Fee: 200})
		c.Policy.Bearer = oneOf(r, BearerPool, BearerPayees)
		c.Policy.MaxOutputs = oneOf(r, 0, 1, 2)
		c.Policy.FeeFallback = oneOf[int64](r, 0, 3000)
		c.Policy.ApproveAbove = oneOf[int64](r, 0, 30e8)
		c.Final, c.BumpAfter = oneOf[int32](r, deepest+1, deepest+1, 6, 2), oneOf[int32](r, 0, 2)
		c.Script = func(account string) ([]byte, error) {
			if account == "bobby" { // another name of bob's
				account = "bob"
			}
			return scriptOf(account)
		}
	})
	var err error
	if m.operator, err = NewOperator(m.store, KeeperConfig{Halts: m.ledger, By: "operator", Now: m.cfg.Now}); err != nil {
		t.Fatal(err)
	}
	if m.cfg.Terms.PerShare() {
		m.endow(rt)
	}
	return m
}

// endow gives the reserve enough for all shares.
func (m *machine) endow(t *rapid.T) {
	const amount = 1e13
	block := m.chain.on(m.tip(), []*wire.TxOut{wire.NewTxOut(amount, m.wallet.script)})
	m.chain.follow(block)
	m.base = len(m.chain.best) - 1
	m.chain.grow(100, nil)
	at := wire.OutPoint{Hash: m.chain.blocks[block].Transactions[0].TxHash()}
	coin, err := m.chain.Unspent(m.t.Context(), at)
	m.must(t, err)
	m.must(t, m.operator.AddCoin(m.t.Context(), at, coin))
	m.must(t, m.operator.Book(m.t.Context(), Outside, Reserve, amount/2))
	m.must(t, m.operator.Book(m.t.Context(), Outside, Pool, amount/2))
}

// must fails if there is an error but that a write was broken: who asked asks again some time.
func (m *machine) must(t *rapid.T, err error) {
	if err != nil && !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
}

func (m *machine) tip() chainhash.Hash { return m.chain.best[len(m.chain.best)-1] }

// grow adds blocks to the best chain, the first with some transactions.
func (c *fakeChain) grow(n int, txs []*wire.MsgTx) {
	at := c.best[len(c.best)-1]
	for range n {
		at = c.on(at, []*wire.TxOut{wire.NewTxOut(50e8, []byte{txscript.OP_TRUE})}, txs...)
		txs = nil
	}
	c.follow(at)
}

// pick returns what of the mempool a block can have: each coin is there, and spent once. Of two that spend
// one coin it is the newer or the older that can.
func (c *fakeChain) pick(newer bool) []*wire.MsgTx {
	made := make(map[chainhash.Hash]bool)
	for _, hash := range c.best {
		for _, tx := range c.blocks[hash].Transactions {
			made[tx.TxHash()] = true
		}
	}
	spent := c.spent()
	pool := slices.Clone(c.mempool)
	if newer {
		slices.Reverse(pool)
	}
	var out []*wire.MsgTx
	for range 3 { // what spends another's change may come before it
		for _, tx := range pool {
			if slices.ContainsFunc(tx.TxIn, func(in *wire.TxIn) bool {
				_, gone := spent[in.PreviousOutPoint]
				return gone || !made[in.PreviousOutPoint.Hash]
			}) {
				continue
			}
			for _, in := range tx.TxIn {
				spent[in.PreviousOutPoint] = tx.TxHash()
			}
			made[tx.TxHash()] = true
			out = append(out, tx)
		}
	}
	return out
}

// actions are all that may happen.
func (m *machine) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"find": m.findOne, "find more": m.findOne, "mine": m.mine, "mine more": m.mine, "mature": m.mature, "mature more": m.mature,
		"reorganize": m.reorganize, "lose": m.lose, "go back": m.goBack, "forget a block": m.forget,
		"break a write": m.breakWrite, "crash": m.crash, "new terms": m.newTerms, "take over": m.takeOver, "wake who was before": m.wake,
		"approve": m.approve, "pause": m.pause, "resume": m.resume, "threshold": m.threshold, "clock": m.clock,
		"spend by hand": m.spendByHand, "send by hand": m.sendByHand, "make coins known": func(t *rapid.T) { m.makeKnown(t) },
		"fees": m.fees, "wait": m.wait, "refuse": m.refuse, "evict": func(*rapid.T) { m.chain.mempool = nil }, "sign elsewhere": m.signElsewhere,
	}
}

// look lets the worker work once.
func (m *machine) look(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
	err := m.Work(m.t.Context())
	broke := m.at != 0 && m.count >= m.at
	if err != nil && !broke {
		t.Fatalf("work: %v", err)
	}
	for table, notes := range m.store.notes {
		for name, text := range notes {
			if strings.Contains(text, ErrRecord.Error()) {
				t.Fatalf("the worker made a record that is not sound: %s %s: %s", table, name, text)
			}
		}
	}
	if broke {
		m.at = 0
		if rapid.Bool().Draw(t, "dies of it") {
			m.restart()
		}
	}
}

func (m *machine) findOne(t *rapid.T) {
	var window []shares.Credit
	worked := rapid.IntRange(0, 8).Draw(t, "worked") < 8
	for _, name := range []string{"alice", "bob", "bobby", "carol", "void"} {
		if w := rapid.IntRange(0, 3).Draw(t, name); w > 0 && worked {
			window = append(window, shares.Credit{Account: name, Weight: shares.Weight(w)})
		}
	}
	m.find(reward+int64(rapid.IntRange(0, 1e6).Draw(t, "fees")), window...)
}

func (m *machine) mine(t *rapid.T) {
	var txs []*wire.MsgTx
	if rapid.IntRange(0, 3).Draw(t, "with transactions") > 0 {
		txs = m.chain.pick(rapid.Bool().Draw(t, "newer"))
	}
	m.chain.grow(rapid.IntRange(1, 8).Draw(t, "blocks"), txs)
}

func (m *machine) mature(t *rapid.T) {
	m.chain.grow(rapid.IntRange(98, 102).Draw(t, "blocks"), m.chain.pick(false))
}

// leave takes note of what becomes undone when the best chain ends at a height.
func (m *machine) leave(height int) {
	m.left = append(m.left, m.tip())
	m.far = m.far || len(m.chain.best)-1-height > deepest
	for _, hash := range m.chain.best[height+1:] {
		if m.chain.confirmations(hash) < m.cfg.Final {
			break
		}
		for _, tx := range m.chain.blocks[hash].Transactions[1:] {
			m.unspent = m.unspent || m.byHand[tx.TxHash()]
			m.unpaid = m.unpaid || !m.byHand[tx.TxHash()]
		}
	}
}

func (m *machine) reorganize(t *rapid.T) { m.replace(t, rapid.IntRange(1, deepest).Draw(t, "depth")) }

// lose takes credited blocks off the best chain, now and then.
func (m *machine) lose(t *rapid.T) {
	if !m.disasters {
		return
	}
	m.replace(t, rapid.IntRange(90, 130).Draw(t, "depth"))
}

// replace replaces the last blocks of the best chain.
func (m *machine) replace(t *rapid.T, depth int) {
	height := len(m.chain.best) - 1 - depth
	if height < m.base {
		return
	}
	m.leave(height)
	m.chain.follow(m.chain.best[height])
	var txs []*wire.MsgTx
	if rapid.Bool().Draw(t, "with transactions") {
		txs = m.chain.pick(rapid.Bool().Draw(t, "newer"))
	}
	m.chain.grow(depth+rapid.IntRange(1, 3).Draw(t, "longer by"), txs)
}

// goBack has a branch grow longer that was left earlier.
func (m *machine) goBack(t *rapid.T) {
	if len(m.left) == 0 {
		return
	}
	tip := m.left[rapid.IntRange(0, len(m.left)-1).Draw(t, "branch")]
	fork := tip
	for m.chain.confirmations(fork) == 0 {
		fork = m.chain.blocks[fork].Header.PrevBlock
	}
	height := int(m.chain.heights[fork])
	if len(m.chain.best)-1-height > deepest && !m.disasters || fork == tip {
		return
	}
	m.leave(height)
	for int(m.chain.heights[tip]) < len(m.chain.best) {
		tip = m.chain.on(tip, []*wire.TxOut{wire.NewTxOut(1, []byte{txscript.OP_TRUE})})
	}
	before := int32(len(m.chain.best) - 1)
	m.chain.follow(tip)
	for _, b := range m.ledger.blocks {
		st := m.state(t, b.Hash)
		m.unspent = m.unspent || st.Stage == BlockLost && m.chain.confirmations(b.Hash) > 0 && before-st.LostAt >= m.conflictDepth()
	}
}

// forget has no node know a block of the pool's, or all know all blocks again.
func (m *machine) forget(t *rapid.T) {
	clear(m.chain.unknown)
	if len(m.ledger.blocks) > 0 && rapid.Bool().Draw(t, "forgets") {
		m.chain.unknown[m.ledger.blocks[rapid.IntRange(0, len(m.ledger.blocks)-1).Draw(t, "block")].Hash] = true
	}
}

func (m *machine) breakWrite(t *rapid.T) {
	m.at, m.stored = m.count+rapid.IntRange(1, 8).Draw(t, "write"), rapid.Bool().Draw(t, "stored")
}

func (m *machine) crash(*rapid.T) { m.restart() }

// newTerms has the pool promise something else from now on.
func (m *machine) newTerms(t *rapid.T) {
	if m.cfg.Terms.PerShare() {
		return
	}
	m.cfg.Terms = rapid.SampledFrom([]Terms{
		{Scheme: PPLNS, Multiple: 8, Fee: 100}, {Scheme: PPLNS, Multiple: 2, Fee: 200, Bonus: 50}, {Scheme: SOLO, Fee: 100}, {Scheme: PROP, Fee: 100},
	}).Draw(t, "terms")
	m.restart()
}

// takeOver has another worker go on, with a mirror of its own, while this one sleeps.
func (m *machine) takeOver(*rapid.T) {
	m.before = m.Settler
	m.ledger.token++
	m.mirror = &memoryMirror{faults: m.faults}
	m.cfg.Mirror = m.mirror
	m.restart()
}

// wake has the one who was taken over from go on where it was, with what it takes for the tip.
func (m *machine) wake(t *rapid.T) {
	if m.before == nil || m.before.lease.Token == 0 {
		return
	}
	ctx, records := m.t.Context(), len(m.store.records)
	at := m.chain.best[rapid.IntRange(max(0, len(m.chain.best)-20), len(m.chain.best)-1).Draw(t, "tip")]
	tip := Place{at, m.chain.heights[at]}
	err := errors.Join(m.before.blocks(ctx, tip), m.before.settlements(ctx, tip))
	_, payErr := m.before.payDue(ctx)
	if m.store.fence > m.before.lease.Token && len(m.store.records) > records {
		t.Fatalf("a worker without the lease has posted something: %v, %v", err, payErr)
	}
}

func (m *machine) approve(t *rapid.T) {
	for _, id := range m.settlementsWith(t, func(st *settlement) bool { return st.waits() }) {
		m.must(t, m.operator.Approve(m.t.Context(), id))
	}
}

// waits reports whether a settlement waits for approval.
func (st *settlement) waits() bool {
	return st.status.State == Planned && st.plan.Approval && st.status.Approved == ""
}

// settlementsWith returns the settlements for which something is true.
func (m *machine) settlementsWith(t *rapid.T, yes func(*settlement) bool) []uint64 {
	var out []uint64
	for id := uint64(1); ; id++ {
		st, err := load(m.t.Context(), m.store, id)
		if errors.Is(err, ErrNotFound) {
			return out
		}
		m.must(t, err)
		if yes(st) {
			out = append(out, id)
		}
	}
}

func (m *machine) pause(t *rapid.T) { m.must(t, m.operator.Pause(m.t.Context(), "a look")) }

func (m *machine) resume(t *rapid.T) {
	if err := m.operator.Resume(m.t.Context()); !errors.Is(err, ErrNotFound) {
		m.must(t, err)
	}
}

func (m *machine) threshold(t *rapid.T) {
	name := rapid.SampledFrom([]string{"alice", "bob", "bobby"}).Draw(t, "account")
	m.must(t, m.operator.SetThreshold(m.t.Context(), name, rapid.Int64Range(0, 200e8).Draw(t, "sat")))
}

func (m *machine) clock(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(-120, 4000).Draw(t, "by")) * time.Minute)
}

func (m *machine) fees(t *rapid.T) {
	m.chain.rate = rapid.SampledFrom([]int64{0, 500, 2000, 20_000, 90_000, 150_000}).Draw(t, "rate")
	m.chain.rateErr = rapid.SampledFrom([]error{nil, nil, ErrNoEstimate, errors.New("no answer")}).Draw(t, "error")
}

// wait has fees rise, and blocks come without the pool's transactions.
func (m *machine) wait(t *rapid.T) {
	m.chain.rate, m.chain.rateErr = min(max(m.chain.rate, 1000)*int64(rapid.IntRange(2, 5).Draw(t, "times")), 90_000), nil
	m.chain.grow(3, nil)
}

func (m *machine) refuse(t *rapid.T) {
	m.chain.deaf = rapid.SampledFrom([]error{nil, nil, &RefusedError{"min relay fee not met"}, errors.New("no answer")}).Draw(t, "answer")
}

func (m *machine) signElsewhere(t *rapid.T) { m.wallet.offline = rapid.Bool().Draw(t, "offline") }

// spendByHand spends a coin that the journal knows, reserved or not, in a block. It pays the wallet, so that
// the pool has its money once the coin is made known.
func (m *machine) spendByHand(t *rapid.T) {
	coins := m.store.sheet.Tables[TableCoins]
	names := slices.Sorted(maps.Keys(coins))
	if len(names) == 0 {
		return
	}
	var at OutPoint
	m.must(t, at.UnmarshalText([]byte(rapid.SampledFrom(names).Draw(t, "coin"))))
	mempool := m.chain.mempool
	m.chain.mempool = nil // what is not in a block does not keep it from being spent
	coin, err := m.chain.Unspent(m.t.Context(), wire.OutPoint(at))
	m.chain.mempool = mempool
	if err != nil || coin.Coinbase && coin.Confirmations < 100 {
		return
	}
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(wire.NewTxIn((*wire.OutPoint)(&at), nil, nil))
	tx.AddTxOut(wire.NewTxOut(coin.Value, m.wallet.script))
	m.byHand[tx.TxHash()] = true
	m.chain.grow(1, []*wire.MsgTx{tx})
}

// sendByHand signs what is planned, and has it in the mempool without that the worker knows.
func (m *machine) sendByHand(t *rapid.T) {
	planned := m.settlementsWith(t, func(st *settlement) bool { return st.status.State == Planned })
	if len(planned) == 0 {
		return
	}
	st, err := load(m.t.Context(), m.store, rapid.SampledFrom(planned).Draw(t, "settlement"))
	m.must(t, err)
	draft, err := st.plan.Draft()
	m.must(t, err)
	tx, err := m.wallet.sign(draft.Tx, draft.Coins())
	m.must(t, err)
	m.chain.mempool = append(m.chain.mempool, tx)
	m.chain.clean()
}

// makeKnown makes the coins known that were made by hand and are final, and forgets those that they were made
// of.
func (m *machine) makeKnown(t *rapid.T) {
	for _, hash := range slices.Clone(m.chain.best) {
		for _, tx := range m.chain.blocks[hash].Transactions[1:] {
			at, spent := wire.OutPoint{Hash: tx.TxHash()}, tx.TxIn[0].PreviousOutPoint
			if !m.byHand[at.Hash] || m.chain.confirmations(hash) < m.cfg.Final {
				continue
			}
			if c, err := field[CoinState](m.t.Context(), m.store, TableCoins, spent.String()); err == nil && c.Reserved == 0 {
				m.must(t, m.operator.DropCoin(m.t.Context(), spent))
			}
			if _, known := m.store.sheet.Tables[TableCoins][at.String()]; known {
				continue
			}
			if coin, err := m.chain.Unspent(m.t.Context(), at); err == nil {
				m.must(t, m.operator.AddCoin(m.t.Context(), at, coin))
			}
		}
	}
}
