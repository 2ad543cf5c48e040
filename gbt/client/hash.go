package client

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	// maxBatch is how many nonces are tried between looks at anything else.
	maxBatch = 1 << 12
	// nonceOffset is where the nonce stands in a header.
	nonceOffset = 76
)

// Hasher tries count nonces from first on in a block header of 80 bytes and returns those whose
// double SHA-256 meets target. There are at most 4096 to try at a time. It is called by several
// goroutines at once.
type Hasher func(header [wire.MaxBlockHeaderPayload]byte, target gbt.Target, first uint32, count int) []uint32

// hashOnProcessor is the Hasher for the processor that the program runs on.
func hashOnProcessor(header [wire.MaxBlockHeaderPayload]byte, target gbt.Target, first uint32, count int) []uint32 {
	var found []uint32
	for i := range count {
		nonce := first + uint32(i)
		binary.LittleEndian.PutUint32(header[nonceOffset:], nonce)
		once := sha256.Sum256(header[:])
		if target.MetBy(chainhash.Hash(sha256.Sum256(once[:]))) {
			found = append(found, nonce)
		}
	}
	return found
}

// pace holds one goroutine's hashing back to a rate.
type pace struct {
	perSecond float64 // 0 for no limit
	start     time.Time
	hashes    float64 // since start
}

// batch returns how many hashes to make at a time, so that a slow rate is an even one.
func (p *pace) batch() uint32 {
	if p.perSecond == 0 {
		return maxBatch
	}
	return uint32(min(max(p.perSecond/20, 1), maxBatch))
}

// wait returns when hashing may go on, or at once when ctx ends, and reports which.
func (p *pace) wait(ctx context.Context) bool {
	if p.perSecond == 0 || ctx.Err() != nil {
		return ctx.Err() == nil
	}
	ahead := time.Duration(p.hashes/p.perSecond*float64(time.Second)) - time.Since(p.start)
	if ahead < -time.Second {
		// The machine was too busy to keep up, or there was no work; what is lost is lost.
		p.start, p.hashes = time.Now(), 0
	}
	return sleep(ctx, ahead) == nil
}

// made counts hashes.
func (p *pace) made(hashes uint32) { p.hashes += float64(hashes) }
