package gbt

// Profile is how to serve a client program: a row of the table by which the Issuer shapes answers.
// The zero value serves by what the request says of itself.
type Profile struct {
	// Name is the program's name, for logs and documentation.
	Name string
	// Agent is what the User-Agent begins with, in any letter case. The first row whose Agent fits
	// is taken; an empty one fits every client.
	Agent string
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
