// Package ledgerfile is the file that a share ledger is exported to: it writes it, reads it, and verifies
// it with nothing but the file. It knows no store.
//
// An export is lines of JSON, compressed with zstd. Each line is one object and has exactly one spelling:
// its fields are in a fixed order, all there, without spaces. Weights are decimal strings, because many
// JSON readers round numbers beyond 2^53; unit says that one of them is 2^unit hashes. Hashes and targets
// are hexadecimal in the usual byte order, satoshis, heights and counts are numbers, times are RFC 3339. A
// place is the ID of the share in its partition's stream, "milliseconds-sequence"; 0-0 is before all.
//
//	ledger      the first line: version of the format, the ledger, when it was exported
//	partition   begins a partition; they come in order
//	folded      so many shares up to a place are in the ledger as sums by account alone, ...
//	folded_sum  ... which follow
//	share       a share, oldest first: of older ones place, account, worker and weight are known, of newer
//	            ones also the header's hash, height, previous_block, target and time, and found if it was a block
//	block       the round ended here for a found block: it is the shares after from, up to cut. The finder's
//	            partition also has the block's own share, and promoted if that was recorded as a plain one
//	            before: it stays so among the shares. If it is not released, ...
//	round_sum   ... its round by account follows. Without block it is of the round that goes on
//	sum         the weight of all shares of an account since the beginning
//	total       ends a partition: what the ledger says of it as a whole
//	end         the last line: how many lines come before it, and the SHA-256 of them as they are uncompressed
//
// Within a partition: partition; then any of folded with its sums, share, and block with its sums, in the
// order of their places; then sum, round_sum, total. Sums of one kind are in the order of their accounts.
// Usually there is one folded, at the front. Others tell of shares that the ledger folded during the export.
package ledgerfile
