package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

const (
	// batch is how many nonces are tried between looks at anything else.
	batch = 1 << 12
	// nonceOffset is where the nonce stands in a header.
	nonceOffset = 76
)

// search is a range of nonces to try on a header.
type search struct {
	header *wire.BlockHeader
	target gbt.Target
	// first and last are the nonces' bounds, both included.
	first, last uint32
	// batch is told the number of hashes after each batch and may wait.
	batch func(ctx context.Context, hashes int)
	// found is called for each nonce that meets the target.
	found func(nonce uint32, hash chainhash.Hash)
}

// run tries all nonces, or as many as it gets to until ctx ends.
func (s *search) run(ctx context.Context) error {
	var buf bytes.Buffer
	if err := s.header.Serialize(&buf); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	raw := [wire.MaxBlockHeaderPayload]byte(buf.Bytes())
	for nonce := uint64(s.first); nonce <= uint64(s.last) && ctx.Err() == nil; {
		end := min(nonce+batch, uint64(s.last)+1)
		hashes := int(end - nonce)
		for ; nonce < end; nonce++ {
			binary.LittleEndian.PutUint32(raw[nonceOffset:], uint32(nonce))
			once := sha256.Sum256(raw[:])
			hash := chainhash.Hash(sha256.Sum256(once[:]))
			if s.target.MetBy(hash) {
				s.found(uint32(nonce), hash)
			}
		}
		s.batch(ctx, hashes)
	}
	return nil
}

// pace holds hashing back to a rate. It belongs to one hasher.
type pace struct {
	perSecond float64 // 0 for no limit
	start     time.Time
	hashes    float64
}

// wait returns when as many hashes are due as were made, or when ctx ends.
func (p *pace) wait(ctx context.Context, hashes int) {
	if p.perSecond == 0 {
		return
	}
	p.hashes += float64(hashes)
	ahead := time.Duration(p.hashes/p.perSecond*float64(time.Second)) - time.Since(p.start)
	if ahead < -time.Second {
		// The machine was too busy to keep up; what is lost is lost.
		p.start, p.hashes = time.Now(), 0
	}
	_ = sleep(ctx, ahead) // the hasher looks at ctx itself
}

// sleep waits for d; it returns errStopped at once when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errStopped
	}
}
