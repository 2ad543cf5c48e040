package gbt

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// capability names of BIP 23 that the pool has, or asks a client for.
const (
	capabilityProposal   = "proposal"
	capabilityServerlist = "serverlist"
)

// renderHead returns the JSON that is particular to the work: an object without its closing brace.
func (i *Issuer) renderHead(w *Work, tok token, req *TemplateRequest, submitOld *bool) ([]byte, error) {
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
	var servers []Server
	if slices.Contains(req.Capabilities, capabilityServerlist) {
		servers = i.cfg.Servers
	}
	aux := map[string]string{}
	if w.offer.has(offerCoinbase) {
		// A coinbase of the miner's own has to hold the token, right after the height.
		aux["workid"] = hex.EncodeToString(append([]byte{tokenSize}, tok[:]...))
	}
	head, err := json.Marshal(struct {
		Capabilities []string          `json:"capabilities"`
		Mutable      []string          `json:"mutable"`
		CoinbaseTxn  coinbaseTxn       `json:"coinbasetxn"`
		CoinbaseAux  map[string]string `json:"coinbaseaux"`
		WorkID       string            `json:"workid"`
		Target       Target            `json:"target"`
		LongPollID   string            `json:"longpollid"`
		LongPollURI  string            `json:"longpolluri,omitempty"`
		SubmitOld    *bool             `json:"submitold,omitempty"`
		CurTime      int64             `json:"curtime"`
		MaxTime      int64             `json:"maxtime"`
		Expires      int64             `json:"expires"`
		Servers      []Server          `json:"serverlist,omitempty"`
	}{
		Capabilities: []string{capabilityProposal}, Mutable: w.Mutable, CoinbaseTxn: coinbase, CoinbaseAux: aux,
		WorkID: w.ID, Target: w.Target, LongPollID: w.Template.LongPollID(), LongPollURI: i.cfg.LongPollURI,
		SubmitOld: submitOld, CurTime: w.CurTime, MaxTime: w.MaxTime, Expires: int64(i.cfg.Expires / time.Second),
		Servers: servers,
	})
	if err != nil {
		return nil, fmt.Errorf("work: %w", err)
	}
	head[len(head)-1] = ',' // the tail goes on from here and closes the object
	return head, nil
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
