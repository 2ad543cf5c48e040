package redisstore

import (
	"strconv"

	"github.com/gbtpool/gbtpool/internal/ledgerfile"
)

// keys names the keys of a pool.
type keys struct{ prefix string }

// pool names a key that is no partition's.
func (k keys) pool(name string) string { return "{" + k.prefix + "}:" + name }

// part names the keys of one partition.
func (k keys) part(p int) part { return part("{" + k.prefix + ":" + strconv.Itoa(p) + "}:") }

// part is what the names of a partition's keys begin with.
type part string

func (p part) state() string { return string(p) + "state" }

// log is the stream of shares in detail.
func (p part) log() string { return string(p) + "log" }

// slices lists the slices, oldest first, by their first and last place; slice is one of them.
func (p part) slices() string           { return string(p) + "slices" }
func (p part) slice(last string) string { return string(p) + "slice:" + last }

// seen holds the hashes that were recorded at a height, with their places.
func (p part) seen(height int32) string { return string(p.appendSeen(nil, height)) }

// appendSeen, and the others that begin like it, append a key to a text: each share has some of them.
func (p part) appendSeen(to []byte, height int32) []byte {
	return strconv.AppendInt(append(append(to, p...), "seen:"...), int64(height), 10)
}

// sums are the weights by account since the beginning, folded those of shares that are in no slice
// any more, and round those since the last found block.
func (p part) sums() string   { return string(p) + "sums" }
func (p part) folded() string { return string(p) + "folded" }
func (p part) round() string  { return string(p) + "round" }

// blocks lists the found blocks by hash, oldest first; block is one of them and frozen its round.
func (p part) blocks() string            { return string(p) + "blocks" }
func (p part) block(hash string) string  { return string(p) + "block:" + hash }
func (p part) frozen(hash string) string { return string(p) + "round:" + hash }

// figures are what the pool, an account and a worker do, and workers are the names of an account's.
func (p part) figures() string               { return string(p) + "pool" }
func (p part) account(account string) string { return string(p.appendAccount(nil, account)) }
func (p part) worker(account, worker string) string {
	return string(p.appendWorker(nil, account, worker))
}
func (p part) workers(account string) string { return string(p.appendWorkers(nil, account)) }

func (p part) appendAccount(to []byte, account string) []byte {
	return append(append(append(to, p...), "account:"...), account...)
}

func (p part) appendWorker(to []byte, account, worker string) []byte {
	to = append(append(append(to, p...), "worker:"...), account...)
	return append(append(to, '.'), worker...)
}

func (p part) appendWorkers(to []byte, account string) []byte {
	return append(append(append(to, p...), "workers:"...), account...)
}

// limit is how much of a rate is used.
func (p part) limit(key string) string { return string(p) + "limit:" + key }

// partitionOf returns the partition of an account, of n.
func partitionOf(account string, n int) int { return ledgerfile.PartitionOf(account, n) }
