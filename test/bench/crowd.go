package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// crowdBuffer is what a poller's connection holds of an answer that is not read yet, about as much as a line of
	// some hundred kilometres does. The system would take several megabytes for each.
	crowdBuffer = 64 << 10
	// crowdDialers is how many connect at a time.
	crowdDialers = 64
)

// crowd is many pollers, each with a connection, and with an account where that matters.
type crowd struct {
	addr   string
	first  int // its number among all
	conns  []*conn
	logins []string
	// deaf is how many of them, from the first on, do not read what comes.
	deaf int
	// patient has those whom the server cuts off connect again, as miners do, and cut counts them. Else it is a failure.
	patient bool
	cut     atomic.Int64
}

// crowd connects pollers with a server. Those from the number first on are their accounts.
func (l *lab) crowd(ctx context.Context, addr string, first, count int) (*crowd, error) {
	return l.crowdThat(ctx, addr, first, count, func(string, *conn) error { return nil })
}

// crowdThat connects pollers who do something as soon as they are connected.
func (l *lab) crowdThat(ctx context.Context, addr string, first, count int, do func(login string, c *conn) error) (*crowd, error) {
	c := &crowd{addr: addr, first: first, conns: make([]*conn, count), logins: make([]string, count)}
	l.atEnd(func() error {
		for _, poller := range c.conns {
			if poller != nil {
				_ = poller.Close() // the server may have closed it
			}
		}
		return nil
	})
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(crowdDialers)
	for i := range c.conns {
		g.Go(func() error {
			user, err := account(first + i)
			if err != nil {
				return err
			}
			c.logins[i] = loginOf(user)
			if err := c.connect(ctx, i); err != nil {
				return err
			}
			return do(c.logins[i], c.conns[i])
		})
	}
	return c, g.Wait()
}

// connect connects one of them, or connects it again.
func (c *crowd) connect(ctx context.Context, i int) error {
	if c.conns[i] != nil {
		_ = c.conns[i].Close() // the server has
	}
	var err error
	if c.conns[i], err = dial(ctx, c.addr, loopback(c.first+i)); err != nil {
		return err
	}
	tcp, ok := c.conns[i].Conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T is no TCP connection", c.conns[i].Conn)
	}
	return tcp.SetReadBuffer(crowdBuffer)
}

// loopback returns an address of this machine for a client's number, so that no address runs out of ports.
func loopback(number int) string {
	const each = 250
	if runtime.GOOS != "linux" {
		return "" // elsewhere there is one
	}
	return net.IPv4(127, 1, byte(number/each/each), byte(number/each%each+1)).String()
}

// poll has all of them wait for another template than id names, and returns once the server says that they do and all
// who came before them.
func (c *crowd) poll(ctx context.Context, id string, waiting func(context.Context) (int, error)) error {
	body := askTemplate(id)
	g := new(errgroup.Group)
	g.SetLimit(crowdDialers)
	for i, poller := range c.conns {
		g.Go(func() error {
			_, err := poller.Write(render(c.logins[i], "", body))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return await(ctx, "all to wait", func(ctx context.Context) (bool, error) {
		n, err := waiting(ctx)
		return n >= c.first+len(c.conns), err
	})
}

// collect reads everybody's answer and returns when its first byte had come, after start, in order. Those who are deaf
// have no time. It begins to read before trigger is called, which is what they all wait for; start gives when that was.
func (c *crowd) collect(ctx context.Context, check func(*answer) error, trigger func(context.Context) (time.Time, error)) ([]time.Duration, error) {
	waiting := slices.Clone(c.conns) // who connects again waits no more
	failed := giveUp(ctx, func() {
		for _, poller := range waiting {
			_ = poller.SetDeadline(time.Now()) // it may be closed
		}
	})
	defer failed.forget()
	firsts := make([]time.Time, len(c.conns))
	var g errgroup.Group
	var reading sync.WaitGroup
	for i := c.deaf; i < len(c.conns); i++ {
		reading.Add(1)
		g.Go(func() error {
			reading.Done()
			var a answer
			err := c.conns[i].read(&a)
			if err != nil && c.patient && ctx.Err() == nil {
				c.cut.Add(1)
				return c.connect(ctx, i)
			}
			if err == nil {
				err = check(&a)
			}
			if err != nil {
				err = fmt.Errorf("poller %d: status %d, %d bytes: %w", i, a.status, a.length, err)
				failed.because(err)
				return err
			}
			firsts[i] = a.first
			return nil
		})
	}
	reading.Wait()
	start, err := trigger(ctx)
	failed.because(err)
	if err := failed.first(g.Wait()); err != nil {
		return nil, err
	}
	times := make([]time.Duration, 0, len(c.conns))
	for _, first := range firsts[c.deaf:] {
		if !first.IsZero() {
			times = append(times, first.Sub(start))
		}
	}
	slices.Sort(times)
	return times, nil
}

// waiting returns how many long polls wait at a gateway.
func (g *gateway) waiting(ctx context.Context) (int, error) {
	return metric(ctx, "http://"+g.addr+"/metrics", "gbtpool_longpolls_waiting ")
}

// waiting returns how many wait at a limit program.
func (s *limitServer) waiting(ctx context.Context) (int, error) {
	return metric(ctx, "http://"+s.addr+waitingPath, waitingPrefix)
}

// metric reads a number behind a prefix at the beginning of a line.
func metric(ctx context.Context, url, prefix string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			v, err := strconv.ParseFloat(value, 64)
			_, drained := io.Copy(io.Discard, res.Body)
			return int(v), errors.Join(err, drained)
		}
	}
	return 0, fmt.Errorf("%s has no %s", url, prefix)
}

// await asks again and again until the answer is yes.
func await(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
