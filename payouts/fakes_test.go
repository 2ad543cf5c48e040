package payouts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// errBroken is what faults fail with.
var errBroken = errors.New("broken on purpose")

// faults fail the nth thing that is written or sent: instead of it, or after it.
type faults struct {
	at     int // 0 for never
	stored bool
	count  int
}

// do does something, or fails.
func (f *faults) do(what func() error) error {
	f.count++
	if f.count != f.at {
		return what()
	}
	if f.stored {
		if err := what(); err != nil {
			return err
		}
	}
	return errBroken
}

// memory is a store in memory. Every record that it takes has passed the sheet's judgement.
type memory struct {
	*faults
	records []*Record
	sheet   *Sheet
	keys    map[string]int
	notes   map[string]map[string]string
	fence   int64
}

func newMemory(f *faults) *memory {
	return &memory{faults: f, sheet: NewSheet(), keys: make(map[string]int), notes: make(map[string]map[string]string)}
}

func (m *memory) Head(context.Context) (Head, error) { return m.sheet.Head, nil }

func (m *memory) Post(ctx context.Context, token int64, r *Record) error {
	if token != 0 && token < m.fence {
		return shares.ErrFenced
	}
	m.fence = max(m.fence, token)
	if _, ok := m.keys[r.Key]; ok {
		return ErrPosted
	}
	if r.Seq != m.sheet.Head.Seq+1 || r.Previous != m.sheet.Head.Hash {
		return ErrMoved
	}
	for _, l := range r.Legs {
		if m.sheet.Balances[l.Account]+l.Amount < 0 && !l.Account.MayOwe() {
			return fmt.Errorf("%s: %w", l.Account, ErrOverdrawn)
		}
	}
	return m.do(func() error {
		text, err := r.Encode()
		if err != nil {
			return err
		}
		again, err := Decode(text)
		if err != nil {
			return err
		}
		if err := m.sheet.Apply(ctx, again); err != nil {
			return err
		}
		m.keys[r.Key] = len(m.records)
		m.records = append(m.records, again)
		return nil
	})
}

func (m *memory) Discard(_ context.Context, head Head) error {
	if head != m.sheet.Head {
		return ErrMoved
	}
	m.records, m.sheet, m.keys = nil, NewSheet(), make(map[string]int)
	return nil
}

func (m *memory) Posted(_ context.Context, key string) (*Record, error) {
	if i, ok := m.keys[key]; ok {
		return m.records[i], nil
	}
	return nil, ErrNotFound
}

func (m *memory) Records(_ context.Context, from uint64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for _, r := range m.records {
			if r.Seq >= from && !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memory) Balance(_ context.Context, a Account) (int64, error) {
	return m.sheet.Balances[a], nil
}

func (m *memory) Balances(context.Context) iter.Seq2[Leg, error] {
	return func(yield func(Leg, error) bool) {
		for a, n := range m.sheet.Balances {
			if !yield(Leg{a, n}, nil) {
				return
			}
		}
	}
}

func (m *memory) Field(_ context.Context, table, field string) (string, error) {
	if v, ok := m.sheet.Tables[table][field]; ok {
		return v, nil
	}
	return "", ErrNotFound
}

func (m *memory) Fields(_ context.Context, table string) iter.Seq2[Set, error] {
	return func(yield func(Set, error) bool) {
		for f, v := range m.sheet.Tables[table] {
			if !yield(Set{table, f, v}, nil) {
				return
			}
		}
	}
}

func (m *memory) Note(_ context.Context, notes ...Set) error {
	for _, n := range notes {
		if m.notes[n.Table] == nil {
			m.notes[n.Table] = make(map[string]string)
		}
		m.notes[n.Table][n.Field] = n.Value
		if n.Value == "" {
			delete(m.notes[n.Table], n.Field)
		}
	}
	return nil
}

func (m *memory) Notes(_ context.Context, table string) (map[string]string, error) {
	return maps.Clone(m.notes[table]), nil
}

// memoryTrees keeps trees in memory.
type memoryTrees struct {
	*faults
	trees map[Digest][]Leaf
	// read counts how often leaves were read.
	read int
}

func (m *memoryTrees) Put(_ context.Context, root Digest, leaves []Leaf) error {
	return m.do(func() error {
		m.trees[root] = slices.Clone(leaves)
		return nil
	})
}

func (m *memoryTrees) Has(_ context.Context, root Digest) (bool, error) {
	_, ok := m.trees[root]
	return ok, nil
}

func (m *memoryTrees) Leaves(_ context.Context, root Digest) ([]Leaf, error) {
	m.read++
	if leaves, ok := m.trees[root]; ok {
		return leaves, nil
	}
	return nil, ErrNotFound
}

// memoryMirror is a mirror in memory.
type memoryMirror struct {
	*faults
	records []*Record
	head    Head
}

func (m *memoryMirror) Head() Head { return m.head }

func (m *memoryMirror) Append(_ context.Context, r *Record) error {
	return m.do(func() error {
		if r.Seq != m.head.Seq+1 || r.Previous != m.head.Hash {
			return fmt.Errorf("record %d does not follow %d", r.Seq, m.head.Seq)
		}
		m.records = append(m.records, r)
		var err error
		m.head, err = r.Head()
		return err
	})
}

func (m *memoryMirror) Records(from uint64) iter.Seq2[*Record, error] {
	return (&memory{records: m.records}).Records(context.Background(), from)
}

// fakeWallet signs with one key, P2WPKH.
type fakeWallet struct {
	*faults
	chain   *fakeChain
	key     *btcec.PrivateKey
	script  []byte
	offline bool
}

func newFakeWallet(t *testing.T, f *faults, chain *fakeChain) *fakeWallet {
	t.Helper()
	secret := sha256.Sum256([]byte("wallet"))
	key, public := btcec.PrivKeyFromBytes(secret[:])
	addr, err := address.NewAddressWitnessPubKeyHash(address.Hash160(public.SerializeCompressed()), &chaincfg.RegressionNetParams)
	if err != nil {
		t.Fatal(err)
	}
	script, err := txscript.PayToAddrScript(addr)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeWallet{faults: f, chain: chain, key: key, script: script}
}

func (w *fakeWallet) Coins(ctx context.Context, known []Coin) ([]Coin, error) {
	var out []Coin
	for _, c := range known {
		if u, err := w.chain.Unspent(ctx, c.OutPoint); err == nil && (!u.Coinbase || u.Confirmations >= 100) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (w *fakeWallet) Change(context.Context) ([]byte, error) { return w.script, nil }

func (w *fakeWallet) Lock(context.Context, []wire.OutPoint) error { return nil }

func (w *fakeWallet) Sign(_ context.Context, tx *wire.MsgTx, coins []Coin) (*wire.MsgTx, error) {
	if w.offline {
		return nil, ErrOffline
	}
	return w.sign(tx, coins)
}

func (w *fakeWallet) sign(tx *wire.MsgTx, coins []Coin) (*wire.MsgTx, error) {
	out := tx.Copy()
	prev := txscript.NewMultiPrevOutFetcher(nil)
	for _, c := range coins {
		prev.AddPrevOut(c.OutPoint, wire.NewTxOut(c.Value, c.Script))
	}
	hashes := txscript.NewTxSigHashes(out, prev)
	for i := range out.TxIn {
		var err error
		if out.TxIn[i].Witness, err = txscript.WitnessSignature(out, hashes, i, coins[i].Value, coins[i].Script, txscript.SigHashAll, w.key, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fakeLedger is a share ledger of found blocks with their windows and rounds.
type fakeLedger struct {
	blocks   []shares.Block // newest first
	windows  map[chainhash.Hash][]shares.Credit
	at       []shares.Credit // what WindowAt returns
	released map[chainhash.Hash]bool
	halts    []shares.Halt
	token    int64
	holder   string
	by       string
}

func (l *fakeLedger) Window(_ context.Context, block chainhash.Hash, size shares.Weight) (shares.Window, error) {
	return shares.Window{Block: block, Size: size, Credits: l.windows[block]}, nil
}

func (l *fakeLedger) WindowAt(_ context.Context, _ shares.Position, size shares.Weight) (shares.Window, error) {
	return shares.Window{Size: size, Credits: l.at}, nil
}

func (l *fakeLedger) Round(_ context.Context, block chainhash.Hash) (shares.Round, error) {
	if l.released[block] {
		return shares.Round{}, shares.ErrFolded
	}
	return shares.Round{Block: block, Credits: l.windows[block]}, nil
}

func (l *fakeLedger) Blocks(context.Context, int) ([]shares.Block, error) {
	return slices.Clone(l.blocks), nil
}

func (l *fakeLedger) Release(_ context.Context, _ shares.Lease, block chainhash.Hash) error {
	l.released[block] = true
	return nil
}

func (l *fakeLedger) Acquire(_ context.Context, job string, _ time.Duration) (shares.Lease, error) {
	if l.holder != "" && l.holder != l.by {
		return shares.Lease{}, shares.ErrFenced
	}
	return shares.Lease{Job: job, Token: l.token}, nil
}

func (l *fakeLedger) Halt(_ context.Context, why string) error {
	l.halts = append(l.halts, shares.Halt{Gateway: "test", Why: why})
	return nil
}

func (l *fakeLedger) Halted(context.Context) ([]shares.Halt, error) { return l.halts, nil }

// pool is all that a settler works with.
type pool struct {
	*faults
	t      *testing.T
	store  *memory
	mirror *memoryMirror
	chain  *fakeChain
	wallet *fakeWallet
	ledger *fakeLedger
	trees  *memoryTrees
	// shown are the roots by which all was proven once, and old is true once a journal has no roots.
	shown map[Digest]bool
	old   bool
	now   time.Time
	cfg   SettlerConfig
	*Settler
}

// scriptOf makes scripts for accounts that are made of their names.
func scriptOf(account string) ([]byte, error) {
	if account == "void" {
		return nil, errors.New("the address is of another network")
	}
	h := sha256.Sum256([]byte(account))
	return append([]byte{txscript.OP_0, 20}, h[:20]...), nil
}

func newPool(t *testing.T, change func(*SettlerConfig)) *pool {
	t.Helper()
	f := new(faults)
	p := &pool{faults: f, t: t, store: newMemory(f), mirror: &memoryMirror{faults: f}, chain: newFakeChain(f), now: time.Unix(1_780_000_000, 0).UTC()}
	p.wallet = newFakeWallet(t, f, p.chain)
	p.ledger = &fakeLedger{windows: make(map[chainhash.Hash][]shares.Credit), released: make(map[chainhash.Hash]bool), token: 1}
	p.trees = &memoryTrees{faults: f, trees: make(map[Digest][]Leaf)}
	p.cfg = SettlerConfig{
		Trees: p.trees,
		Store: p.store, Ledger: p.ledger, Chain: p.chain, Network: p.chain, Mirror: p.mirror, Wallet: p.wallet,
		Terms:  Terms{Scheme: PPLNS, Multiple: 8, Fee: 100},
		Policy: Policy{Threshold: 1_000_000, FeeFloor: 1000, FeeCeiling: 100_000, Bearer: BearerPool},
		Script: scriptOf, Pool: [][]byte{p.wallet.script}, Params: &chaincfg.RegressionNetParams,
		Maturity: 100, Final: 6, FeeBlocks: 6, Schedule: Schedule{Every: time.Hour},
		By: "test", Every: time.Second, Lease: time.Minute, Now: func() time.Time { return p.now }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&p.cfg)
	}
	p.restart()
	return p
}

// restart has a fresh worker go on, as after a crash.
func (p *pool) restart() {
	p.t.Helper()
	s, err := NewSettler(p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Settler = s
}

// find has the pool find a block on the best chain, which pays it, with a window.
func (p *pool) find(value int64, window ...shares.Credit) chainhash.Hash {
	return p.findOn(p.chain.best[len(p.chain.best)-1], value, window...)
}

// findOn has the pool find a block on another one. The chain follows it if it is longer.
func (p *pool) findOn(previous chainhash.Hash, value int64, window ...shares.Credit) chainhash.Hash {
	hash := p.chain.on(previous, []*wire.TxOut{wire.NewTxOut(value, p.wallet.script)})
	if int(p.chain.heights[hash]) >= len(p.chain.best) {
		p.chain.follow(hash)
	}
	b := shares.Block{Frozen: true}
	b.Hash, b.PreviousBlock, b.Height, b.Account = hash, previous, p.chain.heights[hash], "finder"
	b.Millis = int64(len(p.ledger.blocks) + 1)
	b.Found = &shares.Found{Bits: 0x207fffff, Value: value, Paid: value, Window: 1000}
	p.ledger.blocks = append([]shares.Block{b}, p.ledger.blocks...)
	p.ledger.windows[hash] = window
	return hash
}

// work lets the worker work once, and checks the books.
func (p *pool) work() {
	p.t.Helper()
	p.now = p.now.Add(time.Hour)
	if err := p.Work(p.t.Context()); err != nil {
		p.t.Fatalf("work: %v", err)
	}
	p.sound()
}

// sound checks the books.
func (p *pool) sound() {
	p.t.Helper()
	a, err := CheckBooks(p.t.Context(), p.store, p.store)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range a.Faults {
		p.t.Errorf("books: %s", f)
	}
	if !p.old {
		p.proven(p.t.Errorf)
	}
}

// balance returns what an account has.
func (p *pool) balance(a Account) int64 { return p.store.sheet.Balances[a] }

// status returns what has become of the first settlement.
func (p *pool) status() Status {
	p.t.Helper()
	st, err := load(p.t.Context(), p.store, 1)
	if err != nil {
		p.t.Fatal(err)
	}
	return st.status
}

// paidTo returns what the best chain pays an account's script, and by how many outputs.
func (p *pool) paidTo(account string) (sum int64, outputs int) {
	script, err := scriptOf(account)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, hash := range p.chain.best {
		for _, tx := range p.chain.blocks[hash].Transactions {
			for _, out := range tx.TxOut {
				if string(out.PkScript) == string(script) {
					sum += out.Value
					outputs++
				}
			}
		}
	}
	return sum, outputs
}
