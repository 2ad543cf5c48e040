// Package payouts turns blocks into money of the pool's accounts and brings it to them: reward schemes, the
// journal, the life of blocks, and settlements.
//
// All amounts are integer satoshis. The journal is the only truth: an append-only, hash-chained list of
// records, each of which moves amounts between accounts so that they sum to zero, and sets what is known of
// blocks, settlements and coins. Everything else is derived from it.
package payouts
