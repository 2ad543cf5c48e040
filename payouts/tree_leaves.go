package payouts

import (
	"strings"

	"github.com/gbtpool/gbtpool/shares"
)

// leavesOf joins what accounts have done with what they are credited for it: by account, and without those who
// have neither. Credits come by account, as Divide and Accrue have them. It fails with ErrTwice.
func leavesOf(weights []shares.Credit, credits []Credit) ([]Leaf, error) {
	weights, err := inOrder(weights)
	if err != nil {
		return nil, err
	}
	leaves := make([]Leaf, 0, max(len(weights), len(credits)))
	for len(weights) > 0 || len(credits) > 0 {
		var l Leaf
		first := -1 // whose account is next: that of the weights, that of the credits, or 0 for both
		switch {
		case len(weights) == 0:
			first = 1
		case len(credits) > 0:
			first = strings.Compare(weights[0].Account, credits[0].Account)
		}
		if first <= 0 {
			l.Account, l.Weight = weights[0].Account, weights[0].Weight
			weights = weights[1:]
		}
		if first >= 0 {
			l.Account, l.Credit = credits[0].Account, credits[0].Amount
			credits = credits[1:]
		}
		if l.Weight != 0 || l.Credit != 0 {
			leaves = append(leaves, l)
		}
	}
	return leaves, nil
}
