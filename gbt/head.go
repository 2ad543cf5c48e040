package gbt

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// capability names of BIP 23 that the pool has, or asks a client for.
const (
	capabilityProposal   = "proposal"
	capabilityServerlist = "serverlist"
)

// headSize is room for the members of a head beside what is told by its parts' lengths, in bytes.
const headSize = 1024

// headParts are the members that do not depend on the work, as JSON with a comma before each; empty if there
// is nothing to tell.
type headParts struct {
	uri, servers []byte
}

// newHeadParts renders what heads have in common.
func newHeadParts(cfg *IssuerConfig) (headParts, error) {
	var p headParts
	if cfg.LongPollURI != "" {
		uri, err := json.Marshal(cfg.LongPollURI)
		if err != nil {
			return p, fmt.Errorf("issuer: %w", err)
		}
		p.uri = append([]byte(`,"longpolluri":`), uri...)
	}
	if len(cfg.Servers) > 0 {
		servers, err := json.Marshal(cfg.Servers)
		if err != nil {
			return p, fmt.Errorf("issuer: %w", err)
		}
		p.servers = append([]byte(`,"serverlist":`), servers...)
	}
	return p, nil
}

// renderHead returns the JSON that is particular to the work: an object without its end, to go on with another
// member. Each miner has one made, so it is written as it goes; nothing in it needs escaping.
func (i *Issuer) renderHead(w *Work, tok token, req *TemplateRequest, submitOld *bool) []byte {
	b := make([]byte, 0, headSize+2*len(w.Coinbase)+len(i.parts.uri)+len(i.parts.servers))
	b = append(b, `{"capabilities":["`+capabilityProposal+`"],"mutable":[`...)
	for n, name := range w.Mutable {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), name...), '"')
	}
	b = append(b, `],"coinbasetxn":`...)
	b = appendCoinbase(b, w)
	b = append(b, `,"coinbaseaux":{`...)
	if w.offer.has(offerCoinbase) {
		// A coinbase of the miner's own has to hold the token, right after the height.
		b = append(b, `"workid":"`...)
		b = hex.AppendEncode(b, []byte{tokenSize})
		b = append(hex.AppendEncode(b, tok[:]), '"')
	}
	b = append(append(b, `},"workid":"`...), w.ID...)
	b = hex.AppendEncode(append(b, `","target":"`...), w.Target[:])
	b = append(w.Template.appendLongPollID(append(b, `","longpollid":"`...)), '"')
	b = append(b, i.parts.uri...)
	if submitOld != nil {
		b = strconv.AppendBool(append(b, `,"submitold":`...), *submitOld)
	}
	b = strconv.AppendInt(append(b, `,"curtime":`...), w.CurTime, 10)
	b = strconv.AppendInt(append(b, `,"maxtime":`...), w.MaxTime, 10)
	b = strconv.AppendInt(append(b, `,"expires":`...), int64(w.Template.expires(i.cfg.Expires)/time.Second), 10)
	if slices.Contains(req.Capabilities, capabilityServerlist) {
		b = append(b, i.parts.servers...)
	}
	return append(b, ',') // the tail goes on from here and closes the object
}

// appendCoinbase appends the member "coinbasetxn" (BIP 22, Transactions Object Format).
func appendCoinbase(b []byte, w *Work) []byte {
	txid := doubleHash(w.Coinbase)
	b = hex.AppendEncode(append(b, `{"data":"`...), w.Coinbase)
	b = appendHash(append(b, `","txid":"`...), txid)
	b = appendHash(append(b, `","hash":"`...), txid)
	b = append(b, `","depends":[]`...)
	if w.Template.FeesKnown {
		// BIP 22: for the coinbase, the negative of the fees collected
		b = strconv.AppendInt(append(b, `,"fee":`...), -w.Template.Fees, 10)
	}
	b = strconv.AppendInt(append(b, `,"sigops":`...), w.Template.coinbase.sigops, 10)
	return append(b, `,"required":true}`...)
}

// appendHash appends a hash as chainhash.Hash.String has it: in hexadecimal, the last byte first.
func appendHash(b []byte, hash chainhash.Hash) []byte {
	slices.Reverse(hash[:])
	return hex.AppendEncode(b, hash[:])
}

// submitOld says on the answer to a long poll whether work issued before is still worth
// submitting (BIP 22, Long Polling): it is while its block is the best one, or was so a moment ago.
func (s *feedState) submitOld(longPollID string, now time.Time, grace time.Duration) *bool {
	if longPollID == "" {
		return nil
	}
	on := func(previous chainhash.Hash) bool {
		return len(longPollID) > chainhash.MaxHashStringSize && strings.HasPrefix(longPollID, previous.String())
	}
	old := on(s.template.PreviousBlock) || on(s.previousTip) && now.Sub(s.tipSince) < grace
	return &old
}
