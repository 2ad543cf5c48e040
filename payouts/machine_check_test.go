package payouts

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"pgregory.net/rapid"
)

// check checks what has to be true at any time.
func (m *machine) check(t *rapid.T) {
	if m.audited != m.store.sheet.Head {
		a, err := CheckBooks(m.t.Context(), m.store, m.store)
		m.must(t, err)
		for _, f := range a.Faults {
			t.Errorf("books: %s", f)
		}
		m.proven(t.Errorf)
		m.audited = m.store.sheet.Head
	}
	for account, amount := range m.store.sheet.Balances {
		if amount < 0 && !account.MayOwe() {
			t.Errorf("%s has %d sat", account, amount)
		}
	}
	if seq := m.mirror.head.Seq; seq > uint64(len(m.store.records)) {
		t.Errorf("the mirror has %d records, the journal %d", seq, len(m.store.records))
	} else if seq > 0 {
		if head, err := m.store.records[seq-1].Head(); err != nil || head != m.mirror.head {
			t.Errorf("the mirror's record %d is not the journal's: %v", seq, err)
		}
	}
	m.checkAccounts(t)
	m.checkChain(t)
	m.checkBlocks(t)
}

// credited returns what accounts have been credited: by the blocks that are credited, if that follows from
// each block alone, and by the journal otherwise.
func (m *machine) credited(t *rapid.T) map[string]int64 {
	out := make(map[string]int64)
	for _, b := range m.ledger.blocks {
		st := m.state(t, b.Hash)
		if st.Terms == nil || st.Stage != BlockCredited && st.Stage != BlockLost {
			continue
		}
		if st.Terms.Scheme != PPLNS && st.Terms.Scheme != SOLO || len(m.ledger.windows[b.Hash]) == 0 || st.Carry > 0 {
			return m.posted()
		}
		d, err := st.Terms.Divide(m.chain.blocks[b.Hash].Transactions[0].TxOut[0].Value, m.ledger.windows[b.Hash], b.Account)
		m.must(t, err)
		for _, c := range d.Credits {
			out[c.Account] += c.Amount
		}
	}
	if m.cfg.Terms.PerShare() {
		return m.posted()
	}
	return out
}

// posted returns what accounts have been credited as the journal has it.
func (m *machine) posted() map[string]int64 {
	out := make(map[string]int64)
	for _, r := range m.store.records {
		for _, l := range r.Legs {
			if name, miner := l.Account.Miner(); miner && (r.Kind == KindCredit || r.Kind == KindAccrue) {
				out[name] += l.Amount
			}
		}
	}
	return out
}

// state returns what the journal says of a block; nothing if it does not have it.
func (m *machine) state(t *rapid.T, hash chainhash.Hash) BlockState {
	st, err := field[BlockState](m.t.Context(), m.store, TableBlocks, hash.String())
	if !errors.Is(err, ErrNotFound) {
		m.must(t, err)
	}
	return st
}

// checkAccounts checks that what each account was credited is what it is owed and what settlements have
// debited, but for those whose debits went back.
func (m *machine) checkAccounts(t *rapid.T) {
	has := make(map[string]int64)
	for account, amount := range m.store.sheet.Balances {
		if name, miner := account.Miner(); miner {
			has[name] += amount
		}
	}
	m.settlementsWith(t, func(st *settlement) bool {
		for _, p := range st.plan.Payees {
			for _, d := range p.Debits {
				if st.status.State != Returned {
					has[d.Account] += d.Amount
				}
			}
		}
		return false
	})
	want := m.credited(t)
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if has[name] != want[name] {
			t.Errorf("%s was credited %d sat, and is owed or paid %d sat", name, want[name], has[name])
		}
		delete(want, name)
	}
	for name, amount := range want {
		t.Errorf("%s was credited %d sat, and has no account", name, amount)
	}
}

// checkChain checks what the best chain has of settlements: one transaction of each at most, and nobody is
// paid more than was credited.
func (m *machine) checkChain(t *rapid.T) {
	confirmed, paid := make(map[chainhash.Hash]bool), make(map[string]int64)
	for _, hash := range m.chain.best {
		for _, tx := range m.chain.blocks[hash].Transactions[1:] {
			confirmed[tx.TxHash()] = true
			for _, out := range tx.TxOut {
				paid[string(out.PkScript)] += out.Value
			}
		}
	}
	sealed, undone := make(map[chainhash.Hash]bool), m.unspent
	m.settlementsWith(t, func(st *settlement) bool {
		count := 0
		undone = undone || m.unpaid && st.status.State == Returned
		for _, v := range st.versions {
			sealed[v.TxID] = true
			if confirmed[v.TxID] {
				count++
			}
		}
		switch {
		case count > 1:
			t.Errorf("settlement %d is paid by %d transactions", st.id, count)
		case count == 0 && st.status.State == Final && !m.unpaid:
			t.Errorf("settlement %d is final and not on the chain", st.id)
		case count > 0 && st.status.State == Returned && !m.unspent && !m.unpaid:
			t.Errorf("settlement %d is on the chain and its debits went back", st.id)
		}
		return false
	})
	for txid := range m.chain.sent {
		if !sealed[txid] {
			t.Errorf("%s was sent and is not in the journal", txid)
		}
	}
	credited := make(map[string]int64)
	for name, amount := range m.credited(t) {
		if script, err := m.cfg.Script(name); err == nil {
			credited[string(script)] += amount
		}
	}
	for script, amount := range paid {
		if script != string(m.wallet.script) && amount > credited[script] && !undone {
			t.Errorf("%x is paid %d sat and was credited %d sat", script, amount, credited[script])
		}
	}
}

// checkBlocks checks that rewards are what the coinbases of credited blocks have paid.
func (m *machine) checkBlocks(t *rapid.T) {
	sum := int64(0)
	for _, b := range m.ledger.blocks {
		if m.state(t, b.Hash).Stage == BlockCredited {
			sum += m.chain.blocks[b.Hash].Transactions[0].TxOut[0].Value
		}
	}
	if got := -m.balance(Rewards); got != sum {
		t.Errorf("credited blocks paid %d sat, and the rewards are %d sat", sum, got)
	}
}

// quiet ends all trouble and lets the pool come to rest: each block on the best chain is credited, and all
// that can be paid is paid.
func (m *machine) quiet(t *rapid.T) {
	m.at, m.chain.deaf, m.chain.rateErr, m.chain.rate, m.wallet.offline = 0, nil, nil, 2000, false
	clear(m.chain.unknown)
	m.resume(t)
	m.chain.grow(100, m.chain.pick(false))
	m.now = m.now.Add(1000 * time.Hour)
	for range 40 {
		m.now = m.now.Add(2 * time.Hour)
		m.resume(t) // a loss has paused payouts
		m.approve(t)
		m.makeKnown(t)
		if err := m.Work(m.t.Context()); err != nil {
			t.Fatalf("work: %v", err)
		}
		m.check(t)
		if m.rests(t) {
			m.final(t)
			return
		}
		m.chain.grow(7, m.chain.pick(false))
	}
	if !m.unpaid && !m.unspent && !m.far && !m.lost() {
		t.Errorf("there is no end: blocks %v, settlements %v, worker %v", m.store.notes[NotesBlocks], m.store.notes[NotesSettlements], m.store.notes[NotesWorker])
	}
}

// lost reports whether a credited block has ever left the best chain: what was planned to be paid from it
// waits for the operator then.
func (m *machine) lost() bool {
	return slices.ContainsFunc(m.store.records, func(r *Record) bool { return r.Kind == KindLoss })
}

// rests reports whether nobody is to be paid and no settlement is open.
func (m *machine) rests(t *rapid.T) bool {
	open := m.settlementsWith(t, func(st *settlement) bool { return st.status.State.Open() })
	o, err := m.Outlook(m.t.Context())
	m.must(t, err)
	return len(open) == 0 && o.Due == 0 && o.Wait == nil
}

// final checks what has to be true in the end.
func (m *machine) final(t *rapid.T) {
	for _, b := range m.ledger.blocks {
		best, st := m.chain.confirmations(b.Hash) > 0, m.state(t, b.Hash).Stage
		if best != (st == BlockCredited) {
			t.Errorf("block %s is on the best chain: %t, and %s: %s", b.Hash, best, st, m.store.notes[NotesBlocks][b.Hash.String()])
		}
	}
	if flight := m.balance(InFlight); flight != 0 {
		t.Errorf("%d sat are in flight, and no settlement is open", flight)
	}
	if m.mirror.head != m.store.sheet.Head {
		t.Errorf("the mirror ends at %v, the journal at %v", m.mirror.head, m.store.sheet.Head)
	}
}
