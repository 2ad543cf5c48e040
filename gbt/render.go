package gbt

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The parts of a template answer that never change.
const (
	// nonceRange is the whole range (BIP 23, Mutations).
	nonceRange = "00000000ffffffff"
	// ruleSegwit is the deployment's name (BIP 9, BIP 145).
	ruleSegwit = "segwit"
	// forced begins the name of a rule that clients have to understand (BIP 9).
	forced = "!"
)

// answers is the part of the getblocktemplate result that all work on a template shares. It is
// megabytes, so each style of it is rendered once.
type answers struct {
	plain            *rendered
	stripped, silent func() (*rendered, error)
	strippedSilent   func() (*rendered, error)
}

// style is how transactions are described to a client.
type style struct {
	// stripped sends transactions without their witnesses; silent does not say what they count.
	stripped, silent bool
}

// render makes the answers: the plain style now, the others when somebody needs them.
func (t *Template) render() (*answers, error) {
	in := func(s style) (*rendered, error) {
		text, err := t.renderTail(s)
		return &rendered{text: text}, err
	}
	plain, err := in(style{})
	if err != nil {
		return nil, err
	}
	of := func(s style) func() (*rendered, error) {
		return sync.OnceValues(func() (*rendered, error) { return in(s) })
	}
	return &answers{
		plain: plain, stripped: of(style{stripped: true}), silent: of(style{silent: true}),
		strippedSilent: of(style{stripped: true, silent: true}),
	}, nil
}

// in returns the answer in a style.
func (a *answers) in(s style) (*rendered, error) {
	switch s {
	case style{stripped: true}:
		return a.stripped()
	case style{silent: true}:
		return a.silent()
	case style{stripped: true, silent: true}:
		return a.strippedSilent()
	default:
		return a.plain, nil
	}
}

// renderTail renders the answer in a style, without the opening brace.
func (t *Template) renderTail(s style) ([]byte, error) {
	small, err := json.Marshal(struct {
		Version     int32          `json:"version"`
		Rules       []string       `json:"rules"`
		VBAvailable map[string]int `json:"vbavailable"`
		VBRequired  uint32         `json:"vbrequired"`
		Previous    string         `json:"previousblockhash"`
		Bits        string         `json:"bits"`
		FullTarget  Target         `json:"fulltarget"`
		Height      int32          `json:"height"`
		MinTime     int64          `json:"mintime"`
		NonceRange  string         `json:"noncerange"`
		SigopLimit  int64          `json:"sigoplimit"`
		SizeLimit   int64          `json:"sizelimit"`
		WeightLimit int64          `json:"weightlimit"`
		Commitment  string         `json:"default_witness_commitment,omitempty"`
	}{
		Version: t.Version, Rules: t.servedRules(s), VBAvailable: t.servedVBAvailable(), VBRequired: t.VBRequired,
		Previous: t.PreviousBlock.String(), Bits: fmt.Sprintf("%08x", t.Bits), FullTarget: t.NetworkTarget,
		Height: t.Height, MinTime: t.MinTime, NonceRange: nonceRange,
		SigopLimit: t.SigopLimit, SizeLimit: t.SizeLimit, WeightLimit: t.WeightLimit,
		Commitment: hex.EncodeToString(t.WitnessCommitment),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemplate, err)
	}
	tail := make([]byte, 0, len(small)+2*int(t.set.size)+300*len(t.Transactions)+64)
	tail = append(tail, `"transactions":[`...)
	for i := range t.Transactions {
		if i > 0 {
			tail = append(tail, ',')
		}
		tail = t.Transactions[i].appendJSON(tail, s)
	}
	tail = append(tail, `],`...)
	return append(tail, small[1:]...), nil // without the opening brace
}

// appendJSON appends the element of "transactions" (BIP 22 and BIP 145, Transactions Object
// Format).
func (tx *Transaction) appendJSON(b []byte, s style) []byte {
	raw, hash := tx.Raw, tx.Hash
	if s.stripped {
		raw, hash = tx.stripped(), tx.TxID // the hash is of what is sent
	}
	b = append(b, `{"data":"`...)
	b = hex.AppendEncode(b, raw)
	b = append(b, `","txid":"`...)
	b = appendHash(b, tx.TxID)
	b = append(b, `","hash":"`...)
	b = appendHash(b, hash)
	b = append(b, `","depends":[`...)
	for i, parent := range tx.Depends {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(parent)+1, 10) // counted from 1 on the wire
	}
	b = append(b, ']')
	if tx.FeeKnown {
		b = append(b, `,"fee":`...)
		b = strconv.AppendInt(b, tx.Fee, 10)
	}
	if !s.silent {
		b = append(b, `,"sigops":`...)
		b = strconv.AppendInt(b, tx.Sigops, 10)
	}
	b = append(b, `,"weight":`...)
	b = strconv.AppendInt(b, tx.Weight, 10)
	if tx.Required {
		b = append(b, `,"required":true`...)
	}
	return append(b, '}')
}

// servedRules returns the rules as clients must see them: segwit is forced exactly when
// transactions are sent with witnesses (BIP 145, Block Template), whatever the node said of it.
func (t *Template) servedRules(s style) []string {
	rules := make([]string, 0, len(t.Rules)+1)
	known, segwit := false, ruleSegwit
	if t.needsSegwit() && !s.stripped {
		segwit = forced + ruleSegwit
	}
	for _, rule := range t.Rules {
		if strings.TrimPrefix(rule, forced) == ruleSegwit {
			known = true
			rule = segwit
		}
		rules = append(rules, rule)
	}
	// btcd names no rules.
	if !known && t.needsSegwit() {
		rules = append(rules, segwit)
	}
	return rules
}

// servedVBAvailable is never nil: clients want rules and vbavailable together or not at all.
func (t *Template) servedVBAvailable() map[string]int {
	if t.VBAvailable == nil {
		return map[string]int{}
	}
	return t.VBAvailable
}

// needsSegwit reports whether a client has to know segwit to mine the template.
func (t *Template) needsSegwit() bool { return t.WitnessCommitment != nil }

// knowsSegwit reports whether a request names the segwit rule.
func (r *TemplateRequest) knowsSegwit() bool { return slices.Contains(r.Rules, ruleSegwit) }
