package gbt

import (
	"math"
	"slices"
	"strings"
)

// Profile is how to serve a client program: a row of the table by which the Issuer shapes answers.
// The zero value serves by what the request says of itself.
type Profile struct {
	// Name is the program's name, for logs and documentation.
	Name string
	// Agent is what the User-Agent begins with, in any letter case; an empty one fits every client.
	Agent string
	// Lists names capabilities that the request has to list, all of them. The first row whose Agent
	// and Lists fit is taken.
	Lists []string
	// Form is how transactions are sent. Empty stands for FormWhole if the request names the segwit
	// rule and for FormWitnessFree if not.
	Form Form
	// Commitment is where the witness commitment is. Empty stands for CommitmentOmitted if the
	// request lists a mutation of transactions, whose author has to commit to its own choice, and
	// for CommitmentIncluded if not.
	Commitment Commitment
	// Withhold lists mutations that are never offered, although the client lists them.
	Withhold []string
	// SigopsBelow is the highest sum of sigops that the client can count to; above it, answers do
	// not say what transactions count. 0 is no bound.
	SigopsBelow int64
}

// DefaultProfiles is the table of the programs in the field. What is known of each is in the
// comments; what is not in the table is served by what its requests say.
func DefaultProfiles() []Profile {
	return []Profile{
		// It names segwit and the coinbasetxn that it gets is what it mines: it adds no commitment.
		{Name: "minerd", Agent: "cpuminer/", Commitment: CommitmentIncluded},
		// It names no rules and takes the hash of a transaction's data for its txid.
		{Name: "cpuminer-multi", Agent: "cpuminer-multi/", Form: FormStripped, Commitment: CommitmentIncluded},
		// It appends the commitment always, also where it is already; lists submit/truncate but has
		// changed the coinbase by then; and cannot count sigops beyond 16 bits.
		{
			Name: "bfgminer", Agent: "bfgminer/", Commitment: CommitmentIncluded,
			Withhold: []string{mutationTruncate}, SigopsBelow: math.MaxUint16 - freeSigops,
		},
		// The library of bfgminer in other programs.
		{
			Name: "libblkmaker", Lists: []string{"version/reduce", mutationTruncate}, Commitment: CommitmentIncluded,
			Withhold: []string{mutationTruncate}, SigopsBelow: math.MaxUint16 - freeSigops,
		},
		{Name: "gbtpool mine", Agent: "gbtpool-mine", Commitment: CommitmentOmitted},
	}
}

// fits reports whether the row is for the client that made a request.
func (p *Profile) fits(req *TemplateRequest) bool {
	if len(req.UserAgent) < len(p.Agent) || !strings.EqualFold(req.UserAgent[:len(p.Agent)], p.Agent) {
		return false
	}
	return !slices.ContainsFunc(p.Lists, func(name string) bool { return !slices.Contains(req.Capabilities, name) })
}

// Form says how a template's transactions are sent.
type Form string

// The forms.
const (
	// FormWhole sends all transactions with their witnesses.
	FormWhole Form = "whole"
	// FormStripped sends all transactions without their witnesses, for clients that take the hash
	// of what they are sent for the txid. The pool puts the witnesses back.
	FormStripped Form = "stripped"
	// FormWitnessFree leaves out transactions that have a witness, and those that depend on one
	// (BIP 145, Block Template).
	FormWitnessFree Form = "witness-free"
)

// Commitment says where the commitment to the witnesses is in an answer.
type Commitment string

// The places of the commitment.
const (
	// CommitmentIncluded puts it into coinbasetxn, for clients that do not add it.
	CommitmentIncluded Commitment = "included"
	// CommitmentOmitted leaves it to the client to append it (BIP 145, Block Assembly with Witness
	// Transactions).
	CommitmentOmitted Commitment = "omitted"
)
