package node

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/payouts"
)

// voters makes a set that does not run, of n nodes on one chain.
func voters(t *testing.T, n int) (*Set, []*fakeNode) {
	t.Helper()
	f := newForks()
	best := make([]chainhash.Hash, n)
	for i := range best {
		best[i] = f.a[3]
	}
	return newVoters(t, f.world, best...)
}

// encode serialises a block.
func encode(t *testing.T, block *wire.MsgBlock) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := block.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestSetBlock has nodes give a block and what is none.
func TestSetBlock(t *testing.T) {
	genesis := chaincfg.RegressionNetParams.GenesisBlock
	hash, raw := genesis.BlockHash(), encode(t, genesis)
	twice := *genesis
	twice.Transactions = append(twice.Transactions, genesis.Transactions[0])
	other := *genesis
	other.Header.Nonce++
	forged := *genesis
	forged.Transactions = []*wire.MsgTx{genesis.Transactions[0].Copy()}
	forged.Transactions[0].TxOut[0].Value++
	empty := *genesis
	empty.Transactions = nil
	for _, tc := range []struct {
		name   string
		answer [][]byte // of the nodes; nil: it does not have it
		fault  func(*fakeNode)
		is     error
	}{
		{name: "the first has it", answer: [][]byte{raw, nil}},
		{name: "the last has it", answer: [][]byte{nil, nil, raw}},
		{name: "nobody has it", answer: [][]byte{nil, nil}, is: payouts.ErrUnknownBlock},
		{name: "one is down, the other does not have it", answer: [][]byte{raw, nil}, fault: down, is: payouts.ErrUnknownBlock},
		{name: "all are down", answer: [][]byte{raw}, fault: down, is: errDead},
		{name: "one is hung, the other has it", answer: [][]byte{nil, raw}, fault: hung},
		{name: "another block", answer: [][]byte{encode(t, &other), raw}},
		{name: "only another block", answer: [][]byte{encode(t, &other)}, is: ErrMalformed},
		{name: "another transaction", answer: [][]byte{encode(t, &forged)}, is: ErrMalformed},
		{name: "a transaction twice", answer: [][]byte{encode(t, &twice)}, is: ErrMalformed},
		{name: "no transaction", answer: [][]byte{encode(t, &empty)}, is: ErrMalformed},
		{name: "cut", answer: [][]byte{raw[:len(raw)-1]}, is: ErrMalformed},
		{name: "too long", answer: [][]byte{append(bytes.Clone(raw), 0)}, is: ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, nodes := voters(t, len(tc.answer))
				for i, answer := range tc.answer {
					if answer != nil {
						nodes[i].blocks = map[chainhash.Hash][]byte{hash: answer}
					}
				}
				if tc.fault != nil {
					tc.fault(nodes[0])
				}
				start := time.Now()
				got, err := s.Block(t.Context(), hash)
				if !errors.Is(err, tc.is) || tc.is == nil && (err != nil || got.BlockHash() != hash) {
					t.Errorf("%v, want %v", err, tc.is)
				}
				if errors.Is(err, payouts.ErrUnknownBlock) && !errors.Is(tc.is, payouts.ErrUnknownBlock) {
					t.Errorf("nothing says that nobody has it: %v", err)
				}
				if took := time.Since(start); took > checkPatience {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// TestTwins wants a block whose end is repeated, which has the merkle root of the one that is not, to be
// none (CVE-2012-2459).
func TestTwins(t *testing.T) {
	block := *chaincfg.RegressionNetParams.GenesisBlock
	block.Transactions = nil
	for i := range 3 {
		tx := wire.NewMsgTx(1)
		tx.LockTime = uint32(i)
		tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{}, nil, nil))
		block.Transactions = append(block.Transactions, tx)
	}
	pair := func(a, b chainhash.Hash) chainhash.Hash { return chainhash.DoubleHashH(append(a[:], b[:]...)) }
	id := func(i int) chainhash.Hash { return block.Transactions[i].TxHash() }
	block.Header.MerkleRoot = pair(pair(id(0), id(1)), pair(id(2), id(2)))
	if _, err := parseBlock(encode(t, &block), block.BlockHash()); err != nil {
		t.Errorf("three transactions: %v", err)
	}
	block.Transactions = append(block.Transactions, block.Transactions[2])
	if _, err := parseBlock(encode(t, &block), block.BlockHash()); !errors.Is(err, ErrMalformed) {
		t.Errorf("the last one twice: %v, want ErrMalformed", err)
	}
}

// TestUnspent wants the leader's word, and the next node's if it gives none.
func TestUnspent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, nodes := voters(t, 3)
		nodes[0].coin = payouts.Unspent{Value: 1}
		nodes[1].coinErr = payouts.ErrSpent
		nodes[2].coin = payouts.Unspent{Value: 3}
		want := func(what string, value int64, is error) {
			t.Helper()
			got, err := s.Unspent(t.Context(), wire.OutPoint{})
			if got.Value != value || !errors.Is(err, is) {
				t.Errorf("%s: %+v, %v; want %d, %v", what, got, err, value, is)
			}
		}
		want("no leader", 1, nil)
		status := s.Status()
		status[0].State, status[2].State, status[2].Leading = OK, OK, true
		s.status.Store(&status)
		want("the last leads", 3, nil)
		down(nodes[2])
		want("the leader is down", 1, nil)
		hung(nodes[0])
		start := time.Now()
		want("and the next hangs", 0, payouts.ErrSpent)
		if took := time.Since(start); took != checkPatience {
			t.Errorf("it took %s", took)
		}
		down(nodes[1])
		nodes[0].set(func(n *fakeNode) { n.hung, n.err = false, errDead })
		want("all are down", 0, errDead)
		nodes[0].set(func(n *fakeNode) { n.hung, n.err = true, nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Unspent(ctx, wire.OutPoint{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody waits: %v", err)
		}
	})
}

// TestSetFeeRate wants the median of those that say.
func TestSetFeeRate(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rates []int64 // 0: no estimate
		want  int64
	}{
		{"one", []int64{1000}, 1000},
		{"none", []int64{0, 0}, 0},
		{"two", []int64{1000, 2001}, 1500},
		{"three", []int64{9000, 1000, 2000}, 2000},
		{"one of three says", []int64{0, 5000, 0}, 5000},
		{"nonsense", []int64{-1, 5000, maxFeeRate + 1}, 5000},
		{"one liar", []int64{1000, maxFeeRate, 2000}, 2000},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, nodes := voters(t, len(tc.rates)+1)
			hung(nodes[len(tc.rates)])
			for i, rate := range tc.rates {
				if nodes[i].rate = rate; rate == 0 {
					nodes[i].rateErr = errDead
				}
			}
			got, err := s.FeeRate(t.Context(), 6)
			if got != tc.want || (tc.want == 0) != errors.Is(err, payouts.ErrNoEstimate) {
				t.Errorf("%s: %d, %v; want %d", tc.name, got, err, tc.want)
			}
		})
	}
}
