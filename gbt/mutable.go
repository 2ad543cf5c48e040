package gbt

import (
	"slices"
	"strings"
)

// The names of what miners may do with work (BIP 23, Mutations and Submission Abbreviation).
const (
	mutationTime         = "time"
	mutationIncrement    = "time/increment"
	mutationDecrement    = "time/decrement"
	mutationAppend       = "coinbase/append"
	mutationCoinbase     = "coinbase"
	mutationGeneration   = "generation"
	mutationTransactions = "transactions"
	mutationAdd          = "transactions/add"
	mutationPrevblock    = "prevblock"
	mutationForce        = "version/force"
	mutationHash         = "submit/hash"
	mutationOmit         = "submit/coinbase"
	mutationTruncate     = "submit/truncate"
	shareCoinbase        = "share/coinbase"
	shareMerkle          = "share/merkle"
	shareTruncate        = "share/truncate"
)

// maxMutable is how many mutations there are to name.
const maxMutable = 16

// offerFor decides what a client may do.
func (i *Issuer) offerFor(p *Profile, req *TemplateRequest, whole *Template) offer {
	var o offer
	switch form := p.Form; {
	case form == FormWitnessFree, form == "" && whole.needsSegwit() && !req.knowsSegwit():
		o |= offerWitnessFree
	case form == FormStripped:
		o |= offerStripped
	}
	chooses := p.grants(req, mutationAdd) && i.cfg.Transactions && !o.has(offerStripped)
	if chooses {
		o |= offerTransactions
	}
	if p.Commitment == CommitmentOmitted && !o.has(offerStripped) || p.Commitment == "" && chooses {
		o |= offerCommitment
	}
	if p.grants(req, mutationCoinbase) {
		o |= offerCoinbase
	}
	if p.grants(req, mutationGeneration) && i.cfg.Generation {
		o |= offerGeneration
	}
	if p.grants(req, mutationPrevblock) && i.cfg.Transactions {
		o |= offerPrevblock
	}
	return o
}

// grants reports whether a client that lists a mutation, or the group that it is in, gets it.
func (p *Profile) grants(req *TemplateRequest, mutation string) bool {
	group, _, _ := strings.Cut(mutation, "/")
	named := func(list []string) bool { return slices.Contains(list, mutation) || slices.Contains(list, group) }
	return named(req.Capabilities) && !named(p.Withhold)
}

// mutable lists what a client is told that it may do: what all may, and what it asked for and gets.
func (p *Profile) mutable(req *TemplateRequest, o offer) []string {
	out := append(make([]string, 0, maxMutable),
		mutationTime, mutationIncrement, mutationDecrement, mutationAppend, mutationOmit, mutationForce)
	for _, extra := range []struct {
		what  offer
		names []string
	}{
		{offerTransactions, []string{mutationTransactions, mutationAdd}},
		{offerCoinbase, []string{mutationCoinbase}},
		{offerGeneration, []string{mutationGeneration}},
		{offerPrevblock, []string{mutationPrevblock}},
	} {
		if o.has(extra.what) {
			out = append(out, extra.names...)
		}
	}
	for _, abbreviation := range []string{mutationHash, mutationTruncate, shareCoinbase, shareMerkle, shareTruncate} {
		if slices.Contains(req.Capabilities, abbreviation) && !slices.Contains(p.Withhold, abbreviation) {
			out = append(out, abbreviation)
		}
	}
	return out
}
