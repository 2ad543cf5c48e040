package api

import (
	"net/http"
	"strconv"
	"strings"

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

// identify reads HTTP Basic credentials; false if there are none. The password may be anything,
// but a part of it that reads d=N asks for a share difficulty.
func (s *Server) identify(r *http.Request) (caller, bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return caller{}, false
	}
	c := caller{userAgent: clip(r.UserAgent(), maxUserAgent)}
	var err error
	if c.account, c.worker, err = gbt.ParseUser(user, s.cfg.Chain); err != nil {
		c.err = unauthorized(codeAddress, err.Error())
	}
	c.difficulty, c.passwordErr = parsePassword(password)
	return c, true
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
