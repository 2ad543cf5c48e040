package rest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

// newWorld makes a pool of three miners, one of whom hides, with blocks and settlements in all states.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{
		t:     tb,
		stats: make(map[string]shares.AccountStats), workers: make(map[string][]shares.WorkerStats),
		windows: make(map[chainhash.Hash][]shares.Credit), folded: make(map[chainhash.Hash]bool),
		profiles: map[string]shares.Profile{
			miner("alice"): {DisplayName: "Alice's shed"}, miner("carol"): {DisplayName: "Carol", Hidden: true},
		},
		bans:   map[string]shares.Ban{miner("bob"): {Subject: shares.Subject(miner("bob")), Reason: "floods the pool", Since: noon.Add(-time.Hour), Until: noon.Add(time.Hour), By: "guard"}},
		bodies: make(map[chainhash.Hash]*wire.MsgBlock),
		chain:  ChainInfo{Height: 200, Best: hashOf("tip"), Bits: tipBits, HashRate: 7e6, Mempool: 3},
	}
	w.journal = &journal{world: w, tables: make(map[string]map[string]string), notes: make(map[string]map[string]string), balances: make(map[payouts.Account]int64), records: make(map[string]*payouts.Record)}
	w.addTemplate()
	w.addMiners()
	w.addBlocks()
	w.addSettlements()
	half := 0.5
	w.nodes = []NodeStatus{
		{
			Name: "core", State: "ok", Version: "/Satoshi:29.0.0/", Leading: true, Height: 200, Best: hashOf("tip"), Ready: true, LastSeen: noon,
			TipSeen: TipSeen{LongPoll: noon.Add(-time.Minute), ZMQ: noon.Add(-61 * time.Second)}, TemplateAt: noon.Add(-10 * time.Second), Accepted: 4, Pending: 1,
		},
		{
			Name: "second", State: "lagging", Reason: "its best block has height 200", Height: 200, Best: hashOf("tip"), LastSeen: noon,
			TipSeen: TipSeen{Watchdog: noon.Add(-58 * time.Second)}, Refused: 2, Undelivered: 1,
		},
		{Name: "third", State: "syncing", Reason: "initial block download", Progress: &half},
	}
	return w
}

func (w *world) addTemplate() {
	target, err := gbt.TargetFromBits(tipBits)
	if err != nil {
		w.t.Fatal(err)
	}
	w.template = &gbt.Template{
		Seq: 7, Node: "core", Received: noon.Add(-10 * time.Second), PreviousBlock: w.chain.Best, Height: 201, Bits: tipBits, NetworkTarget: target,
		Value: 2_500_003_000, Fees: 3000, FeesKnown: true, WeightLimit: 4_000_000,
		Transactions: []gbt.Transaction{
			{TxID: hashOf("tx 1"), Weight: 561, Sigops: 4, Fee: 1000, FeeKnown: true},
			{TxID: hashOf("tx 2"), Weight: 900, Fee: 2000, FeeKnown: true},
		},
	}
}

// statsOf makes figures that differ by a factor.
func statsOf(n int64) shares.Stats {
	best, err := gbt.TargetFromDifficulty(float64(n) * 1.5)
	if err != nil {
		panic(err)
	}
	s := shares.Stats{
		Accepted: 10 * n, Blocks: n % 3, Weight: shares.Weight(n) * network, Best: best,
		Refused: map[gbt.Reason]int64{gbt.StalePrevblk: n, gbt.HighHash: 2 * n, "bad-txns-nonfinal": 1},
		First:   noon.Add(-30 * time.Hour), Last: noon.Add(-time.Duration(n) * time.Minute),
	}
	for i := range s.Rates {
		s.Rates[i] = float64(n) * 1e6 / float64(i+1)
	}
	return s
}

func (w *world) addMiners() {
	now := chainhash.Hash{}
	for i, name := range []string{"alice", "bob", "carol"} {
		account := miner(name)
		w.stats[account] = shares.AccountStats{Account: account, Stats: statsOf(int64(i + 1))}
		w.windows[now] = append(w.windows[now], shares.Credit{Account: account, Weight: shares.Weight(i+1) * network})
	}
	slices.SortFunc(w.windows[now], func(a, b shares.Credit) int { return strings.Compare(a.Account, b.Account) })
	idle, gone := statsOf(1), statsOf(1)
	idle.Last, gone.Last = noon.Add(-time.Hour), noon.Add(-48*time.Hour)
	w.workers[miner("alice")] = []shares.WorkerStats{{Worker: "", Stats: idle}, {Worker: "rig1", Stats: statsOf(1)}, {Worker: "rig2", Stats: gone}}
	w.total = statsOf(6)
	w.journal.balances[payouts.Miner(miner("alice"))] = 123_456
	w.journal.set(payouts.TableThresholds, miner("alice"), "200000")
	w.journal.notes[payouts.NotesWorker] = map[string]string{"next": "2026-06-01T18:30:00Z"}
}

// addBlock adds a block that is newer than those before.
func (w *world) addBlock(n int, finder string, height int32) chainhash.Hash {
	hash := hashOf(fmt.Sprintf("block %d", n))
	b := shares.Block{Frozen: true, Shares: int64(n), Round: shares.Weight(n) * network / 2}
	b.Hash, b.PreviousBlock, b.Height, b.Account, b.Worker = hash, hashOf(fmt.Sprintf("before block %d", n)), height, miner(finder), "rig1"
	b.Time = noon.Add(time.Duration(n-10) * time.Hour)
	b.Millis = b.Time.UnixMilli()
	b.Found = &shares.Found{Bits: tipBits, Value: 5_000_000_000, Paid: 5_000_000_000, Window: 8 * network}
	w.blocks = append([]shares.Block{b}, w.blocks...)
	w.windows[hash] = w.windows[chainhash.Hash{}]
	return hash
}

func (w *world) addBlocks() {
	terms := payouts.Terms{Scheme: payouts.PPLNS, Multiple: 8, Fee: 100}
	notes := make(map[string]string)
	w.journal.notes[payouts.NotesBlocks] = notes
	credited := w.addBlock(1, "alice", 90)
	w.journal.set(payouts.TableBlocks, credited.String(), payouts.BlockState{Stage: payouts.BlockCredited, Height: 90, Account: miner("alice"), Reward: 5_000_000_000, Terms: &terms, Parts: 1, Part: 1, Tree: &payouts.Root{Hash: payouts.Digest{1}, Count: 3, Weight: 6 * network, Credit: 4_950_000_000}})
	orphaned := w.addBlock(2, "bob", 150)
	w.journal.set(payouts.TableBlocks, orphaned.String(), payouts.BlockState{Stage: payouts.BlockFound, Height: 150})
	notes[orphaned.String()] = "orphaned 51/100"
	immature := w.addBlock(3, "carol", 190)
	w.journal.set(payouts.TableBlocks, immature.String(), payouts.BlockState{Stage: payouts.BlockFound, Height: 190})
	notes[immature.String()] = "immature 11/100"
	w.addBlock(4, "alice", 201)
}

// addSettlement adds a settlement that pays alice and carol.
func (w *world) addSettlement(id uint64, st payouts.Status) {
	name := strconv.FormatUint(id, 10)
	plan := payouts.Plan{
		ID: id, Created: noon.Add(time.Duration(id) * time.Hour / 2).Add(-5 * time.Hour), Bearer: payouts.BearerPayees, Fee: 300,
		Payees: []payouts.Payee{
			{Script: payouts.Hex{1}, Output: 99_800, Fee: 200, Debits: []payouts.Debit{{Account: miner("alice"), Amount: 100_000}}},
			{Script: payouts.Hex{2}, Output: 49_900, Fee: 100, Debits: []payouts.Debit{{Account: miner("carol"), Amount: 50_000}}},
		},
	}
	st.Total, st.Flight = 149_700, 150_000
	w.journal.set(payouts.TablePlans, name, plan)
	w.journal.set(payouts.TableSettlements, name, st)
	for n := 1; n <= st.Versions; n++ {
		w.journal.set(payouts.TableVersions, fmt.Sprintf("%d/%d", id, n), payouts.Version{Number: n, TxID: paymentTx(id, n).TxHash(), Raw: payouts.Hex{byte(n)}, Fee: 200 + 100*int64(n)})
	}
}

// paymentTx is a version of a settlement.
func paymentTx(id uint64, n int) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	previous := hashOf(strconv.FormatUint(id, 10))
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&previous, 0), nil, nil))
	tx.AddTxOut(wire.NewTxOut(int64(n), []byte{0x51}))
	return tx
}

// blockWith makes a block that holds transactions.
func (w *world) blockWith(txs ...*wire.MsgTx) chainhash.Hash {
	msg := wire.NewMsgBlock(&wire.BlockHeader{Version: 4, Bits: tipBits, Timestamp: noon})
	list := make([]*btcutil.Tx, len(txs))
	for i, tx := range txs {
		if err := msg.AddTransaction(tx); err != nil {
			w.t.Fatal(err)
		}
		list[i] = btcutil.NewTx(tx)
	}
	msg.Header.MerkleRoot = blockchain.CalcMerkleRoot(list, false)
	hash := msg.BlockHash()
	w.bodies[hash] = msg
	return hash
}

func (w *world) addSettlements() {
	in := w.blockWith(chaincfg.RegressionNetParams.GenesisBlock.Transactions[0], paymentTx(9, 1), paymentTx(1, 2))
	w.addSettlement(1, payouts.Status{State: payouts.Final, Versions: 2, Version: 2, Block: in.String(), Height: 120})
	w.addSettlement(2, payouts.Status{State: payouts.Returned, Why: "an input was spent"})
	w.addSettlement(3, payouts.Status{State: payouts.Confirmed, Versions: 1, Version: 1, Block: hashOf("pruned").String(), Height: 199})
	w.addSettlement(4, payouts.Status{State: payouts.Planned})
	w.journal.notes[payouts.NotesSettlements] = map[string]string{"4": "waits for approval"}
}
