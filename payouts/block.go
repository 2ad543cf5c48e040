package payouts

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/gbtpool/gbtpool/shares"
)

// BlockStage is how far the journal is with a block that the pool has found.
type BlockStage string

// The stages of a block, beside what the chain says: a found block is a candidate while no node knows it,
// immature until it is deep enough, and orphaned while it is off the best chain. Crediting: a part of its
// accounts is credited. Void: it was off the best chain for so long that it is taken for good; that is
// undone if it comes back. Lost: it was credited, and then left the best chain.
const (
	BlockFound     BlockStage = "found"
	BlockCrediting BlockStage = "crediting"
	BlockCredited  BlockStage = "credited"
	BlockVoid      BlockStage = "void"
	BlockLost      BlockStage = "lost"
)

// BlockState is what the journal says of a block.
type BlockState struct {
	Stage  BlockStage `json:"stage"`
	Height int32      `json:"height"`
	// Account found it.
	Account string `json:"account"`
	// Turn counts how often it was void or lost and came back: keys of records have it.
	Turn int `json:"turn,omitempty"`
	// Reward is what its coinbase paid the pool and the accounts of its list, and Direct what of that went
	// to accounts at once, in satoshis; from crediting on.
	Reward int64 `json:"reward,omitempty"`
	Direct int64 `json:"direct,omitempty"`
	// Carry is what was taken from Carry to be divided with it, in satoshis.
	Carry int64 `json:"carry,omitempty"`
	// Terms are what it is divided by, from crediting on, or its round was paid by: they may change meanwhile.
	Terms *Terms `json:"terms,omitempty"`
	// Fees is what FPPS has counted as a block's fees, in satoshis, once a part of the round is paid.
	Fees int64 `json:"fees,omitempty"`
	// Tree is the root of who is credited what, from crediting on; nil if it was credited by a version that
	// published none. Under terms that pay per share it is of who was paid what for the round, and Worth is
	// what a block was counted as for that in satoshis, and Network its weight.
	Tree    *Root         `json:"tree,omitempty"`
	Worth   int64         `json:"worth,omitempty"`
	Network shares.Weight `json:"network,string,omitempty"`
	// Parts is in how many parts it is credited, and Part how many are done.
	Parts int `json:"parts,omitempty"`
	Part  int `json:"part,omitempty"`
	// Accrued is how many parts of its round have been paid per share, and AccruedAll that it is whole.
	Accrued    int  `json:"accrued,omitempty"`
	AccruedAll bool `json:"accrued_all,omitempty"`
	// Merged is the block that its round was divided with, because it was void itself.
	Merged string `json:"merged,omitempty"`
	// LostAt is the height of the best chain when it was found to be lost.
	LostAt int32 `json:"lost_at,omitempty"`
	// Lists counts the lists that it may pay by.
	Lists int `json:"lists,omitempty"`
}

// marshal returns a value of a table.
func marshal(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("%T: %w", v, err)
	}
	return string(text), nil
}

// unmarshal reads a value of a table.
func unmarshal[T any](s Set) (T, error) {
	var v T
	if err := json.Unmarshal([]byte(s.Value), &v); err != nil {
		return v, fmt.Errorf("%s %s: %w: %w", s.Table, s.Field, ErrRecord, err)
	}
	return v, nil
}

// set makes a change of a table.
func set(table, field string, v any) (Set, error) {
	text, err := marshal(v)
	return Set{Table: table, Field: field, Value: text}, err
}

// versionField is the field of TableVersions for a settlement's version.
func versionField(id uint64, number int) string { return fmt.Sprintf("%d/%d", id, number) }

// settlementField is the field of TablePlans and TableSettlements for a settlement.
func settlementField(id uint64) string { return strconv.FormatUint(id, 10) }
