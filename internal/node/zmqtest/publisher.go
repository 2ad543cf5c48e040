package zmqtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Publisher is a ZeroMQ PUB socket for subscribers to hashblock.
type Publisher struct{ listener *net.TCPListener }

// New makes a Publisher on a free port of this machine.
func New(ctx context.Context) (*Publisher, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no TCP listener", l), l.Close())
	}
	return &Publisher{tcp}, nil
}

// Host returns HOST:PORT, and Address the same as a node's zmqpubhashblock has it.
func (p *Publisher) Host() string { return p.listener.Addr().String() }

// Address is Host with the transport.
func (p *Publisher) Address() string { return "tcp://" + p.Host() }

// Close ends an Accept that waits. Connections that it returned stay.
func (p *Publisher) Close() error { return p.listener.Close() }

// Accept waits for the next subscriber, no longer than a limit, and returns the connection once it is subscribed.
func (p *Publisher) Accept(limit time.Duration) (net.Conn, error) {
	end := time.Now().Add(limit)
	if err := p.listener.SetDeadline(end); err != nil {
		return nil, err
	}
	c, err := p.listener.Accept()
	if err != nil {
		return nil, err
	}
	if err = c.SetDeadline(end); err == nil {
		err = greet(c)
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("publisher: %w", err), c.Close())
	}
	return c, nil
}

// greet does the handshake of ZMTP 3.0 with the NULL mechanism and takes the subscription.
func greet(c net.Conn) error {
	greeting := make([]byte, 64)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL") // libzmq says 3.1
	if _, err := c.Write(greeting); err != nil {
		return err
	}
	got := make([]byte, 64)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if got[0] != 0xff || got[9] != 0x7f || got[10] != 3 || string(got[12:17]) != "NULL\x00" || got[32] != 0 {
		return fmt.Errorf("the subscriber's greeting is %x", got)
	}
	// libzmq adds an empty Identity to the command.
	ready := []byte("\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB\x08Identity\x00\x00\x00\x00")
	ready[1] = byte(len(ready) - 2)
	if _, err := c.Write(ready); err != nil {
		return err
	}
	want := []byte("\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03SUB" + "\x00\x0a\x01hashblock")
	got = make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the subscriber says %q, want %q", got, want)
	}
	return nil
}

// HashBlock serialises a notification as Bitcoin Core sends it.
func HashBlock(block chainhash.Hash, seq uint32) []byte {
	slices.Reverse(block[:])
	out := append([]byte{1, 9}, "hashblock"...)
	out = append(append(out, 1, 32), block[:]...)
	return binary.LittleEndian.AppendUint32(append(out, 0, 4), seq)
}
