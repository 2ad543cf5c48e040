package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// ZMTP 3.0 (rfc.zeromq.org/spec/23), as much as a subscriber without encryption needs. It is
// spoken here because the connection must end with its context and at once, also while it is
// being made.
const (
	zmtpGreeting = 64
	// flags of a frame
	zmtpMore    = 1
	zmtpLong    = 2
	zmtpCommand = 4
	// limits of what is accepted; a hashblock message has 3 frames of at most 32 bytes
	zmtpMaxFrame = 1 << 16
	zmtpMaxParts = 8
)

var errZMTP = errors.New("not a ZeroMQ publisher")

// subscriber is a connection to a publisher.
type subscriber struct {
	conn net.Conn
	r    *bufio.Reader
}

// subscribe connects to a publisher at HOST:PORT and asks for a topic, all within the limit.
func subscribe(ctx context.Context, address, topic string, limit time.Duration) (*subscriber, error) {
	dialer := &net.Dialer{
		Timeout:         limit,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3},
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // what it was doing fails
	defer stop()
	s := &subscriber{conn: conn, r: bufio.NewReader(conn)}
	if err := s.shakeHands(topic, limit); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

func (s *subscriber) shakeHands(topic string, limit time.Duration) error {
	if err := s.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	greeting := make([]byte, zmtpGreeting)
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	if _, err := s.conn.Write(greeting); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.r, greeting); err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	switch {
	case greeting[0] != 0xff || greeting[9]&1 != 1:
		return fmt.Errorf("%w: its greeting is %x", errZMTP, greeting[:12])
	case greeting[10] < 3:
		return fmt.Errorf("%w: it speaks ZMTP %d, want 3 (ZeroMQ 4)", errZMTP, greeting[10])
	case !bytes.Equal(greeting[12:32], append([]byte("NULL"), make([]byte, 16)...)):
		return fmt.Errorf("%w: it wants the security mechanism %q, want NULL", errZMTP, bytes.TrimRight(greeting[12:32], "\x00"))
	}
	// Socket-Type = SUB, and the subscription as a message, which is how 3.0 does it.
	ready := append([]byte("\x05READY\x0bSocket-Type\x00\x00\x00\x03"), "SUB"...)
	out := append([]byte{zmtpCommand, byte(len(ready))}, ready...)
	out = append(out, 0, byte(len(topic)+1), 1)
	if _, err := s.conn.Write(append(out, topic...)); err != nil {
		return err
	}
	flags, body, err := readFrame(s.r)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if flags&zmtpCommand == 0 || !bytes.HasPrefix(body, []byte("\x05READY")) {
		return fmt.Errorf("%w: it answers %q", errZMTP, clip(body))
	}
	return s.conn.SetDeadline(time.Time{})
}

// receive waits for the next message, no longer than idle, and returns its frames.
func (s *subscriber) receive(idle time.Duration) ([][]byte, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return nil, err
	}
	return readMessage(s.r)
}

// readMessage reads the frames of one message. Commands before it, such as PING, are passed over.
func readMessage(r io.Reader) ([][]byte, error) {
	var parts [][]byte
	for {
		flags, body, err := readFrame(r)
		switch {
		case err != nil:
			return nil, err
		case flags&zmtpCommand != 0 && len(parts) == 0:
			continue
		case flags&zmtpCommand != 0 || len(parts) == zmtpMaxParts:
			return nil, fmt.Errorf("%w: message out of form", errZMTP)
		}
		parts = append(parts, body)
		if flags&zmtpMore == 0 {
			return parts, nil
		}
	}
}

// readFrame reads one frame.
func readFrame(r io.Reader) (flags byte, body []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	flags = head[0]
	size := uint64(head[1])
	if flags&zmtpLong != 0 {
		if _, err := io.ReadFull(r, head[2:9]); err != nil {
			return 0, nil, err
		}
		size = binary.BigEndian.Uint64(head[1:9])
	}
	if flags&^(zmtpMore|zmtpLong|zmtpCommand) != 0 || size > zmtpMaxFrame {
		return 0, nil, fmt.Errorf("%w: frame with flags %x of %d bytes", errZMTP, flags, size)
	}
	body = make([]byte, size)
	_, err = io.ReadFull(r, body)
	return flags, body, err
}
