package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// profileSlice is how long one CPU profile lasts at most: the operators' listener ends answers after three minutes. What is
// measured for longer has several.
const profileSlice = 170 * time.Second

// profiler takes CPU profiles of one gateway while it is measured.
type profiler struct {
	addr, token string // of the operators' listener, and for it
	// name names the next file, and connect connects with addr.
	name    func() string
	connect func() (net.Conn, error)
	stop    chan struct{} // closed to end the profile under way; nil while there is none
	done    chan error
	files   []string // for who has waited for done
}

// profiled has a gateway that has begun profiled whenever it is measured.
func (l *lab) profiled(ctx context.Context, addr, config string) error {
	token, err := output(ctx, "", l.build.gateway, "token", "create", "--config", config, "--scope", "admin", "--name", "bench")
	if err != nil {
		return err
	}
	p := &profiler{addr: addr, token: token, name: l.profileName}
	p.connect = func() (net.Conn, error) {
		return new(net.Dialer).DialContext(context.WithoutCancel(ctx), "tcp", addr) // it ends with the lab
	}
	l.profilers = append(l.profilers, p)
	if l.measuring {
		p.start()
	}
	l.atEnd(func() error {
		l.profilers = slices.DeleteFunc(l.profilers, func(other *profiler) bool { return other == p })
		return l.endProfile(p)
	})
	return nil
}

// profileName returns the name of the case's next profile.
func (l *lab) profileName() string {
	return filepath.Join(l.profile, fmt.Sprintf("%s-%d.prof", l.name, l.profiles.Add(1)))
}

// measured does what is measured, with the gateways that there are, and those that it starts, being profiled if that is
// wanted.
func (l *lab) measured(do func() error) error {
	l.measuring = true
	for _, p := range l.profilers {
		p.start()
	}
	err := func() error {
		defer func() { l.measuring = false }()
		return do()
	}()
	for _, p := range l.profilers {
		err = errors.Join(err, l.endProfile(p))
	}
	return err
}

// endProfile ends the profile under way, if there is one, and tells where it is.
func (l *lab) endProfile(p *profiler) error {
	if p.stop == nil {
		return nil
	}
	close(p.stop)
	err := <-p.done
	p.stop = nil
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	l.say("profile: %s", strings.Join(p.files, " "))
	return nil
}

// start begins to profile.
func (p *profiler) start() {
	p.stop, p.done, p.files = make(chan struct{}), make(chan error, 1), nil
	go func() { p.done <- p.run() }()
}

// run takes one profile after another until it is stopped.
func (p *profiler) run() error {
	for {
		if err := p.slice(); err != nil {
			return err
		}
		select {
		case <-p.stop:
			return nil
		default:
		}
	}
}

// slice takes one profile. The server ends it early, and still sends it, when the client closes its half of the connection.
func (p *profiler) slice() (err error) {
	c, err := p.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.SetDeadline(time.Now().Add(profileSlice + endLimit)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c, "GET /debug/pprof/profile?seconds=%d HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n",
		int(profileSlice.Seconds()), p.addr, p.token)
	if err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() { received <- p.receive(c) }()
	select {
	case err := <-received:
		return err
	case <-p.stop:
	}
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("%T cannot be closed by half", c)
	}
	return errors.Join(half.CloseWrite(), <-received)
}

// receive writes a profile into the next file.
func (p *profiler) receive(c net.Conn) error {
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s: %.200s", res.Status, raw)
	}
	path := p.name()
	p.files = append(p.files, path)
	return os.WriteFile(path, raw, 0o644) //nolint:gosec // anybody may read it
}
