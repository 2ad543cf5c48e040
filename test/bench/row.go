package main

import (
	"fmt"
	"slices"
)

// row is one line of the table: what was measured in each round, of the gateway and beside it.
type row struct {
	// Case is the case that it is of, and What was measured.
	Case string `json:"case"`
	What string `json:"what"`
	// Unit is that of Ours, Limit and Peer, which have a value for each round. Limit and Peer are nil if there is none.
	Unit  string    `json:"unit"`
	Ours  []float64 `json:"ours"`
	Limit []float64 `json:"limit,omitempty"`
	Peer  []float64 `json:"peer,omitempty"`
	// LimitIs and PeerIs say what they are.
	LimitIs string `json:"limit_is,omitempty"`
	PeerIs  string `json:"peer_is,omitempty"`
	// Bars are what is wanted; none for what is only told.
	Bars []bar `json:"bars,omitempty"`
	// Note says what else has to be known to read the figures.
	Note string `json:"note,omitempty"`
}

// subject is what a bar is about.
type subject string

const (
	ratioToLimit subject = "of the limit"
	ratioToPeer  subject = "of the peer"
	itself       subject = ""
)

// bar is what a row has to come to.
type bar struct {
	Of    subject `json:"of"`
	Most  bool    `json:"most"` // else it is the least
	Value float64 `json:"value"`
}

func atLeast(v float64, of subject) bar { return bar{of, false, v} }
func atMost(v float64, of subject) bar  { return bar{of, true, v} }

// text says what the bar is.
func (b bar) text(unit string) string {
	sign := "≥"
	if b.Most {
		sign = "≤"
	}
	if b.Of == itself {
		return fmt.Sprintf("%s %s %s", sign, text(b.Value), unit)
	}
	return fmt.Sprintf("%s %s %s", sign, text(b.Value), b.Of)
}

// met reports whether the row comes to a bar. What was not measured does not.
func (r *row) met(b bar) bool {
	v, ok := median(r.Ours), len(r.Ours) > 0
	switch b.Of {
	case ratioToLimit:
		v, ok = r.ratio(r.Limit)
	case ratioToPeer:
		v, ok = r.ratio(r.Peer)
	case itself:
	}
	if b.Most {
		return ok && v <= b.Value
	}
	return ok && v >= b.Value
}

// ratio returns the median of the rounds' ratios of ours to the other. Rounds in which the other is 0 have none.
func (r *row) ratio(other []float64) (float64, bool) {
	var of []float64
	for i, ours := range r.Ours {
		if i < len(other) && other[i] != 0 {
			of = append(of, ours/other[i])
		}
	}
	return median(of), len(of) > 0
}

// add adds a round's values; peer may be left out.
func (r *row) add(ours, limit float64) {
	r.Ours, r.Limit = append(r.Ours, ours), append(r.Limit, limit)
}

// median returns the middle value, the upper of two; 0 if there is none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
