package gbt

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// MinKey is the shortest key that work may be authenticated with, in bytes.
const MinKey = 16

// maxFutureTime is how far a header's time may lie ahead, in seconds: Bitcoin's consensus rule.
const maxFutureTime = blockchain.MaxTimeOffsetSeconds

// IssuerConfig configures an Issuer.
type IssuerConfig struct {
	// Feed provides the templates. Required.
	Feed *Feed
	// Key authenticates work. All gateways of a pool share it, and it outlives restarts, so that
	// each judges what the others issued. At least MinKey bytes.
	Key []byte
	// Share is the share target for who asks for none; Easiest and Hardest bound what a client
	// may ask for. The network target, where it is easier, goes before all of them: a block is
	// always a share.
	Share, Easiest, Hardest Target
	// Expires is how long work may be submitted after it was issued.
	Expires time.Duration
	// Now is the clock. Required.
	Now func() time.Time
}

// Issuer makes work of the feed's current template. Every answer is unique.
type Issuer struct {
	cfg    IssuerConfig
	sealer sealer
	nonce  atomic.Uint64
}

// NewIssuer makes an Issuer.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	switch {
	case cfg.Feed == nil || cfg.Now == nil:
		return nil, errors.New("issuer: Feed and Now are required")
	case len(cfg.Key) < MinKey:
		return nil, fmt.Errorf("issuer: the key has %d bytes, want at least %d", len(cfg.Key), MinKey)
	case cfg.Expires < time.Second:
		return nil, fmt.Errorf("issuer: work would expire after %s, want at least 1s", cfg.Expires)
	case cfg.Hardest == Target{} || cfg.Hardest.Cmp(cfg.Share) > 0 || cfg.Share.Cmp(cfg.Easiest) > 0:
		return nil, fmt.Errorf("issuer: the share target %s does not lie between the hardest, %s, and the easiest, %s",
			cfg.Share, cfg.Hardest, cfg.Easiest)
	}
	i := &Issuer{cfg: cfg, sealer: sealer{key: slices.Clone(cfg.Key)}}
	// Processes count from different places, so they share no number even in the same second.
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	i.nonce.Store(binary.BigEndian.Uint64(seed[:]))
	return i, nil
}

// Issue makes work for account from the template in force. The error matches ErrUnavailable if
// there is none.
func (i *Issuer) Issue(account Account, req TemplateRequest) (*Work, error) {
	whole, err := i.cfg.Feed.Current()
	if err != nil {
		return nil, err
	}
	f := formWhole
	if whole.needsSegwit() && !req.knowsSegwit() {
		f = formWitnessFree
	}
	t, err := whole.ofForm(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	now := i.cfg.Now()
	target := i.target(t, &req)
	tok := i.sealer.seal(terms{
		form: f, template: t.mark(), issued: now, target: target, value: t.Value, nonce: i.nonce.Add(1),
	}, t.PreviousBlock, account)
	w := &Work{
		Template: t, ID: tok.String(), Target: target,
		Coinbase: t.coinbase.with(tok), CurTime: t.HeaderTime(now), MaxTime: now.Unix() + maxFutureTime,
	}
	if w.head, err = w.renderHead(&req, i.cfg.Expires); err != nil {
		return nil, err
	}
	return w, nil
}

// target picks the share target for a request and rounds it to what a token can carry.
func (i *Issuer) target(t *Template, req *TemplateRequest) Target {
	target := i.cfg.Share
	if req.Target != (Target{}) {
		target = req.Target
	} else if req.Difficulty != 0 {
		if asked, err := TargetFromDifficulty(req.Difficulty); err == nil {
			target = asked
		}
	}
	if target.Cmp(i.cfg.Hardest) < 0 {
		target = i.cfg.Hardest
	}
	if target.Cmp(i.cfg.Easiest) > 0 {
		target = i.cfg.Easiest
	}
	target = target.Round()
	if target.Cmp(t.NetworkTarget) < 0 {
		return t.NetworkTarget
	}
	return target
}

// renderHead returns the JSON that is particular to the work: an object without its closing brace.
func (w *Work) renderHead(req *TemplateRequest, expires time.Duration) ([]byte, error) {
	type coinbaseTxn struct {
		Data     string `json:"data"`
		TxID     string `json:"txid"`
		Hash     string `json:"hash"`
		Depends  []int  `json:"depends"`
		Fee      *int64 `json:"fee,omitempty"`
		Sigops   int64  `json:"sigops"`
		Required bool   `json:"required"`
	}
	txid := doubleHash(w.Coinbase).String()
	coinbase := coinbaseTxn{
		Data: hex.EncodeToString(w.Coinbase), TxID: txid, Hash: txid, Depends: []int{},
		Sigops: w.Template.coinbase.sigops, Required: true,
	}
	if w.Template.FeesKnown {
		fee := -w.Template.Fees // BIP 22: for the coinbase, the negative of the fees collected
		coinbase.Fee = &fee
	}
	head, err := json.Marshal(struct {
		Capabilities []string    `json:"capabilities"`
		Mutable      []string    `json:"mutable"`
		CoinbaseTxn  coinbaseTxn `json:"coinbasetxn"`
		WorkID       string      `json:"workid"`
		Target       Target      `json:"target"`
		LongPollID   string      `json:"longpollid"`
		SubmitOld    *bool       `json:"submitold,omitempty"`
		CurTime      int64       `json:"curtime"`
		MaxTime      int64       `json:"maxtime"`
		Expires      int64       `json:"expires"`
	}{
		Capabilities: []string{},
		Mutable:      []string{"time", "coinbase/append", "submit/coinbase", "version/force"},
		CoinbaseTxn:  coinbase, WorkID: w.ID, Target: w.Target,
		LongPollID: w.Template.LongPollID(), SubmitOld: w.Template.submitOld(req.LongPollID),
		CurTime: w.CurTime, MaxTime: w.MaxTime, Expires: int64(expires / time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	head[len(head)-1] = ',' // the tail goes on from here and closes the object
	return head, nil
}

// submitOld says on the answer to a long poll whether work issued before is still worth
// submitting (BIP 22, Long Polling): it is while the previous block is the same.
func (t *Template) submitOld(longPollID string) *bool {
	if longPollID == "" {
		return nil
	}
	same := len(longPollID) > chainhash.MaxHashStringSize && strings.HasPrefix(longPollID, t.PreviousBlock.String())
	return &same
}
