package fieldclients

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config says where a program mines, and as whom.
type Config struct {
	// URL is the server's, as on the command line, without the user. Required.
	URL string
	// User and Password are the login. They are sent without being asked for.
	User, Password string
	// CoinbaseSig is the --coinbase-sig option: text for the coinbase.
	CoinbaseSig string
	// NoLongPoll is the --no-longpoll option.
	NoLongPoll bool
	// RequestDiff is bfgminer's --request-diff option: the share difficulty to ask for; 0 for none.
	RequestDiff float64
	// Proxy makes bfgminer mine as it does for the hardware behind its Stratum and getwork servers.
	Proxy bool
	// Pause stands for every pause between attempts in Run, which the programs make 10 or 30
	// seconds long; default those.
	Pause time.Duration
	// Now is the clock; default the system's.
	Now func() time.Time
}

// server checks a configuration, fills in the clock and returns the URL.
func (c *Config) server() (*url.URL, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("fieldclients: %w", err)
	}
	if u.Scheme != "http" || u.Port() == "" {
		return nil, fmt.Errorf("fieldclients: the URL %q is not http://HOST:PORT", c.URL)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// Protocol is what a program speaks to its server.
type Protocol string

// The protocols.
const (
	// GBT is getblocktemplate.
	GBT Protocol = "getblocktemplate"
	// Getwork is what programs fall back to; minerd and cpuminer-multi never come back from it.
	Getwork Protocol = "getwork"
	// Stratum is what an X-Stratum header moves them to.
	Stratum Protocol = "stratum"
	// Dead is what bfgminer calls a server with which nothing worked. It tries again, getblocktemplate
	// first.
	Dead Protocol = "dead"
)

// State is what a program has come to.
type State struct {
	// Protocol is what it speaks now, and Why it is not GBT any more or was not for a while.
	Protocol Protocol
	Why      string
	// Broken says why the last template cannot be mined, in the program's words; empty if it can.
	Broken string
	// Unsigned says why bfgminer could not append its name to the coinbase; empty if it could.
	Unsigned string
	// Accepted counts shares, and Rejected counts them by reason.
	Accepted int
	Rejected map[string]int
	// Dropped counts shares that the program threw away by itself.
	Dropped int
	// Resending says why a share was not ruled on, which is sent again and again; empty if none is.
	Resending string
	// LongPolling is whether it waits for long polls, or is about to.
	LongPolling bool
	// SubmitOld is what the last long poll said about shares on the block before.
	SubmitOld bool
	// Height and WorkID are those of the last template that could be mined.
	Height int64
	WorkID string
	// Works counts the pieces of work that were hashed.
	Works int
	// Templates counts the answers to getblocktemplate that could be used.
	Templates int
}

// Verdict is what became of a share.
type Verdict string

// The verdicts.
const (
	Accepted  Verdict = "accepted"
	Rejected  Verdict = "rejected"
	Dropped   Verdict = "dropped"
	Resending Verdict = "resending"
)

// Share is a share that was found.
type Share struct {
	// Hash is the header's, as it is displayed.
	Hash string
	// Height is that of the block that it would be.
	Height int64
	// Body is the request that it was submitted with.
	Body    string
	Verdict Verdict
	// Reason is why it was rejected, or is sent again.
	Reason string
}

// The ways in which a program can be stuck.
var (
	// ErrBroken says that there is no work, because the template cannot be mined; State says why.
	ErrBroken = errors.New("the template cannot be mined")
	// ErrNoWork says that the server gave none; State says what the program makes of it.
	ErrNoWork = errors.New("no work")
	// ErrBlocked says that the program waits for a share to be ruled on, and does nothing else.
	ErrBlocked = errors.New("a share is being sent again")
	// ErrNoLongPoll says that a new template has to come before the next long poll.
	ErrNoLongPoll = errors.New("no long poll id")
)

// record keeps a State. It is safe for concurrent use.
type record struct {
	mu sync.Mutex
	s  State // held by mu
}

// change changes the state.
func (r *record) change(f func(*State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.s)
}

// State returns what the program has come to.
func (r *record) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.s
	s.Rejected = maps.Clone(s.Rejected)
	return s
}

// count notes what became of a share.
func (r *record) count(s *Share) {
	r.change(func(st *State) {
		st.Resending = ""
		switch s.Verdict {
		case Accepted:
			st.Accepted++
		case Rejected:
			if st.Rejected == nil {
				st.Rejected = make(map[string]int)
			}
			st.Rejected[s.Reason]++
		case Dropped:
			st.Dropped++
		case Resending:
			st.Resending = s.Reason
		}
	})
}

// leave notes that the program speaks another protocol.
func (r *record) leave(to Protocol, format string, args ...any) {
	r.change(func(s *State) { s.Protocol, s.Why = to, fmt.Sprintf(format, args...) })
}

// stratum notes the header that moves all three programs to Stratum.
func (r *record) stratum(got *reply) bool {
	uri := got.header.Get("X-Stratum")
	if !strings.HasPrefix(strings.ToLower(uri), "stratum+tcp://") {
		return false
	}
	r.leave(Stratum, "the header X-Stratum names %s", uri)
	return true
}

// pollPath returns the path of long polls: a relative longpolluri is appended to the URL.
func pollPath(base *url.URL, uri string) (path string, err error) {
	if strings.Contains(uri, "://") {
		u, err := url.Parse(uri)
		if err != nil {
			return "", fmt.Errorf("longpolluri: %w", err)
		}
		if u.Host != base.Host {
			return "", fmt.Errorf("longpolluri names another server, %s", u.Host)
		}
		return u.RequestURI(), nil
	}
	return strings.TrimSuffix(base.RequestURI(), "/") + "/" + strings.TrimPrefix(uri, "/"), nil
}
