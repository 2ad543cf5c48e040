// Package mirror keeps the local copy of the journal of money in a spool, so that a Redis that is lost, or
// restored from an older copy, is noticed before money moves, and can be brought back.
//
// What the spool's records hold begins with a byte that says what it is:
//
//	1  what the mirror is of, as JSON: format, ledger. The first record and no other.
//	2  a record of the journal begins: the length of all of it as uint32, then its text as recordtext packs it
//	3  it goes on, because the spool's records are of 1 MiB at most
//
// A journal's record that ends before its length was never acknowledged and counts for nothing.
package mirror
