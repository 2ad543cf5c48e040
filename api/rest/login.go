package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gbtpool/gbtpool/api/login"
	"github.com/gbtpool/gbtpool/api/oas"
)

// Login implements oas.StrictServerInterface.
func (v *Views) Login(ctx context.Context, request oas.LoginRequestObject) (oas.LoginResponseObject, error) {
	account, err := v.account(request.Body.Address)
	if err != nil {
		return nil, err
	}
	if v.cfg.Login == nil {
		return nil, noLogin()
	}
	c, err := v.cfg.Login.Challenge(ctx, account)
	if err != nil {
		return nil, loginProblem(err)
	}
	return oas.Login200JSONResponse{Challenge: c.ID, Message: c.Message, ExpiresAt: c.Expires.UTC()}, nil
}

// AnswerLogin implements oas.StrictServerInterface.
func (v *Views) AnswerLogin(ctx context.Context, request oas.AnswerLoginRequestObject) (oas.AnswerLoginResponseObject, error) {
	if v.cfg.Login == nil {
		return nil, noLogin()
	}
	raw, claims, err := v.cfg.Login.Answer(ctx, request.Challenge, request.Body.Signature)
	if err != nil {
		return nil, loginProblem(err)
	}
	scopes := make([]string, 0, 2)
	for _, s := range claims.Scopes() {
		scopes = append(scopes, string(s))
	}
	return oas.AnswerLogin200JSONResponse{
		Token: raw, TokenType: oas.Bearer, Scope: strings.Join(scopes, " "), ExpiresAt: claims.Expires.UTC(), Address: claims.Account,
	}, nil
}

func noLogin() error {
	return problem(http.StatusNotFound, "this pool lets nobody log in: its operator has given it no key to make tokens with")
}

// loginProblem says what an error of Login means.
func loginProblem(err error) error {
	var status int
	switch {
	case errors.Is(err, login.ErrAddress):
		status = http.StatusBadRequest
	case errors.Is(err, login.ErrChallenge):
		status = http.StatusNotFound
	case errors.Is(err, login.ErrSignature):
		status = http.StatusUnauthorized
	default:
		return err
	}
	return &Problem{Status: status, Detail: err.Error(), Cause: err}
}
