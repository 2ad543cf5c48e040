// Package spool keeps records in an append-only log of checksummed local files, each record fsynced
// before it is acknowledged, and knows nothing of what they say.
//
// A record's Place is how many bytes of records come before it since the log began; places never
// change and are never used twice. The log is cut into segments, files that hold records back to back:
//
//	segment = magic "gbtspool" | version uint32 | base place uint64 | CRC-32C of all before | records
//	record  = length uint32 | CRC-32C of length and data | data
//
// Integers are big-endian. A segment is named after its base place and ends where the next one
// begins; what its file holds behind that was written by an fsync that failed, and counts for nothing.
// What does not read as a record at the end of the newest segment is moved, with all behind it, to a file
// named after the segment and the offset, with the suffix ".damaged", which is never read or removed.
// What can be read or asked for is on the disk for good: End, Records and the places of Append never
// show what a crash may take back.
package spool
