package e2e

import (
	"time"

	"github.com/gbtpool/gbtpool/payouts"
)

// rest mines on until every block of the pool's is deep enough and credited, and all that is owed from the
// threshold on is paid and final.
func (s *soak) rest() {
	s.t.Helper()
	for _, g := range s.gateways {
		g.awaitReady(true)
	}
	s.network(100)
	why := ""
	for deadline := time.Now().Add(soakRest); time.Now().Before(deadline); time.Sleep(time.Second) {
		s.network(2)
		s.heal(soakPatience)
		s.tell(false)
		if why = s.unrest(); why == "" && s.majority() {
			return
		}
	}
	s.tell(true)
	s.t.Fatalf("the pool does not come to rest: %s\n%s", why, s.notes())
}

// majority reports whether most of the pool's nodes have the tip of the one that the chain is read from: a btcd
// that was made to leave a branch stays on a dead one sometimes.
func (s *soak) majority() bool {
	s.t.Helper()
	best, same := s.node.BestBlock(), 0
	for _, n := range s.nodes {
		if n.BestBlock() == best {
			same++
		}
	}
	return 2*same > len(s.nodes)
}

// unrest says what is still to be done; empty if nothing is.
func (s *soak) unrest() string {
	s.t.Helper()
	if why, err := s.journal.Field(s.t.Context(), payouts.TablePool, payouts.PoolPaused); err == nil {
		s.t.Fatalf("payouts are paused: %s", why)
	}
	k := s.chain()
	credited := s.blocks()
	for hash := range k.coinbase {
		if stage := credited[hash].State.Stage; stage != payouts.BlockCredited {
			return "block " + hash + " is " + string(stage)
		}
	}
	list, err := payouts.Settlements(s.t.Context(), s.journal)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, st := range list {
		if st.Status.State.Open() {
			return "a settlement is " + string(st.Status.State)
		}
	}
	for l, err := range s.journal.Balances(s.t.Context()) {
		if err != nil {
			s.t.Fatal(err)
		}
		if name, miner := l.Account.Miner(); miner && l.Amount >= soakThreshold {
			return name + " is owed"
		}
	}
	return ""
}

// compare compares what the chain says of the pool's money with what the journal says.
func (s *soak) compare() {
	s.t.Helper()
	k := s.reconcile()
	s.auditLedger()
	stages := s.blocks()
	for hash, amount := range k.coinbase {
		if b := stages[hash]; b.State.Stage != payouts.BlockCredited || b.State.Reward != amount {
			s.t.Errorf("block %s paid the pool %d sat, and the journal has it as %+v", hash, amount, b.State)
		}
	}
	credits := 0
	for hash, b := range stages {
		if b.State.Stage == payouts.BlockCredited {
			credits++
		}
		if _, best := k.coinbase[hash]; !best && b.State.Stage != payouts.BlockVoid && b.State.Stage != payouts.BlockFound {
			s.t.Errorf("block %s is not on the best chain, and %s", hash, b.State.Stage)
		}
	}
	s.creditedOnce()
	credited := s.credits()
	for _, account := range s.miners {
		if paid, owed := k.paid[string(s.scriptOf(account))], s.balance(payouts.Miner(account)); paid+owed != credited[account] || paid == 0 {
			s.t.Errorf("%s was credited %d sat, was paid %d sat on the chain and is owed %d sat", account, credited[account], paid, owed)
		}
	}
	if flight := s.balance(payouts.InFlight); flight != 0 {
		s.t.Errorf("%d sat are in flight", flight)
	}
	if credits < soakMiners || len(k.spends) == 0 {
		s.t.Errorf("%d blocks were credited and %d transactions paid miners: that shows nothing", credits, len(k.spends))
	}
	if out := s.command(0, "payouts", "list"); len(out) == 0 {
		s.t.Error("payouts list says nothing")
	}
}

// creditedOnce fails if the journal credits a block's part twice, whatever the records' keys say.
func (s *soak) creditedOnce() {
	s.t.Helper()
	seen := make(map[string]bool)
	for r, err := range s.journal.Records(s.t.Context(), 1) {
		if err != nil {
			s.t.Fatal(err)
		}
		if r.Kind != payouts.KindCredit {
			continue
		}
		for _, f := range r.Sets {
			if f.Table == payouts.TableBlocks && seen[f.Field+f.Value] {
				s.t.Errorf("block %s is credited twice", f.Field)
			}
			seen[f.Field+f.Value] = true
		}
	}
}
