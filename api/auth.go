package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/btcsuite/btcd/chaincfg/v2"

	"github.com/gbtpool/gbtpool/api/recent"
	"github.com/gbtpool/gbtpool/api/rest"
	"github.com/gbtpool/gbtpool/api/token"
	"github.com/gbtpool/gbtpool/gbt"
)

// maxUserAgent bounds what is kept of a client's name for itself.
const maxUserAgent = 128

// caller is who sends a request.
type caller struct {
	account gbt.Account
	worker  string
	// err says what is wrong with the user name; there is no account then.
	err error
	// difficulty is what the password asks for; 0 if nothing. passwordErr says why it is none.
	difficulty  float64
	passwordErr error
	userAgent   string
}

// errNoUser answers a request without user name.
func errNoUser() *rpcError {
	return unauthorized(codeInvalidRequest,
		"no user name: use your payout address as the user name, as in ADDRESS or ADDRESS.worker, with any password")
}

// identify reads credentials; false if there are none. They are a token that is good for mining, or HTTP Basic
// with the user's name. The password may be anything then, but a part of it that reads d=N asks for a share
// difficulty.
func (s *Server) identify(r *http.Request) (caller, bool) {
	if raw, ok := token.FromRequest(r); ok {
		return s.identifyToken(r, raw), true
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return caller{}, false
	}
	c := caller{userAgent: clip(r.UserAgent(), maxUserAgent)}
	var err error
	if c.account, c.worker, err = s.users.parse(user, s.cfg.Chain); err != nil {
		c.err = unauthorized(codeAddress, err.Error())
	}
	c.difficulty, c.passwordErr = parsePassword(password)
	return c, true
}

// maxUsers is how many user names are remembered at least.
const maxUsers = 8192

// users remembers what user names stand for: a miner sends his with each share, and to check an address takes longer
// than to judge one.
type users struct {
	mu    sync.Mutex
	known *recent.Map[string, identity] // held by mu
}

// identity is whom a name stands for.
type identity struct {
	account gbt.Account
	worker  string
}

func newUsers() *users { return &users{known: recent.New[string, identity](maxUsers)} }

// parse is gbt.ParseUser on one chain.
func (u *users) parse(name string, chain *chaincfg.Params) (gbt.Account, string, error) {
	u.mu.Lock()
	who, ok := u.known.Get(name)
	u.mu.Unlock()
	if ok {
		return who.account, who.worker, nil
	}
	var err error
	if who.account, who.worker, err = gbt.ParseUser(name, chain); err != nil {
		return gbt.Account{}, "", err // what anybody can make up is not kept
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known.Put(strings.Clone(name), who)
	return who.account, who.worker, nil
}

// identifyToken reads the credentials of a miner who has a token.
func (s *Server) identifyToken(r *http.Request, raw string) caller {
	c := caller{userAgent: clip(r.UserAgent(), maxUserAgent)}
	claims, err := s.verify(r.Context(), raw)
	if err == nil {
		err = claims.Require(token.Mine)
	}
	if err != nil {
		p := rest.AsProblem(err)
		c.err = &rpcError{Code: codeInvalidRequest, Message: p.Detail, status: p.Status}
		return c
	}
	if c.account, c.worker, err = gbt.ParseUser(userOf(claims), s.cfg.Chain); err != nil {
		c.err = unauthorized(codeAddress, "the token is of no account that can be mined for: "+err.Error())
	}
	return c
}

// userOf returns the user name that a token stands for.
func userOf(claims *token.Claims) string {
	if claims.Worker == "" {
		return claims.Account
	}
	return claims.Account + "." + claims.Worker
}

// refusal says what is wrong with the user name.
func (c *caller) refusal() string {
	if e, ok := errors.AsType[*rpcError](c.err); ok {
		return e.Message
	}
	return c.err.Error()
}

// parsePassword looks for d=N among the parts of a password, which are separated by commas,
// semicolons or spaces. The last one counts. "d=" with nothing after it asks for nothing, because
// configuration pages produce it; d= with anything else that is no difficulty is an error, because
// whoever typed it wants to know.
func parsePassword(password string) (float64, error) {
	var difficulty float64
	for part := range strings.FieldsFuncSeq(password, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		value, ok := strings.CutPrefix(part, "d=")
		if !ok || value == "" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err == nil {
			_, err = gbt.TargetFromDifficulty(n)
		}
		if err != nil {
			return 0, unauthorized(codeParameter,
				"the password asks for a share difficulty of "+strconv.Quote(clip(value, 20))+
					": write d=N with a number above 0, such as d=512, or leave it out")
		}
		difficulty = n
	}
	return difficulty, nil
}

// clip shortens text that came from outside.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
