package gbt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// Header is what a node says of its best block.
type Header struct {
	Hash, Previous chainhash.Hash
	Height         int32
	Bits           uint32
	// Time is the block's own and MedianTime the median of it and the ten before it, in seconds since
	// 1970. MedianTime is 0 if the node does not tell.
	Time, MedianTime int64
}

// Early configures early templates: empty ones that are given out from when a new block is heard of until a
// node has made a template on it. The zero value makes none.
type Early struct {
	// Chain has the rules of the chain; nil if no early templates are wanted.
	Chain *chaincfg.Params
	// Done, if set, hears for each new block what came of it. It must not block.
	Done func(EarlyResult)
}

// earlyExpires is how long work on an early template is good for at most: its miner is credited in full for blocks that
// lack all fees, which is fair only until he can have heard of the full template.
const earlyExpires = time.Minute

// expires returns how long work on the template is good for, given how long it usually is.
func (t *Template) expires(usual time.Duration) time.Duration {
	if t.Early {
		return min(usual, earlyExpires)
	}
	return usual
}

// EarlyResult is what came of an early template.
type EarlyResult string

// The results. All but the first two say why there was none, since an early template is only made where
// nothing about it is in doubt.
const (
	// EarlyMade says that one was given out, and EarlyReplaced that a node's took its place.
	EarlyMade     EarlyResult = "made"
	EarlyReplaced EarlyResult = "replaced"
	// EarlyChain is for chains on which blocks need a signature, or may be easier than the one before.
	EarlyChain EarlyResult = "chain"
	// EarlyReorganisation says that the last template of a node was not on the block before the new one.
	EarlyReorganisation EarlyResult = "reorganisation"
	// EarlyRetarget says that the target or the rules may change with the next block.
	EarlyRetarget EarlyResult = "retarget"
	// EarlyBits says that the new block has another target than the template that it took the place of.
	EarlyBits EarlyResult = "bits"
	// EarlyVersion is for versions that are not made of deployments alone, or need some.
	EarlyVersion EarlyResult = "version"
	// EarlyValue says that the last template did not pay what the chain's subsidy and its fees are.
	EarlyValue EarlyResult = "value"
	// EarlyTime says that the node's clock, ours and the last blocks' do not agree.
	EarlyTime EarlyResult = "time"
	// EarlyPayees says that it was not known at once whom to pay.
	EarlyPayees EarlyResult = "payees"
	// EarlyUnusable says that it did not hold what the coinbase needs.
	EarlyUnusable EarlyResult = "unusable"
)

// EarlyResults lists all results.
func EarlyResults() []EarlyResult {
	return []EarlyResult{
		EarlyMade, EarlyReplaced, EarlyChain, EarlyReorganisation, EarlyRetarget, EarlyBits, EarlyVersion,
		EarlyValue, EarlyTime, EarlyPayees, EarlyUnusable,
	}
}

const (
	// earlySkew is by how much the node's clock and ours may differ, in seconds.
	earlySkew = 60
	// earlyAhead is how far ahead of the clock a block may be, in seconds (a rule of the network).
	earlyAhead = 2 * 60 * 60
	// earlyPatience is how long an early template waits for its payees: longer, and a node's is there.
	earlyPatience = 200 * time.Millisecond
	// versionMask and versionBits are the bits that say that a version is made of deployments (BIP 9).
	versionMask, versionBits = 0xe0000000, 0x20000000
)

// early returns the empty template that follows a block as a node would send it, given the last template,
// which was on the block before, and when the block was heard of. Any result but EarlyMade says why there
// is none.
func early(last *Template, tip *Header, at time.Time, chain *chaincfg.Params) (*templateJSON, EarlyResult) {
	next := tip.Height + 1
	subsidy := blockchain.CalcBlockSubsidy(next, chain)
	minTime, clock := tip.MedianTime+1, last.HeaderTime(at)
	switch {
	case !steady(chain, tip.Bits):
		return nil, EarlyChain
	case last.Early || last.PreviousBlock != tip.Previous || last.Height != tip.Height:
		return nil, EarlyReorganisation
	case retargets(chain, next):
		return nil, EarlyRetarget
	case last.Bits != tip.Bits:
		return nil, EarlyBits
	case uint32(last.Version)&versionMask != versionBits || last.VBRequired != 0:
		return nil, EarlyVersion
	case !last.FeesKnown || last.Value-last.Fees != blockchain.CalcBlockSubsidy(last.Height, chain):
		return nil, EarlyValue
	case tip.MedianTime == 0 || tip.MedianTime > tip.Time || minTime < last.MinTime || minTime > clock || tip.Time > clock+earlyAhead:
		return nil, EarlyTime
	}
	if skew := last.CurTime - last.Received.Unix(); skew < -earlySkew || skew > earlySkew {
		return nil, EarlyTime
	}
	return &templateJSON{
		Version: last.Version, Rules: last.Rules, VBAvailable: last.VBAvailable,
		PreviousBlockHash: tip.Hash.String(), Transactions: []transactionJSON{}, CoinbaseValue: &subsidy,
		MinTime: minTime, SigopLimit: last.SigopLimit, SizeLimit: last.SizeLimit, WeightLimit: last.WeightLimit,
		CurTime: clock, Bits: fmt.Sprintf("%08x", tip.Bits), Height: next, Early: true,
	}, EarlyMade
}

// steady reports whether blocks of a chain need nothing but work, and after one with a target have the same
// one until the next retarget.
func steady(chain *chaincfg.Params, bits uint32) bool {
	if chain.Net == chaincfg.MainNetParams.Net {
		return true
	}
	// Where nothing is harder than the easiest target, there is no easier one after a while.
	return chain.PoWNoRetargeting && bits == chain.PowLimitBits
}

// retargets reports whether the target or the state of a deployment may change with the block at a height.
func retargets(chain *chaincfg.Params, height int32) bool {
	interval := int32(chain.TargetTimespan / chain.TargetTimePerBlock)
	return height%interval == 0 || height%int32(chain.MinerConfirmationWindow) == 0
}

// early puts an early template on the block that news tells of into next, or what another gateway has put
// up on it. It is false if there is none.
func (f *Feed) early(ctx context.Context, next *feedState, news News) bool {
	last := next.template
	if f.cfg.Early.Chain == nil || news.Header == nil || news.Header.Hash != news.Tip || last == nil || last.PreviousBlock == news.Tip {
		return false
	}
	in, result := early(last, news.Header, news.Received, f.cfg.Early.Chain)
	if result == EarlyMade {
		result = f.hasten(ctx, next, in, news)
	}
	if next.template != last && !next.template.Early {
		return true // another gateway had a node's already
	}
	if result != EarlyMade {
		f.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "no early template", slog.String("reason", string(result)))
	}
	f.count(result)
	return next.template != last
}

// hasten is early for a template that can be made.
func (f *Feed) hasten(ctx context.Context, next *feedState, in *templateJSON, news News) EarlyResult {
	start := f.cfg.Now()
	raw, err := json.Marshal(in)
	if err != nil {
		return EarlyUnusable
	}
	news.Template = raw
	t, err := f.parse(news, nil)
	if err != nil {
		return EarlyUnusable
	}
	short, cancel := context.WithTimeout(ctx, earlyPatience)
	defer cancel()
	answer := t.identity
	if t, err = f.adjust(short, t); errors.Is(err, errPayees) {
		return EarlyPayees
	}
	if err == nil {
		err = f.launch(ctx, next, t, launch{raw: raw, answer: answer, start: start})
	}
	if err != nil {
		return EarlyUnusable
	}
	return EarlyMade
}

// count tells what came of an early template.
func (f *Feed) count(result EarlyResult) {
	if f.cfg.Early.Done != nil {
		f.cfg.Early.Done(result)
	}
}

// replaces reports whether next has a node's template in the place of an early one in old.
func (s *feedState) replaces(old *feedState) bool {
	return old.template != nil && old.template.Early && s.template != old.template && !s.template.Early &&
		s.template.PreviousBlock == old.template.PreviousBlock
}

// welcome reports whether an early template on the best block is better than what there is.
func (f *Feed) welcome(s *feedState) bool {
	return f.cfg.Early.Chain != nil && (s.template == nil || s.template.Early || s.template.PreviousBlock != s.tip)
}
