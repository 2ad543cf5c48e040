package rest

import (
	"context"
	"net/http"

	"github.com/gbtpool/gbtpool/api/oas"
)

// Login implements oas.StrictServerInterface.
func (v *Views) Login(ctx context.Context, request oas.LoginRequestObject) (oas.LoginResponseObject, error) {
	account, err := v.account(request.Body.Address)
	if err != nil {
		return nil, err
	}
	if v.cfg.Login == nil {
		return nil, problem(http.StatusNotFound, "this pool lets nobody log in: its operator has given it no key to make tokens with")
	}
	c, err := v.cfg.Login.Challenge(ctx, account)
	if err != nil {
		return nil, err
	}
	return oas.Login200JSONResponse{Challenge: c.ID, Message: c.Message, ExpiresAt: c.Expires.UTC()}, nil
}

// AnswerLogin implements oas.StrictServerInterface.
func (v *Views) AnswerLogin(ctx context.Context, request oas.AnswerLoginRequestObject) (oas.AnswerLoginResponseObject, error) {
	if v.cfg.Login == nil {
		return nil, problem(http.StatusNotFound, "this pool lets nobody log in: its operator has given it no key to make tokens with")
	}
	t, err := v.cfg.Login.Answer(ctx, request.Challenge, request.Body.Signature)
	if err != nil {
		return nil, err
	}
	return oas.AnswerLogin200JSONResponse{
		Token: t.Token, TokenType: oas.Bearer, Scope: t.Scope, ExpiresAt: t.Expires.UTC(), Address: t.Account,
	}, nil
}
