package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// ZMQConfig configures a ZMQ.
type ZMQConfig struct {
	// Node is the node's name, for logs.
	Node string
	// Address is where the node publishes hashblock: tcp://HOST:PORT, its zmqpubhashblock. Required.
	Address string
	// Idle is how long the connection may be silent before it is made anew: ZeroMQ does not tell a
	// quiet publisher from a lost one. Default 1 h, some six blocks.
	Idle time.Duration
	// Now is the clock. Required.
	Now func() time.Time
	// Log gets a line when the connection comes or goes and when notifications were lost. Required.
	Log *slog.Logger
}

// ZMQ hears a node's hashblock notifications and turns them into hints for a Set. They only make
// it faster: ZeroMQ drops messages when it likes.
type ZMQ struct {
	cfg   ZMQConfig
	host  string
	hints chan Hint // holds at most the latest
	gaps  atomic.Uint64
}

const (
	zmqTopic   = "hashblock"
	zmqConnect = 10 * time.Second
	zmqRetry   = time.Second
	// zmqMaxRetry is the longest pause between attempts to connect.
	zmqMaxRetry = 30 * time.Second
)

// NewZMQ makes a ZMQ. Call Run to start it.
func NewZMQ(cfg ZMQConfig) (*ZMQ, error) {
	host, ok := strings.CutPrefix(cfg.Address, "tcp://")
	if _, port, err := net.SplitHostPort(host); !ok || err != nil || port == "" {
		return nil, fmt.Errorf("zmq: the address %q is not tcp://HOST:PORT", cfg.Address)
	}
	if cfg.Now == nil || cfg.Log == nil || cfg.Idle < 0 {
		return nil, errors.New("zmq: Now and Log are required and Idle must not be negative")
	}
	if cfg.Idle == 0 {
		cfg.Idle = time.Hour
	}
	return &ZMQ{cfg: cfg, host: host, hints: make(chan Hint, 1)}, nil
}

// Hints returns the channel of hints, for SetConfig. It holds the latest hint alone.
func (z *ZMQ) Hints() <-chan Hint { return z.hints }

// Gaps returns how often notifications were lost, by the gaps in their sequence numbers.
func (z *ZMQ) Gaps() uint64 { return z.gaps.Load() }

// Run listens until ctx ends and connects anew as often as needed.
func (z *ZMQ) Run(ctx context.Context) error {
	for failures := 0; ; {
		connected, err := z.listen(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is how this ends, not a failure
		}
		if connected {
			failures = 0
		}
		if failures++; failures == 1 {
			z.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "zmq lost, new blocks are noticed by long poll and watchdog meanwhile",
				slog.String("node", z.cfg.Node), slog.String("address", z.cfg.Address), slog.Any("error", err))
		}
		timer := time.NewTimer(backoff(zmqRetry, failures, zmqMaxRetry))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// listen connects once and turns notifications into hints until that fails.
func (z *ZMQ) listen(ctx context.Context) (connected bool, err error) {
	s, err := subscribe(ctx, z.host, zmqTopic, zmqConnect)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { s.conn.Close() }) //nolint:errcheck // what it was doing fails
	defer func() {
		stop()
		err = errors.Join(err, ignoreClosed(s.conn.Close()))
	}()
	z.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "zmq connected",
		slog.String("node", z.cfg.Node), slog.String("address", z.cfg.Address))
	z.hint(chainhash.Hash{}) // a block may have come while nobody listened
	var last uint32
	for first := true; ; {
		parts, err := s.receive(z.cfg.Idle)
		if err != nil {
			return true, err
		}
		block, seq, ok := parseHashBlock(parts)
		if !ok {
			continue
		}
		if !first && seq != last+1 {
			z.gaps.Add(1)
			z.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "zmq notifications were lost", slog.String("node", z.cfg.Node),
				slog.Uint64("sequence", uint64(seq)), slog.Uint64("previous", uint64(last)))
		}
		first, last = false, seq
		z.hint(block) // after a gap as well: any hint has the node asked for its best block
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// hint leaves a hint in the place of what nobody has read yet. Only listen calls it.
func (z *ZMQ) hint(block chainhash.Hash) {
	select {
	case <-z.hints:
	default:
	}
	z.hints <- Hint{Block: block, At: z.cfg.Now()}
}

// parseHashBlock decodes a hashblock message: topic, hash, and a sequence number in little-endian.
// Bitcoin Core sends the hash in the byte order that RPC shows (zmqpublishnotifier.cpp).
func parseHashBlock(parts [][]byte) (block chainhash.Hash, seq uint32, ok bool) {
	if len(parts) != 3 || string(parts[0]) != zmqTopic || len(parts[1]) != chainhash.HashSize || len(parts[2]) != 4 {
		return block, 0, false
	}
	copy(block[:], parts[1])
	slices.Reverse(block[:])
	return block, binary.LittleEndian.Uint32(parts[2]), true
}
