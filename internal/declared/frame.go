package declared

import (
	"encoding/binary"
	"hash/crc32"
)

// frameSize is what comes before each record: its length and the CRC-32C of the length and the
// record, each of 4 bytes, big-endian.
const frameSize = 8

// frame returns a record as it is in a file.
func frame(record []byte) []byte {
	out := binary.BigEndian.AppendUint32(make([]byte, 0, frameSize+len(record)), uint32(len(record)))
	out = binary.BigEndian.AppendUint32(out, checksum(out, record))
	return append(out, record...)
}

// unframe returns the records of a file up to the first that is damaged or cut short, and how many
// bytes these take.
func unframe(raw []byte) (records [][]byte, whole int) {
	for len(raw)-whole >= frameSize {
		head := raw[whole : whole+frameSize]
		size := int(binary.BigEndian.Uint32(head))
		if size > len(raw)-whole-frameSize {
			break
		}
		record := raw[whole+frameSize:][:size]
		if binary.BigEndian.Uint32(head[4:]) != checksum(head[:4], record) {
			break
		}
		records = append(records, record)
		whole += frameSize + size
	}
	return records, whole
}

func checksum(length, record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(length, table), table, record)
}
