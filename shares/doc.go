// Package shares turns proven work into credit: it has each submission judged, records what is
// accepted once and counts the rest.
//
// It knows no HTTP and no database. A share's identity is the hash of its canonical 80-byte
// header, and its weight is the expected number of hashes of the target that was issued with its
// work. All exported types are safe for concurrent use.
package shares
