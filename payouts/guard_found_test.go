package payouts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/shares"
)

// oddLedger is a share ledger that fails, or that something happens to while it is read.
type oddLedger struct {
	*fakeLedger
	limits              []int
	size                shares.Weight // of the window that was read last
	windowErr, roundErr error
	meanwhile           func()
}

func (l *oddLedger) Blocks(ctx context.Context, limit int) ([]shares.Block, error) {
	l.limits = append(l.limits, limit)
	return l.fakeLedger.Blocks(ctx, limit)
}

func (l *oddLedger) Window(ctx context.Context, block chainhash.Hash, size shares.Weight) (shares.Window, error) {
	l.size = size
	if l.meanwhile != nil {
		l.meanwhile()
	}
	w, err := l.fakeLedger.Window(ctx, block, size)
	return w, errors.Join(err, l.windowErr)
}

func (l *oddLedger) Round(ctx context.Context, block chainhash.Hash) (shares.Round, error) {
	r, err := l.fakeLedger.Round(ctx, block)
	return r, errors.Join(err, l.roundErr)
}

// oddly puts an oddLedger before the pool's.
func (p *pool) oddly() *oddLedger {
	p.t.Helper()
	l := &oddLedger{fakeLedger: p.ledger}
	p.cfg.Ledger = l
	p.restart()
	return l
}

// oddChain is a chain whose answers fail.
type oddChain struct {
	*fakeChain
	standingErr, blockErr error
}

func (c *oddChain) Standing(ctx context.Context, hash chainhash.Hash) (Standing, error) {
	s, err := c.fakeChain.Standing(ctx, hash)
	return s, errors.Join(err, c.standingErr)
}

func (c *oddChain) Block(ctx context.Context, hash chainhash.Hash) (*wire.MsgBlock, error) {
	b, err := c.fakeChain.Block(ctx, hash)
	return b, errors.Join(err, c.blockErr)
}

// grow returns a branch of n blocks on a block, whether it is the longest or not.
func (p *pool) grow(at chainhash.Hash, n int) chainhash.Hash {
	for range n {
		at = p.chain.on(at, []*wire.TxOut{wire.NewTxOut(1, []byte{0x51})})
	}
	return at
}

// with changes what the pool runs with, and has a fresh worker go on.
func (p *pool) with(change func(*SettlerConfig)) {
	p.t.Helper()
	change(&p.cfg)
	p.restart()
}

// TestUnknownIsNotLost has no node know a credited block: that says nothing.
func TestUnknownIsNotLost(t *testing.T) {
	p := mature(t, noWallet)
	p.work()
	block := p.ledger.blocks[0].Hash
	p.chain.unknown[block] = true
	p.chain.mine(200)
	p.work()
	if st := p.state(block); st.Stage != BlockCredited {
		t.Errorf("a credited block that no node knows is %s", st.Stage)
	}
	p.wants(map[Account]int64{Rewards: -reward, Reserve: 0})
}

// TestUnknownForTwoWeeks takes a block for void neither a block earlier nor later.
func TestUnknownForTwoWeeks(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, window()...)
	p.chain.unknown[block] = true
	p.chain.mine(unknownDepth - 1)
	p.work()
	if st := p.state(block); st.Stage != BlockFound {
		t.Errorf("a block before two weeks is %s", st.Stage)
	}
	p.chain.mine(1)
	p.work()
	if st := p.state(block); st.Stage != BlockVoid {
		t.Errorf("a block after two weeks is %s", st.Stage)
	}
	p.chain.mine(1)
	p.work()
	if st := p.state(block); st.Stage != BlockVoid || st.Turn != 0 {
		t.Errorf("a block that is void and stays away is %+v", st)
	}
}

// TestLostAgain has a credited block leave and come back twice, and each time shallow at first.
func TestLostAgain(t *testing.T) {
	p := mature(t, noWallet)
	p.find(reward, window()...)
	p.chain.mine(100)
	p.work()
	block, other := p.ledger.blocks[0].Hash, p.ledger.blocks[1].Hash
	for n := range 2 {
		p.chain.reorganize(101)
		p.work()
		if st := p.state(block); st.Stage != BlockLost || p.state(other).Stage != BlockCredited {
			t.Fatalf("loss %d: the block is %+v", n, st)
		}
		for name, text := range p.store.sheet.Tables[TableCoins] {
			if c, err := unmarshal[CoinState](Set{TableCoins, name, text}); err != nil || c.From != other.String() {
				t.Errorf("loss %d: coin %s of %s is there, %v", n, name, c.From, err)
			}
		}
		if n := len(p.store.sheet.Tables[TableCoins]); n != 1 {
			t.Errorf("%d coins are known, want the other block's", n)
		}
		p.chain.follow(p.grow(block, 10))
		p.work()
		if st := p.state(block); st.Stage != BlockLost {
			t.Fatalf("return %d: the block is %s, 11 deep", n, st.Stage)
		}
		p.chain.mine(90)
		p.work()
		if st := p.state(block); st.Stage != BlockCredited {
			t.Fatalf("return %d: the block is %+v", n, st)
		}
		p.wants(map[Account]int64{Rewards: -2 * reward, Reserve: 0})
		if n := len(p.store.sheet.Tables[TableCoins]); n != 2 {
			t.Errorf("%d coins are known, want both blocks'", n)
		}
	}
}

// TestLostInParts ends a credit that had begun, whatever the chain says meanwhile, and then books the loss.
func TestLostInParts(t *testing.T) {
	p := newPool(t, noWallet)
	p.at = 5 // found and mirrored, the tree, a part and mirrored
	block := p.find(reward, many(2*partLegs)...)
	p.chain.mine(100)
	if err := p.Work(t.Context()); err != nil || p.balance(Crediting) == 0 {
		t.Fatalf("nothing is credited in part: %v", err)
	}
	p.restart()
	p.chain.reorganize(101)
	p.work()
	p.work()
	if st := p.state(block); st.Stage != BlockLost {
		t.Errorf("the block is %+v", st)
	}
	p.wants(map[Account]int64{Crediting: 0, Reserve: -reward, Rewards: 0})
}

// TestListedBlockLost books back what the coinbase had paid directly, and again when the block is back.
func TestListedBlockLost(t *testing.T) {
	lists := make(fakeLists)
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Lists = nil, lists })
	block := p.findListed(p.list(lists, 0), reward)
	p.chain.mine(100)
	p.work()
	paid := p.balance(Paid)
	old := p.chain.best[len(p.chain.best)-1]
	p.chain.reorganize(101)
	p.work()
	p.wants(map[Account]int64{Rewards: 0, Paid: 0, Reserve: paid - reward})
	p.chain.follow(p.grow(old, 3))
	p.work()
	if st := p.state(block); st.Stage != BlockCredited || paid == 0 {
		t.Errorf("the block is %+v", st)
	}
	p.wants(map[Account]int64{Rewards: -reward, Paid: paid, Reserve: 0})
}

// TestReleases tells the ledger of blocks only once nobody needs them any more.
func TestReleases(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PROP} })
	orphan := p.find(reward, window()...)
	p.work()
	p.chain.mine(1)
	p.work()
	if p.ledger.released[orphan] {
		t.Error("a block is released before it is credited")
	}
	p.chain.reorganize(2)
	p.chain.mine(100)
	p.work()
	p.chain.mine(1)
	p.work()
	if st := p.state(orphan); st.Stage != BlockVoid || p.ledger.released[orphan] {
		t.Errorf("the block is %s, released %t: its round is to be divided with another's", st.Stage, p.ledger.released[orphan])
	}
}

// TestReadsAllOnce reads all blocks when a worker begins, and the newest ones later.
func TestReadsAllOnce(t *testing.T) {
	p := newPool(t, noWallet)
	l := p.oddly()
	p.work()
	p.work()
	if !slices.Equal(l.limits, []int{allBlocks, recentBlocks}) {
		t.Errorf("it asks for %v blocks", l.limits)
	}
}

// TestLooksAgain looks at a block again at once if something went wrong with it, though the tip is the same.
func TestLooksAgain(t *testing.T) {
	p := mature(t, noWallet)
	c := &oddChain{fakeChain: p.chain, blockErr: errBroken}
	p.with(func(cfg *SettlerConfig) { cfg.Chain = c })
	for range 2 {
		if err := p.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.blockErr = nil
	}
	p.wants(map[Account]int64{Rewards: -reward})
}

// TestWorkStops does nothing more once something is wrong that concerns everything.
func TestWorkStops(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(*pool, *oddLedger, *oddChain)
		want error
	}{
		"no majority":   {func(_ *pool, _ *oddLedger, c *oddChain) { c.standingErr = ErrNoQuorum }, ErrNoQuorum},
		"ledger away":   {func(_ *pool, l *oddLedger, _ *oddChain) { l.windowErr = shares.ErrAway }, shares.ErrAway},
		"another works": {func(p *pool, _ *oddLedger, _ *oddChain) { p.ledger.holder = "another" }, shares.ErrFenced},
		"a newer token": {func(p *pool, _ *oddLedger, _ *oddChain) { p.store.fence = 5 }, shares.ErrFenced},
	} {
		p := mature(t, nil)
		l := p.oddly()
		chain := &oddChain{fakeChain: p.chain}
		p.with(func(cfg *SettlerConfig) { cfg.Chain = chain })
		c.harm(p, l, chain)
		if err := p.Work(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		p.wants(map[Account]int64{Rewards: 0})
	}
	for _, err := range []error{shares.ErrAway, shares.ErrFenced, ErrMoved, ErrBehind, ErrDiverged, ErrNoQuorum, context.Canceled, context.DeadlineExceeded, &HaltedError{}} {
		if !stops(errors.Join(errBroken, err)) {
			t.Errorf("%T %v does not stop the work", err, err)
		}
	}
	if stops(errBroken) {
		t.Error("anything stops the work")
	}
}

// TestPostedAlready takes for done what somebody else has posted.
func TestPostedAlready(t *testing.T) {
	p := newPool(t, noWallet)
	p.work()
	for range 2 {
		if err := p.post(t.Context(), func() (Entry, error) {
			return Entry{Key: "k", Kind: KindPause, Sets: []Set{{TablePool, PoolPaused, "x"}}}, nil
		}); err != nil {
			t.Error(err)
		}
	}
	p.store.fence = 9
	if err := p.post(t.Context(), func() (Entry, error) {
		return Entry{Key: "late", Kind: KindPause, Sets: []Set{{TablePool, PoolPaused, "x"}}}, nil
	}); !errors.Is(err, shares.ErrFenced) {
		t.Errorf("the worker posts without its token: %v", err)
	}
}

// TestSettlerRefuses does not start with depths at which what is paid could still be undone.
func TestSettlerRefuses(t *testing.T) {
	sound := newPool(t, nil).cfg
	for name, change := range map[string]func(*SettlerConfig){
		"immature": func(c *SettlerConfig) { c.Maturity = int32(c.Params.CoinbaseMaturity) - 1 },
		"final":    func(c *SettlerConfig) { c.Final = 0 },
		"lease":    func(c *SettlerConfig) { c.Lease = 2*c.Every - 1 },
		"pool":     func(c *SettlerConfig) { c.Pool = nil },
		"terms":    func(c *SettlerConfig) { c.Terms.Fee = -1 },
		"policy":   func(c *SettlerConfig) { c.Policy.FeeCeiling = 0 },
		"schedule": func(c *SettlerConfig) { c.Schedule.Every = -time.Second },
	} {
		cfg := sound
		change(&cfg)
		if _, err := NewSettler(cfg); err == nil {
			t.Errorf("%s: it starts", name)
		}
	}
	if _, err := NewSettler(sound); err != nil {
		t.Error(err)
	}
}

// TestManyCredited does not forget a round that is still to be paid behind newer blocks.
func TestManyCredited(t *testing.T) {
	p := newPool(t, func(c *SettlerConfig) { c.Wallet, c.Terms = nil, Terms{Scheme: PPS} })
	p.find(reward, shares.Credit{Account: "alice", Weight: 1000})
	for range watchCredited + 1 {
		p.find(reward, shares.Credit{Account: "bob", Weight: 1})
	}
	p.chain.mine(100)
	p.work()
	p.chain.mine(1)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): 0, Miner("bob"): reward / 2 * (watchCredited + 1)})
	if err := p.operator().Book(t.Context(), Outside, Reserve, 500*reward); err != nil {
		t.Fatal(err)
	}
	p.chain.mine(1)
	p.work()
	p.wants(map[Account]int64{Miner("alice"): 500 * reward})
}

// TestVoidIsNotPaidPerShare does not pay the round of a block that was void before the scheme was changed.
func TestVoidIsNotPaidPerShare(t *testing.T) {
	p := newPool(t, noWallet)
	block := p.find(reward, shares.Credit{Account: "alice", Weight: 2})
	p.work()
	p.chain.reorganize(1)
	p.chain.mine(100)
	p.work()
	if err := p.operator().Book(t.Context(), Outside, Reserve, 2*reward); err != nil {
		t.Fatal(err)
	}
	p.with(func(c *SettlerConfig) { c.Terms = Terms{Scheme: PPS} })
	p.work()
	if st := p.state(block); st.Stage != BlockVoid {
		t.Fatalf("the block is %+v", st)
	}
	p.wants(map[Account]int64{Miner("alice"): 0})
}

// says fails unless a block's note holds a text.
func (p *pool) says(block chainhash.Hash, text string) {
	p.t.Helper()
	if got := p.store.notes[NotesBlocks][block.String()]; !strings.Contains(got, text) {
		p.t.Errorf("block %s: %q, want %q", block, got, text)
	}
}
