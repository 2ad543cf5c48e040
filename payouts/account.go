package payouts

import (
	"errors"
	"strings"
)

// Account is an account of the journal: one of the pool's own, or a miner's.
type Account string

// The pool's own accounts. What is in all accounts together is always zero, because Rewards and Outside
// are below zero by what came in.
const (
	// Rewards is where what blocks paid the pool comes from: minus the sum of it.
	Rewards Account = "rewards"
	// Outside is where the operator's own money comes from and goes to: minus the sum of what was put in.
	Outside Account = "outside"
	// Pool is the operator's money in the pool's wallet that is for any use.
	Pool Account = "pool"
	// Fee is what the pool has earned by its fee.
	Fee Account = "fee"
	// Carry is what of rewards belongs to nobody yet, and is divided with the next block's.
	Carry Account = "carry"
	// Crediting is what of a block's reward is not on its accounts yet, while a block with very many is
	// credited in parts.
	Crediting Account = "crediting"
	// Reserve is the operator's money that pays per share, and for blocks that are lost after they were
	// credited. It alone may be below zero, by such a loss: then the operator owes it.
	Reserve Account = "reserve"
	// InFlight is what settlements have taken from accounts, and what is not final yet.
	InFlight Account = "in flight"
	// Paid is what has been paid to miners for good, and TxFees what went to other miners for it.
	Paid   Account = "paid"
	TxFees Account = "transaction fees"
)

// minerPrefix begins the names of miners' accounts, so that none is the pool's.
const minerPrefix = "miner:"

// Miner returns the account of a payout address or registered name.
func Miner(name string) Account { return Account(minerPrefix + name) }

// Miner returns whose account it is; false if it is one of the pool's own.
func (a Account) Miner() (name string, ok bool) { return strings.CutPrefix(string(a), minerPrefix) }

// MayOwe reports whether an account may be below zero.
func (a Account) MayOwe() bool { return a == Rewards || a == Outside || a == Reserve }

// Leg is a change of an account by an amount: one side of a posting.
type Leg struct {
	Account Account
	Amount  int64 // satoshis; positive adds
}

// Credit is what an account gets, in satoshis.
type Credit struct {
	Account string // a payout address or registered name, as the share ledger has it
	Amount  int64
}

// MaxMoney is the most that an amount may be in satoshis: all that there will ever be.
const MaxMoney = 21_000_000 * 100_000_000

var (
	// ErrAmount says that an amount is negative, above MaxMoney, or does not fit with others.
	ErrAmount = errors.New("the amount is not between 0 and 21 million bitcoin")
	// ErrOverdrawn says that an account has less than what is to be taken from it.
	ErrOverdrawn = errors.New("the account has less than that")
)
